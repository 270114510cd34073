"""The smoke test for GPUs, at the size that runs on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "gpu-smoke" / "smoke.py"


def smoke(*words: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_tiny_size_trains_all_stages_and_says_how_fast(tmp_path):
    done = smoke("--size", "tiny", "--output", tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((tmp_path / "smoke.json").read_text())
    assert found["ceiling"]["tflops"] > 0
    assert [one["stage"] for one in found["stages"]] == ["cpt", "sft", "rl"]
    for one in found["stages"]:
        assert (tmp_path / one["stage"] / "model" / "model.safetensors").is_file()
        assert one["tokens_per_second"] == pytest.approx(one["tokens"] / one["seconds"])
        assert one["utilisation"] == pytest.approx(one["model_tflops"] / found["ceiling"]["tflops"])
        assert one["peak_gib"] is None
        assert f"| {one['stage']} | {one['steps']:,} | {one['tokens']:,} |" in done.stdout
    for one in found["stages"][:2]:
        assert one["last_loss"] < one["first_loss"]


@pytest.mark.slow
def test_the_size_for_gpus_says_that_it_needs_one(tmp_path):
    refused = smoke("--output", tmp_path)
    assert refused.returncode == 2
    assert "--size tiny" in refused.stderr
