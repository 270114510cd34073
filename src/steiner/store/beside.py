"""What a worker reads beside the record it works on: records of the same key from other stages.

A worker process of this machine opens the journal. A worker elsewhere has no such file (and SQLite must not
be shared over a network), so it is handed the bodies with each record.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from steiner.core import InputError
from steiner.store.journal import Journal


class Beside(NamedTuple):
    """Which records a worker may read beside its own."""

    journal: Path
    """The journal file."""
    stages: tuple[str, ...]
    """Stages whose record of the same key may be read."""


class _Source(NamedTuple):
    beside: Beside
    journal: Journal


_source: _Source | None = None
_handed: tuple[str, Mapping[str, bytes]] | None = None


def open_beside(beside: Beside) -> None:
    """Open the journal for reading in this process."""
    global _source
    close_beside()
    _source = _Source(beside, Journal(beside.journal, read_only=True))


def close_beside() -> None:
    """Forget what `open_beside` opened or `hand_over` handed over, if anything."""
    global _source, _handed
    if _source is not None:
        _source.journal.close()
    _source = _handed = None


def hand_over(key: str, bodies: Mapping[str, bytes]) -> None:
    """Let `read_beside` give these bodies, by stage, for this key until the next call."""
    global _handed
    _handed = (key, bodies)


def collect(journal: Journal, beside: Beside, key: str) -> dict[str, bytes]:
    """Return what `hand_over` wants for a key; stages without a record of it are left out."""
    found = {stage: journal.get(stage, key) for stage in beside.stages}
    return {stage: record.body for stage, record in found.items() if record is not None}


def read_beside(stage: str, key: str) -> bytes:
    """Return the body of a record beside the one in work.

    Raises:
        InputError: if there is no such record.
    """
    if _handed is not None:
        known, bodies = _handed
        assert key == known, f"{key} is not the record in work, {known}"
        body = bodies.get(stage)
    else:
        assert _source is not None, "the stage was run without `beside`"
        assert stage in _source.beside.stages, f"'{stage}' is missing in `beside`: it would not travel along"
        record = _source.journal.get(stage, key)
        body = None if record is None else record.body
    if body is None:
        raise InputError(
            f"The run has no record {key} in its stage '{stage}': run the command that makes it again."
        )
    return body
