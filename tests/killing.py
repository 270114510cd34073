"""Run a steiner command under SIGKILL, and read what a run directory holds, to compare runs."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

POLL_SECONDS = 0.01


class JournalContent(NamedTuple):
    """All that a journal holds, row by row."""

    stages: list[tuple[str, str, str, int, str]]
    """Name, settings, inputs, complete, summary."""
    records: list[tuple[str, str, int, bytes]]
    """Stage, key, ordinal, JSON body."""


def steiner(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a steiner command to its end, which must be a good one."""
    result = subprocess.run(_command(argv), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result


def run_with_kills(
    argv: Sequence[str | Path], seed: int, kills: int, done: Callable[[], int], total: int
) -> int:
    """Start the command and SIGKILL it at a random moment, `kills` times over; then let it finish.

    A process is killed once a random amount of all work is done, and up to 0.3 seconds later. Where an
    earlier one did that much already, the moment falls into its start. Only the process itself is killed, as
    `kill -9` does it: its workers must end by themselves.

    Args:
        argv: the command, without `steiner`.
        seed: decides the moments, as far as a clock lets it.
        kills: how many processes to start before the one that may finish.
        done: says how much of the work is stored.
        total: what `done` says in the end.

    Returns:
        How many processes were killed; the others had finished before their moment came.
    """
    rng = random.Random(seed)
    killed = 0
    for wanted in sorted(rng.randrange(total) for _ in range(kills)):
        with subprocess.Popen(
            _command(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and done() < wanted:
                time.sleep(POLL_SECONDS)
            time.sleep(0.3 * rng.random())
            if process.poll() is None:
                process.kill()
                killed += 1
    steiner(*argv)
    return killed


def stored(run: Path, stage: str) -> int:
    """Return the number of records of a stage, 0 while there is no journal."""
    rows = _rows(run, "SELECT COUNT(*) FROM records WHERE stage=?", stage)
    return int(rows[0][0]) if rows else 0


def journal_content(run: Path) -> JournalContent:
    """Read everything in the journal of a run."""
    stages = _rows(run, "SELECT name, settings, inputs, complete, summary FROM stages ORDER BY name")
    records = _rows(run, "SELECT stage, key, ordinal, body FROM records ORDER BY stage, ordinal, key")
    return JournalContent(stages, [(*row[:3], zlib.decompress(row[3])) for row in records])


def folder_content(folder: Path) -> dict[str, bytes]:
    """Read every file under a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _rows(run: Path, sql: str, *values: str) -> list[tuple]:  # type: ignore[type-arg]
    path = run / "journal.sqlite"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(sql, values).fetchall()
    except sqlite3.OperationalError:
        # Killed before the tables were made.
        return []


def _command(argv: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "steiner.cli.main", *map(str, argv)]
