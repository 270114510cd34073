"""What the commands share: a progress display and small printing helpers."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

out = Console(highlight=False)
"""Results go to standard output."""
err = Console(stderr=True, highlight=False)
"""Progress and notes go to standard error."""


class RichProgress:
    """Draws `steiner.core.Progress` on the terminal; where there is none, prints a line now and then."""

    LINE_SECONDS = 15.0

    def __init__(self) -> None:
        """Draw a bar if standard error is a terminal, else plain lines."""
        self._live = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._title = ""
        self._total: float | None = None
        self._started = self._last_line = 0.0
        self._done = self._first = 0.0

    def start(self, title: str, total: float | None) -> None:
        """Begin a piece of work."""
        self.finish()
        self._title, self._total = title, total
        self._started = self._last_line = time.monotonic()
        self._done, self._first = 0.0, -1.0
        if self._live:
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"), console=err, transient=False,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(title, total=total, note="")

    def update(self, done: float, note: str = "") -> None:
        """Show how far the work is."""
        if self._first < 0:
            self._first = done
        self._done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, note=note)
        elif self._title and time.monotonic() - self._last_line >= self.LINE_SECONDS:
            self._last_line = time.monotonic()
            err.print(self._line(note))

    def finish(self, note: str = "") -> None:
        """End the piece of work."""
        if self._bar is not None:
            self._bar.stop()
        elif self._title:
            seconds = time.monotonic() - self._started
            err.print(f"{self._title}: {self._done:,.0f} done in {seconds:.0f} s {note}".rstrip())
        self._bar, self._task, self._title = None, None, ""

    def _line(self, note: str) -> str:
        elapsed = time.monotonic() - self._started
        parts = [f"{self._title}: {self._done:,.0f}"]
        if self._total:
            parts = [f"{self._title}: {self._done:,.0f}/{self._total:,.0f}"]
            gained = self._done - self._first
            if gained > 0:
                parts.append(f"{elapsed * (self._total - self._done) / gained:,.0f} s left")
        return ", ".join([*parts, note] if note else parts)
