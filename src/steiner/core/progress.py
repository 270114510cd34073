"""How long work tells that it goes on, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the state of one piece of long work; the command line draws it."""

    def start(self, title: str, total: float | None) -> None:
        """Begin a piece of work of `total` units, None where nobody knows."""
        ...

    def update(self, done: float, note: str = "") -> None:
        """Say that `done` units are finished in all, with a short note such as a rate or a loss."""
        ...

    def finish(self, note: str = "") -> None:
        """Say that the piece of work has ended."""
        ...


class NoProgress:
    """A `Progress` that nobody listens to."""

    def start(self, title: str, total: float | None) -> None:
        """Do nothing."""

    def update(self, done: float, note: str = "") -> None:
        """Do nothing."""

    def finish(self, note: str = "") -> None:
        """Do nothing."""
