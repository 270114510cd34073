"""The monitor inside real trainings: it tells once, goes on after a kill, and stops what must not go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import golden_run
import pytest
import tiny_run

from steiner.core import InputError, NoProgress, Problem, Step
from steiner.train import rl
from steiner.train.locate_steps import StepReading
from steiner.train.monitor import find_alarms
from steiner.train.monitor.figures import read
from steiner.train.rl import train_rl
from steiner.train.settings import RlSettings
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
    """Calls every step that adds sound: a reward that can be had without thinking."""

    def start_state(self, problem: Problem) -> str:
        return "start"

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[StepReading]:
        return [StepReading("start", None, "+" in step.thought) for step in steps]


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


def fooled(folder: Path, stop: int | None = None) -> TrainingRecord:
    """Train the model of the golden curves on a reward that needs no right answer."""
    settings = RlSettings(
        output=str(folder / "fooled"), model={"path": str(folder / "sft" / "model")}, run=str(folder / "run"),
        steps=UPDATES, prompts=2, group=8, min_steps=2, max_steps=2, max_reasoning_tokens=80,
        max_answer_tokens=8, mask_truncated=False, rewards=[{"name": "dag"}],
        optimiser={"learning_rate": 2e-4, "schedule": "constant", "batch_size": 16, "precision": "fp32",
                   "save_every": 10},
    )  # fmt: skip
    progress = NoProgress() if stop is None else StopsAt(stop)
    return train_rl(settings, never_right, FooledReader(), progress=progress)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "steiner.train"]


@pytest.mark.slow
def test_a_reward_that_can_be_hacked_is_hacked_and_found_and_told_once(tmp_path, caplog):
    golden_run.make_data(tmp_path)
    for stage in ("cpt", "sft"):
        golden_run.train(tmp_path, stage)
    with caplog.at_level(logging.WARNING, "steiner.train"):
        with pytest.raises(StoppedError):
            fooled(tmp_path, stop=UPDATES - 1)
        assert told(caplog)
        record = fooled(tmp_path)
    hacked = next(alarm for alarm in record.alarms if alarm.name == "reward_without_accuracy")
    assert "accuracy 0.0% → 0.0%" in hacked.evidence
    # The second call knows from its checkpoint what had been told by then.
    names = [line.split(" since ")[0] for line in told(caplog)]
    late = [alarm for alarm in record.alarms if alarm.since > UPDATES - 10]
    assert len(names) <= len(record.alarms) + len(late)
    assert set(names) == {f"rl: {alarm.name}" for alarm in record.alarms}
    # What was found while it ran is found again in what it left.
    points = [(p.step, figures) for p in record.curve if (figures := read(p.values)) is not None]
    assert len(points) == UPDATES
    assert find_alarms(points) == record.alarms


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
