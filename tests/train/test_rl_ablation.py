"""The ablation of rewards runs with one command and goes on where it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "rl-ablation" / "ablate.py"


@pytest.fixture(scope="module")
def ablate():
    spec = importlib.util.spec_from_file_location("ablate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_reward_of_the_ablation_is_one_that_training_knows(ablate):
    from steiner.cli.train import load_toml
    from steiner.train.settings import RlSettings

    base = load_toml(RlSettings, SCRIPT.parent / "rl.toml")
    for rewards in ablate.REWARDS.values():
        assert ablate.changed(base, rewards=rewards).rewards[0].name == "outcome"
    for size in ablate.SIZES.values():
        assert size.prompts * size.group % min(base.optimiser.batch_size, size.prompts * size.group) == 0


@pytest.mark.slow
def test_the_smallest_ablation(ablate, tmp_path, capsys):
    command = ["--size", "tiny", "--output", str(tmp_path / "out"), "--rewards", "dag", "montecarlo"]
    ablate.main([*command, "--seeds", "1", "--updates", "1"])
    table = (tmp_path / "out" / "table.md").read_text()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip("| ") for row in rows] == ["none", "dag", "montecarlo"]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.safetensors")}
    assert len(made) == 4
    ablate.main([*command, "--seeds", "1", "--updates", "1"])
    assert (tmp_path / "out" / "table.md").read_text() == table
    assert {path: path.stat().st_mtime_ns for path in made} == made
