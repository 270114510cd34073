"""Progress of the whole run: which stage it is at, and how much time all of them still need."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import psutil

from steiner.cli.ui import RichProgress, err
from steiner.core import Progress
from steiner.evaluate import StageTime
from steiner.store import RunDir, StoredRecord

STAGE = "times"

SHARES: dict[str, float] = {
    "problems": 2, "traces": 12, "graphs": 8, "paths": 6, "tokenizer": 2, "dataset": 8,
    "untrained model": 20, "cpt": 40, "after cpt": 8, "sft": 280, "after sft": 45, "rl": 90,
    "after rl": 45, "report": 3,
}  # fmt: skip
"""Seconds each stage takes in a default run on two quiet cores: only their proportions matter."""


class Clock:
    """Times stages, keeps the times in the journal, and estimates what is left from how fast it has been."""

    def __init__(self, run: RunDir, minutes: float) -> None:
        """Start the clock of a run that was asked to take about `minutes`."""
        self._run = run
        self._nominal = minutes / 10
        self._known = run.journal.keys(STAGE)
        self._left_shares = {name: share for name, share in SHARES.items() if name not in self._known}
        self._spent_share = 0.0
        self._spent_seconds = 0.0
        self.progress: Progress = RichProgress()

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Announce a stage with the time left, and store how long it took unless it was done already."""
        number = list(SHARES).index(name) + 1
        err.print(f"[bold]{number}/{len(SHARES)} {title}[/bold] [dim]({self._left()} left)[/dim]")
        wall, cpu = time.monotonic(), cpu_seconds()
        yield
        if name in self._known:
            return
        seconds = time.monotonic() - wall
        self._spent_seconds += seconds
        self._spent_share += self._left_shares.pop(name)
        row = StageTime(name=title, seconds=seconds, cpu_seconds=max(0.0, cpu_seconds() - cpu))
        body = orjson.dumps(row.model_dump(mode="json"))
        self._run.journal.put(STAGE, [StoredRecord(name, number, body)])

    def times(self) -> tuple[StageTime, ...]:
        """Return the time of each stage, those of earlier calls included."""
        return tuple(StageTime.model_validate_json(r.body) for r in self._run.journal.records(STAGE))

    def _left(self) -> str:
        # Trust the plan at first and the measurement more and more.
        planned = self._nominal
        measured = self._spent_seconds / self._spent_share if self._spent_share else planned
        weight = min(1.0, self._spent_seconds / 60)
        seconds = sum(self._left_shares.values()) * (weight * measured + (1 - weight) * planned)
        return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"


def cpu_seconds() -> float:
    """Return the processor time of this process and of all below it, those that have ended included.

    Workers are children of a fork server, which this process never waits for: `os.times` misses them.
    """
    own = psutil.Process()
    return sum(_seconds(process) for process in (own, *own.children(recursive=True)))


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # What a process that was waited for took is in its parent's figures.
    waited = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + waited)
