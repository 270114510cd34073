"""A stage under `kill -9`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_run
import torch
from safetensors.torch import load_file

from killing import run_with_kills, steiner
from steiner.train.settings import SftSettings
from steiner.train.supervised import train_cpt

UPDATES = 40


def save_toml(settings: SftSettings, path: Path) -> Path:
    """Write settings as TOML: JSON strings, numbers and booleans are TOML as they are."""
    lines: list[str] = []
    tables: list[str] = []
    for key, value in settings.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, dict):
            tables += [f"[{key}]", *(f"{name} = {json.dumps(one)}" for name, one in value.items())]
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    path.write_text("\n".join([*lines, *tables]))
    return path


def checkpointed(output: Path) -> int:
    """Return the step of the newest checkpoint, whole or not."""
    steps = [int(folder.name.rsplit("-", 1)[1]) for folder in output.glob("checkpoint-*")]
    return max(steps, default=UPDATES if (output / "model").is_dir() else 0)


@pytest.mark.slow
def test_a_killed_stage_gives_the_undisturbed_model(tmp_path):
    run = tiny_run.make_run(tmp_path / "run")
    train_cpt(tiny_run.cpt(run, run / "cpt"))
    weights = []
    for name, kills in (("undisturbed", 0), ("killed", 3)):
        output = tmp_path / name
        settings = tiny_run.sft(run, output, run / "cpt" / "model", tokens=24_000)
        config = save_toml(settings, tmp_path / f"{name}.toml")
        killed = run_with_kills(
            ["train", "sft", "--config", config],
            0,
            kills,
            lambda output=output: checkpointed(output),
            UPDATES,
        )
        assert killed == kills
        assert not list(output.glob("checkpoint-*"))
        weights.append(load_file(output / "model" / "model.safetensors"))
    first, second = weights
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "sft" in steiner("train", "sft", "--config", tmp_path / "killed.toml").stdout
