"""Faults while training: a loss that is no number, a cut save, a full disk, what belongs elsewhere."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from trl import SFTTrainer

from steiner.cli.common import is_right, reader_for
from steiner.core import InputError, NoProgress, StorageError
from steiner.store import atomic
from steiner.train import stage
from steiner.train.rl import train_rl
from steiner.train.settings import SftSettings
from steiner.train.stage import WHOLE, StageFolder, TrainingRecord, is_whole
from steiner.train.supervised import train_cpt, train_sft

STEPS = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def base(run: Path) -> Path:
    train_cpt(tiny_run.cpt(run, run / "cpt"))
    return run / "cpt" / "model"


@pytest.fixture(scope="module")
def undisturbed(run: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "sft"
    assert train_sft(settings(run, output, base)).steps >= STEPS
    return output


def settings(run: Path, output: Path, base: Path, **changes: object) -> SftSettings:
    return tiny_run.sft(run, output, base, **changes)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def whole_steps(output: Path) -> list[int]:
    """Return the steps of the checkpoints that are marked as whole."""
    return sorted(int(mark.parent.name.rsplit("-", 1)[1]) for mark in output.glob(f"checkpoint-*/{WHOLE}"))


def in_a_process(work: Callable[[], None]) -> int:
    """Run `work` in a copy of this process and return how that ended: its exit code, or minus its signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Begins(NoProgress):
    """Remembers where a training began; does something once so many steps are done."""

    def __init__(self, step: int | None = None, then: Callable[[], None] = lambda: None) -> None:
        self.seen: list[float] = []
        self._step, self._then = step, then

    def update(self, done: float, note: str = "") -> None:
        self.seen.append(done)
        if done == self._step:
            self._then()


def test_a_loss_that_turns_nan_stops_before_the_update(run, base, undisturbed, tmp_path, monkeypatch):
    compute = SFTTrainer.compute_loss

    def poisoned(trainer, *arguments, **more):
        loss = compute(trainer, *arguments, **more)
        if trainer.state.global_step == 3:
            return (loss[0] * float("nan"), *loss[1:]) if isinstance(loss, tuple) else loss * float("nan")
        return loss

    here = settings(run, tmp_path / "sft", base)
    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "compute_loss", poisoned)
        with pytest.raises(InputError, match=r"sft: the loss is nan at step 4.*checkpoint .* is kept"):
            train_sft(here)
    assert whole_steps(tmp_path / "sft") == [2]
    kept = load_file(tmp_path / "sft" / "checkpoint-2" / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    # The cause is gone: the same command goes on from there and ends where it would have ended.
    watcher = Begins()
    train_sft(here, progress=watcher)
    assert watcher.seen[0] == 2
    assert same(tmp_path / "sft", undisturbed)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "cut",
    [
        "_save_optimizer_and_scheduler",
        pytest.param("_save_rng_state", marks=SLOW),
        pytest.param("mark", marks=SLOW),
        "mark half written",
    ],
)
def test_a_kill_in_the_middle_of_a_save_leaves_no_checkpoint_to_go_on_from(
    run, base, undisturbed, tmp_path, monkeypatch, cut
):
    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def killed() -> None:
        def armed() -> None:  # the checkpoint of step 2 is whole, the next save is cut
            if cut.startswith("_save"):
                monkeypatch.setattr(SFTTrainer, cut, kill)
            elif cut == "mark":
                monkeypatch.setattr(stage, "atomic_write", kill)
            else:
                monkeypatch.setattr(atomic.os, "fsync", kill)

        train_sft(settings(run, tmp_path / "sft", base), progress=Begins(3, armed))

    assert in_a_process(killed) == -signal.SIGKILL
    assert (tmp_path / "sft" / "checkpoint-4" / "model.safetensors").exists()
    assert whole_steps(tmp_path / "sft") == [2]
    watcher = Begins()
    train_sft(settings(run, tmp_path / "sft", base), progress=watcher)
    assert watcher.seen[0] == 2
    assert same(tmp_path / "sft", undisturbed)


@pytest.mark.parametrize("models", [0.5, pytest.param(1.5, marks=SLOW)])
def test_a_full_disk_keeps_the_last_whole_checkpoint(run, base, undisturbed, tmp_path, models):
    """No file may grow beyond so many sizes of the model: it does not fit, or its optimiser does not."""
    largest = round(models * (base / "model.safetensors").stat().st_size)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))

    try:
        with pytest.raises(StorageError, match=r"cannot be written.*run the same command again to go on"):
            train_sft(settings(run, tmp_path / "sft", base), progress=Begins(3, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert whole_steps(tmp_path / "sft") == [2]
    watcher = Begins()
    train_sft(settings(run, tmp_path / "sft", base), progress=watcher)
    assert watcher.seen[0] == 2
    assert same(tmp_path / "sft", undisturbed)


def test_checkpoints_of_another_training_are_never_gone_on_from(
    run, base, undisturbed, tmp_path, monkeypatch
):
    """A kill after `--force` began the new training, and before it discarded what the old one left."""

    def killed_by_force() -> None:
        monkeypatch.setattr(StageFolder, "_discard", lambda _: os.kill(os.getpid(), signal.SIGKILL))
        train_sft(settings(run, tmp_path / "sft", base), force=True)

    def killed_in_training() -> None:
        old = settings(run, tmp_path / "sft", base, seed=1)
        train_sft(old, progress=Begins(5, lambda: os.kill(os.getpid(), signal.SIGKILL)))

    assert in_a_process(killed_in_training) == -signal.SIGKILL
    assert whole_steps(tmp_path / "sft") == [2, 4]
    assert in_a_process(killed_by_force) == -signal.SIGKILL
    assert whole_steps(tmp_path / "sft") == [2, 4]
    watcher = Begins()
    train_sft(settings(run, tmp_path / "sft", base), progress=watcher)
    assert watcher.seen[0] == 0
    assert same(tmp_path / "sft", undisturbed)


def test_only_the_whole_digest_marks_a_checkpoint(tmp_path):
    digest = "0123456789abcdef"
    assert not is_whole(tmp_path, digest)
    for length in range(len(digest)):
        (tmp_path / WHOLE).write_text(digest[:length])
        assert not is_whole(tmp_path, digest)
    (tmp_path / WHOLE).write_bytes(b"\xff" * 16)
    assert not is_whole(tmp_path, digest)
    (tmp_path / WHOLE).write_text(digest)
    assert is_whole(tmp_path, digest)
    assert not is_whole(tmp_path, digest[::-1])


def edit_journal(run: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(run / "journal.sqlite")) as journal, journal:
        assert journal.execute(statement, values).rowcount > 0


def copy_of(run: Path, to: Path) -> Path:
    to.mkdir()
    (to / "journal.sqlite").write_bytes((run / "journal.sqlite").read_bytes())
    return to


def test_graphs_made_from_other_traces_are_refused(run, base, tmp_path):
    stale = copy_of(run, tmp_path / "stale")
    edit_journal(
        stale, "UPDATE stages SET settings=json_set(settings, '$.truncations', 9) WHERE name='traces'"
    )
    with pytest.raises(InputError, match=r"'graphs' .* other traces .*--force"):
        train_rl(tiny_run.rl(stale, tmp_path / "rl", base), is_right, reader_for("countdown"))


def test_a_graph_of_another_problem_is_refused(run, base, tmp_path):
    mixed = copy_of(run, tmp_path / "mixed")
    with closing(sqlite3.connect(mixed / "journal.sqlite")) as journal:
        rows = journal.execute("SELECT key, body FROM records WHERE stage='graphs'").fetchall()
    bodies = [json.loads(zlib.decompress(body)) for _, body in rows]
    for (key, _), body in zip(rows, [*bodies[1:], bodies[0]], strict=True):
        edit_journal(
            mixed, "UPDATE records SET body=? WHERE stage='graphs' AND key=?",
            zlib.compress(json.dumps(body).encode()), key,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"graph .* of problem .* belongs to"):
        train_rl(tiny_run.rl(mixed, tmp_path / "rl", base), is_right, reader_for("countdown"))


def test_alarms_are_in_the_record(undisturbed):
    record = TrainingRecord.model_validate_json((undisturbed / "training.json").read_bytes())
    assert record.alarms == ()
