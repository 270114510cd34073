"""What a worker process reads from the journal beside the record it works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter

from steiner.core import InputError, Problem, StepGraph, StorageError, Trace
from steiner.store import Journal

_TRACES = TypeAdapter(list[Trace] | None)
_journal: Journal | None = None


def open_journal(path: Path) -> None:
    """Open the journal for reading in this process: the initializer of workers."""
    global _journal
    close_journal()
    _journal = Journal(path, read_only=True)


def close_journal() -> None:
    """Close what `open_journal` opened, if anything."""
    global _journal
    if _journal is not None:
        _journal.close()
        _journal = None


@contextmanager
def closing_journal() -> Iterator[None]:
    """Close the journal of this process at the end: with one worker the initializer runs here."""
    try:
        yield
    finally:
        close_journal()


def _body(stage: str, key: str) -> bytes:
    assert _journal is not None, "open_journal() is the initializer of the workers"
    record = _journal.get(stage, key)
    if record is None:
        raise InputError(
            f"{_journal.path} has no record {key} in its stage '{stage}': "
            "run the command that makes it again."
        )
    return record.body


def read_problem(key: str) -> Problem:
    """Return a problem of the run."""
    return Problem.model_validate_json(_body("problems", key))


def read_graph(key: str) -> StepGraph:
    """Return a step graph of the run.

    Raises:
        StorageError: if it is not a valid graph.
    """
    return parse_graph(key, _body("graphs", key))


def parse_graph(key: str, body: bytes) -> StepGraph:
    """Validate a stored graph.

    Raises:
        StorageError: if it is not a valid graph.
    """
    try:
        return StepGraph.model_validate_json(body)
    except ValueError as error:
        raise StorageError(f"The stored graph of problem {key} is damaged: {error}.") from error


def read_traces(key: str) -> list[Trace]:
    """Return the traces of a problem."""
    return parse_traces(_body("traces", key))


def parse_traces(body: bytes) -> list[Trace]:
    """Return the traces of a stored record."""
    return _TRACES.validate_json(body) or []
