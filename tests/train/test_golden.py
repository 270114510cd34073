"""Loss curves of a tiny model through the real command line, against committed ones and against each other.

The curves are fp32 on one thread. They were compared with those of a process held to the instructions of an
older processor (docs/training.md has the differences); the tolerances are far above what that changes, and
far below what a change of data, order, loss or optimiser does.
"""

from __future__ import annotations

from pathlib import Path

import golden_run
import pytest
from golden_run import Curve, golden, train

TOLERANCES = {"loss": 1e-3, "grad_norm": 1e-2}
"""Absolute up to 1, relative above."""
FIGURES = 0.1
"""Of the figures of RL: two of 16 completions may be drawn otherwise where two tokens are as likely."""
SHORT = {"tokens": "10000"}
"""Fine-tuning of a few updates, for variants that should agree."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    golden_run.make_data(folder)
    return folder


@pytest.fixture(scope="module")
def cpt(folder: Path) -> Curve:
    return train(folder, "cpt")


@pytest.fixture(scope="module")
def sft(folder: Path, cpt: Curve) -> Curve:
    return train(folder, "sft")


@pytest.fixture(scope="module")
def rl(folder: Path, sft: Curve) -> Curve:
    return train(folder, "rl")


@pytest.fixture(scope="module")
def short(folder: Path, cpt: Curve) -> Curve:
    return variant(folder, "short", **SHORT)


def variant(folder: Path, name: str, stage: str = "sft", **changes: str) -> Curve:
    """Train with changed settings into a folder of its own."""
    return train(folder, stage, output=f'"{name}"', **changes)


def apart(one: Curve, other: Curve) -> float:
    """Return the largest difference between two curves, in units of what is tolerated."""
    assert [sorted(point) for point in one] == [sorted(point) for point in other]
    assert [point["step"] for point in one] == [point["step"] for point in other]
    return max(
        abs(a[key] - b[key]) / max(1.0, abs(b[key])) / TOLERANCES.get(key, FIGURES)
        for a, b in zip(one, other, strict=True)
        for key in b
        if key != "step"
    )


@pytest.mark.parametrize(
    "stage", ["cpt", pytest.param("sft", marks=pytest.mark.slow), pytest.param("rl", marks=pytest.mark.slow)]
)
def test_the_curve_is_the_committed_one(stage: str, request: pytest.FixtureRequest) -> None:
    assert apart(request.getfixturevalue(stage), golden(stage)) < 1


def test_the_golden_curves_are_of_trainings_that_learn() -> None:
    for stage in ("cpt", "sft"):
        losses = [point["loss"] for point in golden(stage)]
        assert losses[-1] < 0.7 * losses[0]
    curve = golden("rl")
    assert any(point["grad_norm"] > 0 for point in curve)
    assert len({point["search/reward"] for point in curve}) > 1


def test_accumulation_agrees_with_a_larger_batch(folder: Path, short: Curve) -> None:
    accumulated = variant(folder, "accumulated", **SHORT, batch_size="1", gradient_accumulation="2")
    assert apart(accumulated, short) < 0.1


def test_gradient_checkpointing_agrees_with_keeping_activations(folder: Path, short: Curve) -> None:
    assert apart(variant(folder, "checkpointed", **SHORT, gradient_checkpointing="true"), short) < 0.1


def test_bf16_stays_near_fp32(folder: Path, short: Curve) -> None:
    rounded = variant(folder, "bf16", **SHORT, precision='"bf16"')
    losses = [(a["loss"], b["loss"]) for a, b in zip(rounded, short, strict=True)]
    assert max(abs(a - b) / b for a, b in losses) < 0.05
    assert any(a != b for a, b in losses)


def test_packed_agrees_with_padded(folder: Path, cpt: Curve) -> None:
    """One update on the whole dataset, so that both see the same tokens: its loss and gradient are equal."""
    whole = {"tokens": "", "batch_size": "64"}  # without tokens: one epoch
    one, other = (
        variant(folder, f"packing-{packing}", **whole, packing=packing) for packing in ("true", "false")
    )
    assert len(one) == len(other) == 1
    assert apart(one, other) < 0.1


@pytest.mark.slow
def test_accumulation_agrees_in_rl(folder: Path, rl: Curve) -> None:
    assert apart(variant(folder, "rl-accumulated", "rl", batch_size="8"), rl) < 1
