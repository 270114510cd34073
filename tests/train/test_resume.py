"""A stage killed by SIGKILL after any update and run again gives the undisturbed weights, bit by bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from trainee import in_a_process

from steiner.train.stage import TrainingRecord
from steiner.train.supervised import train_cpt

pytestmark = pytest.mark.slow

STEPS = 6
"""Updates of each case; checkpoints follow every second one."""
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cpt-adamw": ("cpt", {}),
    "cpt-muon-accumulated": ("cpt", {"algorithm": "muon", "batch_size": 2, "gradient_accumulation": 2}),
    "sft-adamw-accumulated": ("sft", {"batch_size": 2, "gradient_accumulation": 2}),
    "sft-muon": ("sft", {"algorithm": "muon"}),
    "rl-adamw": ("rl", {"batch_size": 4}),
    "rl-muon": ("rl", {"algorithm": "muon", "batch_size": 8}),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tiny_run.make_run(tmp_path_factory.mktemp("tiny") / "run")
    train_cpt(tiny_run.cpt(run, run / "cpt"))
    dropping = run / "dropping"
    shutil.copytree(run / "cpt" / "model", dropping)
    config = json.loads((dropping / "config.json").read_text())
    (dropping / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.2}))
    return run


@pytest.fixture(scope="module")
def undisturbed(run: Path) -> dict[str, Path]:
    """Outputs of undisturbed runs by case, filled as they are needed."""
    return {}


def make(case: str, run: Path, output: Path) -> tuple[str, Any]:
    """Return stage and settings of a case; the model that they start from has dropout."""
    stage, changes = CASES[case]
    optimiser = tiny_run.OPTIMISER | {"deterministic": True} | changes
    if stage == "rl":
        one = tiny_run.rl(run, output, run / "dropping", steps=STEPS, iterations=2, optimiser=optimiser)
    elif stage == "cpt":
        model = {"path": str(run / "dropping")}
        one = tiny_run.cpt(run, output, model=model, optimiser=optimiser)
    else:
        one = tiny_run.sft(run, output, run / "dropping", optimiser=optimiser)
    return stage, one


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


def record(output: Path) -> TrainingRecord:
    return TrainingRecord.model_validate_json((output / "training.json").read_bytes())


def curve(output: Path) -> list[tuple[int, dict[str, float]]]:
    """Return what was logged, without what a clock or this call alone says."""
    left_out = ("time", "per_second", "num_tokens", "num_input_tokens")
    return [
        (p.step, {k: v for k, v in p.values.items() if not any(word in k for word in left_out)})
        for p in record(output).curve
    ]


def check(case: str, kills: list[int], run: Path, undisturbed: dict[str, Path], output: Path) -> None:
    if case not in undisturbed:
        stage, whole = make(case, run, run / f"whole-{case}")
        in_a_process(stage, whole)
        undisturbed[case] = run / f"whole-{case}"
    expected = undisturbed[case]
    steps = record(expected).steps
    stage, one = make(case, run, output)
    for kill in sorted(min(kill, steps) for kill in kills):
        in_a_process(stage, one, die_at=kill)
    in_a_process(stage, one)
    found, wanted = weights(output), weights(expected)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []
    assert curve(output) == curve(expected)


@pytest.mark.parametrize("case", CASES)
def test_a_killed_stage_gives_the_undisturbed_weights(case, run, undisturbed, tmp_path):
    check(case, [3, 5], run, undisturbed, tmp_path / "killed")
    assert record(undisturbed[case]).steps >= STEPS
    start, end = load_file(run / "dropping" / "model.safetensors"), weights(tmp_path / "killed")
    assert not any(torch.equal(start[name], end[name]) for name in start)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(sorted(CASES)), kills=st.lists(st.integers(1, STEPS), min_size=1, max_size=2))
def test_any_kills_give_the_undisturbed_weights(case, kills, run, undisturbed, tmp_path_factory):
    check(case, kills, run, undisturbed, tmp_path_factory.mktemp("killed") / case)
