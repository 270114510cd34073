"""SIGKILL at any moment, through the real command line: the same command finishes the same work."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from killing import JournalContent, folder_content, journal_content, run_with_kills, steiner, stored
from steiner.problems.countdown import CountdownSettings, generate
from steiner.store import RunDir, Stage, StoredRecord

QUESTIONS = 300

COMMANDS = {
    "traces": ("synthesize", "--truncations", "20", "--seed", "3"),
    "graphs": ("graph",),
    "paths": ("sample", "--per-question", "20"),
    "dataset": ("dataset", "--tokenizer", "{tokenizer}"),
}
"""Stage → the command that makes it, in the order of the pipe."""


class Undisturbed(NamedTuple):
    """One command that nobody disturbed."""

    argv: tuple[str, ...]
    """Without `--run` and `--workers`."""
    before: Path
    """A copy of the run as the command found it."""
    journal: JournalContent
    """What the journal held afterwards."""
    files: dict[str, bytes]
    """The files of `dataset/` afterwards."""


def make_problems(path: Path, count: int) -> None:
    """Make a run directory that holds `count` problems and nothing else."""
    settings = CountdownSettings(count=4, low=1, high=20, target_low=10, target_high=60)
    with RunDir(path) as run:
        stage = Stage(run, "problems", settings)
        stage.put(
            StoredRecord(problem.id, ordinal, problem.model_dump_json().encode())
            for ordinal, problem in enumerate(generate(settings, count))
        )
        stage.finish({"problems": count})


def make_tokenizer(folder: Path) -> Path:
    """Save a tokenizer that can write anything, and digits one by one."""
    from steiner.dataset.tokenizer import train_tokenizer

    words = "target , got , off by left dead end , go back on"
    texts = [f"From {n} {n + 1} {words}" for n in range(99)]
    train_tokenizer(texts, vocab_size=512, numbers_to=9).save_pretrained(folder)
    return folder


class Pipe:
    """A run that goes through the pipe undisturbed, with one worker, as far as it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results: dict[str, Undisturbed] = {}
        make_problems(folder / "run", QUESTIONS)

    def at(self, stage: str) -> Undisturbed:
        """Return what the command of a stage did, running it and those before it if need be."""
        for name in COMMANDS:
            if name not in self._results:
                self._results[name] = self._make(name)
            if name == stage:
                break
        return self._results[stage]

    def _make(self, stage: str) -> Undisturbed:
        run, tokenizer = self._folder / "run", self._folder / "tokenizer"
        if stage == "dataset":
            make_tokenizer(tokenizer)
        argv = tuple(word.format(tokenizer=tokenizer) for word in COMMANDS[stage])
        before = shutil.copytree(run, self._folder / f"before-{stage}")
        steiner(*argv, "--run", run, "--workers", "1")
        return Undisturbed(argv, before, journal_content(run), folder_content(run / "dataset"))


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Pipe:
    return Pipe(tmp_path_factory.mktemp("pipe"))


def check(undisturbed: Undisturbed, stage: str, run: Path, kills: int) -> None:
    """Kill the command that makes `stage`, with two workers, and compare."""
    assert len(undisturbed.journal.records) > QUESTIONS
    shutil.copytree(undisturbed.before, run)
    argv = [*undisturbed.argv, "--run", str(run), "--workers", "2"]
    if stage == "dataset":
        # Its records are whole files, few and late; a file that is being written counts.
        files, total = run / "dataset", len(undisturbed.files)
        killed = run_with_kills(argv, 5, kills, lambda: len(list(files.glob("*"))), total)
    else:
        killed = run_with_kills(argv, 5, kills, partial(stored, run, stage), QUESTIONS)
    assert killed >= 1
    assert journal_content(run) == undisturbed.journal
    assert folder_content(run / "dataset") == undisturbed.files


def test_a_killed_synthesis_goes_on(pipe: Pipe, tmp_path: Path) -> None:
    check(pipe.at("traces"), "traces", tmp_path / "run", kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(COMMANDS))
def test_a_command_killed_often_goes_on(pipe: Pipe, tmp_path: Path, stage: str) -> None:
    check(pipe.at(stage), stage, tmp_path / "run", kills=4)
