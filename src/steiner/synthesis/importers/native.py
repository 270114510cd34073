"""Our own records as JSON Lines: a problem and its traces a line. What an export writes, an import reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from pydantic import ValidationError

from steiner.core import SCHEMA_VERSION, InputError, Problem, Record, Trace
from steiner.store import RunDir, atomic_write
from steiner.synthesis.importers.prose import ProseSettings
from steiner.synthesis.importers.spill import Plan, Spill


class NativeLine(Record):
    """One line of a native file."""

    schema_version: int = SCHEMA_VERSION
    problem: Problem
    traces: tuple[Trace, ...]


def read_lines(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """Yield (line number, problem id, JSON) of each line of a file.

    Raises:
        InputError: names the line and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    item = _parsed(line, f"{path}: line {number}")
                    yield number, item.problem.id, item.model_dump_json().encode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _parsed(line: bytes, place: str) -> NativeLine:
    try:
        item = NativeLine.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise InputError(
            f"{place} is no record of problem and traces: {where}: {first['msg']}. Expected "
            '{"problem": {…}, "traces": [{…}, …]} as `steiner` exports it.'
        ) from error
    if item.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{place} has schema version {item.schema_version}, this steiner reads {SCHEMA_VERSION}."
        )
    foreign = [trace.problem_id for trace in item.traces if trace.problem_id != item.problem.id]
    if foreign:
        raise InputError(
            f"{place}: a trace belongs to problem {foreign[0]}, the problem of this line is "
            f"{item.problem.id}."
        )
    return item


def plan_lines(spill: Spill, sources: Sequence[str], limit: int | None) -> Plan:
    """Take each problem once, in the order of the files and their lines."""
    problems: dict[str, Problem] = {}
    traces: Counter[str] = Counter()
    repeated = 0
    for source in sources:
        for _, row in spill.records(source):
            problem = Problem.model_validate(row["problem"])
            repeated += problem.id in problems
            if problem.id in problems or limit is None or len(problems) < limit:
                problems.setdefault(problem.id, problem)
                traces[problem.id] += len(row["traces"])
    return Plan(
        problems=list(problems.values()),
        groups=[(key, [key]) for key in problems],
        records=traces.total(),
        other_options=0,
        repeated=repeated,
        corrected=0,
    )


def line_traces(spill: Spill, sources: Sequence[str], problem: Problem, _: ProseSettings) -> list[Trace]:
    """Return the traces of one problem from all files, equal ones once."""
    traces: dict[str, Trace] = {}
    for source in sources:
        row = spill.get(source, problem.id)
        for value in row["traces"] if row is not None else ():
            trace = Trace.model_validate(value)
            traces.setdefault(trace.id, trace)
    return list(traces.values())


def export_native(run: RunDir, path: Path) -> int:
    """Write all problems of a run with their traces; return the number of lines.

    Raises:
        StorageError: if the file cannot be written.
    """
    count = 0
    with atomic_write(path) as file:
        for record in run.journal.records("problems"):
            traces = run.journal.get("traces", record.key)
            line = {
                "schema_version": SCHEMA_VERSION,
                "problem": orjson.loads(record.body),
                "traces": (orjson.loads(traces.body) if traces is not None else None) or [],
            }
            file.write(orjson.dumps(line) + b"\n")
            count += 1
    return count
