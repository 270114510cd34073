"""What a worker process reads from the journal beside the record it works on."""

from __future__ import annotations

from pydantic import TypeAdapter

from steiner.core import Problem, StepGraph, StorageError, Trace
from steiner.store import read_beside

_TRACES = TypeAdapter(list[Trace] | None)


def read_problem(key: str) -> Problem:
    """Return a problem of the run."""
    return Problem.model_validate_json(read_beside("problems", key))


def read_graph(key: str) -> StepGraph:
    """Return a step graph of the run.

    Raises:
        StorageError: if it is not a valid graph.
    """
    return parse_graph(key, read_beside("graphs", key))


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
    return parse_traces(read_beside("traces", key))


def parse_traces(body: bytes) -> list[Trace]:
    """Return the traces of a stored record."""
    return _TRACES.validate_json(body) or []
