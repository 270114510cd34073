"""The monitor inside real trainings: it tells once, goes on after a kill, and stops what must not go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_run

from steiner.core import InputError, NoProgress, Problem, Step
from steiner.train import rl
from steiner.train.locate_steps import StepReading
from steiner.train.monitor import Alarm, find_alarms
from steiner.train.monitor.figures import read
from steiner.train.rl import train_rl
from steiner.train.stage import TrainingRecord
from steiner.train.supervised import train_cpt

UPDATES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def base(run: Path) -> Path:
    train_cpt(tiny_run.cpt(run, run / "cpt"))
    return run / "cpt" / "model"


class FooledReader:
    """Calls every step with a short name sound: a reward that can be had without thinking."""

    def start_state(self, problem: Problem) -> str:
        return "start"

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[StepReading]:
        return [StepReading("start", None, len(step.name) <= 4) for step in steps]


class StoppedError(Exception):
    """Stands for whatever ends a training from outside."""


class StopsAt(NoProgress):
    def __init__(self, step: int) -> None:
        self._step = step

    def update(self, done: float, note: str = "") -> None:
        if done == self._step:
            raise StoppedError


def never_right(problem: Problem, answer: str) -> bool:
    return False


def fooled(run: Path, output: Path, base: Path, stop: int | None = None) -> TrainingRecord:
    """Train on a reward that needs no right answer."""
    settings = tiny_run.rl(
        run, output, base, steps=UPDATES, max_steps=3, max_reasoning_tokens=60,
        optimiser=tiny_run.OPTIMISER | {"learning_rate": 1e-2, "batch_size": 8, "save_every": 10},
    )  # fmt: skip
    progress = NoProgress() if stop is None else StopsAt(stop)
    return train_rl(settings, never_right, FooledReader(), progress=progress)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "steiner.train"]


def test_a_reward_that_can_be_hacked_is_hacked_and_found(run, base, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "steiner.train"):
        record = fooled(run, tmp_path / "rl", base)
    hacked = next(alarm for alarm in record.alarms if alarm.name == "reward_without_accuracy")
    assert "accuracy 0.0% → 0.0%" in hacked.evidence
    assert [line.split(" since ")[0] for line in told(caplog)] == [f"rl: {a.name}" for a in record.alarms]
    # What was found while it ran is found again in what it left.
    points = [(p.step, figures) for p in record.curve if (figures := read(p.values)) is not None]
    assert len(points) == UPDATES
    assert find_alarms(points) == record.alarms


def test_a_resumed_training_knows_its_alarms_and_tells_none_twice(run, base, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "steiner.train"):
        with pytest.raises(StoppedError):
            fooled(run, tmp_path / "rl", base, stop=31)
        first = len(told(caplog))
        record = fooled(run, tmp_path / "rl", base)
    names = [line.split(" since ")[0] for line in told(caplog)]
    assert first > 0
    assert sorted(names) == sorted(f"rl: {alarm.name}" for alarm in record.alarms)
    assert all(isinstance(alarm, Alarm) for alarm in record.alarms)


def test_stale_weights_stop_the_training_and_keep_its_checkpoint(run, base, tmp_path, monkeypatch):
    measure = rl.batch_figures

    def with_gap(*arguments):
        return measure(*arguments) | {"search/logprob_gap": 0.2}

    monkeypatch.setattr(rl, "batch_figures", with_gap)
    settings = tiny_run.rl(run, tmp_path / "rl", base, steps=6)
    with pytest.raises(
        InputError, match=r"stale_weights since step 3: gap of 0\.200 nats.*checkpoint .* kept"
    ):
        train_rl(settings, never_right, FooledReader())
    assert (tmp_path / "rl" / "checkpoint-2").is_dir()
    assert not (tmp_path / "rl" / "model").exists()
