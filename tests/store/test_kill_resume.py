"""SIGKILL at any moment, through the real command line: the same command finishes the same work."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from killing import journal_content, run_with_kills, steiner, stored
from steiner.problems.countdown import CountdownSettings, generate
from steiner.store import RunDir, Stage, StoredRecord


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


def check_synthesis(folder: Path, count: int, kills: int) -> None:
    quiet, killed = folder / "quiet", folder / "killed"
    make_problems(quiet, count)
    shutil.copytree(quiet, killed)
    options = ["--truncations", "20", "--seed", "3"]
    steiner("synthesize", "--run", quiet, "--workers", "1", *options)
    argv = ["synthesize", "--run", str(killed), "--workers", "2", *options]
    assert run_with_kills(argv, 7, kills, partial(stored, killed, "traces"), count) >= kills // 2
    assert stored(killed, "traces") == count
    assert journal_content(killed) == journal_content(quiet)


def test_synthesis_survives_kills(tmp_path: Path) -> None:
    check_synthesis(tmp_path, 300, 3)


@pytest.mark.slow
def test_synthesis_survives_many_kills(tmp_path: Path) -> None:
    check_synthesis(tmp_path, 3000, 12)
