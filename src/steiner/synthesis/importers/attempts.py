"""What the formats share that give a question and attempts at it a record.

Their readers yield rows `{"problem": …, "attempts": […]}`, where an attempt is whatever the format's own
function needs to make traces of it. A row without a problem stands for a record that nothing can be made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from steiner.core import Problem, Step, Trace, TraceStep, digest
from steiner.problems.grading import grade
from steiner.synthesis.importers.jsonfile import Place
from steiner.synthesis.importers.prose import Passage, ProseSettings
from steiner.synthesis.importers.sentences import split_sentences
from steiner.synthesis.importers.spill import Plan, Spill
from steiner.synthesis.importers.wording import make_step

Row = tuple[int, str, bytes]
"""Number, key and JSON of a record, as the spill takes them."""


class Context(NamedTuple):
    """What an attempt is read with."""

    problem: Problem
    source: str
    """Name of the file."""
    prose: ProseSettings


MakeTraces = Callable[[Any, Context], Iterator[Trace]]
"""Makes the traces of one attempt; a trace without any step is left out."""


def row(place: Place, problem: Problem | None, attempts: Sequence[Any]) -> Row:
    """Return the row of one record."""
    body = {
        "problem": None if problem is None else problem.model_dump(mode="json"),
        "attempts": list(attempts),
    }
    return place.number, str(place.number), orjson.dumps(body)


def plan_rows(spill: Spill, sources: Sequence[str], limit: int | None) -> Plan:
    """Take each problem once, in the order of the files and their records. Memory: one problem a question."""
    problems: dict[str, Problem] = {}
    places: dict[str, list[str]] = {}
    records = unusable = 0
    for index, source in enumerate(sources):
        for number, item in spill.records(source):
            if item["problem"] is None:
                unusable += 1
                continue
            problem = Problem.model_validate(item["problem"])
            if problem.id in problems or limit is None or len(problems) < limit:
                problems.setdefault(problem.id, problem)
                places.setdefault(problem.id, []).append(f"{index}:{number}")
                records += len(item["attempts"])
    return Plan(
        problems=list(problems.values()),
        groups=list(places.items()),
        records=records,
        other_options=0,
        repeated=0,
        corrected=0,
        unusable=unusable,
    )


def traces_of(
    make: MakeTraces, spill: Spill, sources: Sequence[str], problem: Problem, prose: ProseSettings
) -> list[Trace]:
    """Return the traces of one problem in the order of files and records, equal ones once."""
    traces: dict[str, Trace] = {}
    for place in spill.group(problem.id):
        index, _, number = place.partition(":")
        source = sources[int(index)]
        item = spill.get(source, number)
        for attempt in item["attempts"]:
            for trace in make(attempt, Context(problem, source, prose)):
                if trace.steps:
                    traces.setdefault(trace.id, trace)
    return list(traces.values())


def step_of(text: str) -> Step:
    """Word a step that its author has set apart already."""
    sentences = tuple(split_sentences(" ".join(text.split())))
    return make_step(Passage("", sentences or (text.strip(),)))


_GOING_BACK = (
    "This does not hold up; I should go back and try another way.",
    "This does not lead to a sound answer, so I go back to an earlier step.",
    "Looking at it again, this line of thought fails; I will return and take a different one.",
    "I do not trust where this is going. Let me back up and reconsider.",
)
"""The sentences of `steiner.graph.TextWriter`, which takes them out where a path goes on from the step."""


def given_up(step: Step) -> Step:
    """Return the step as it reads where its trace goes back after it."""
    reason = _GOING_BACK[int(digest(step.thought), 16) % len(_GOING_BACK)]
    return step.model_copy(update={"reflection": reason})


def in_a_row(steps: Sequence[Step]) -> tuple[TraceStep, ...]:
    """Return the steps as a route without a detour."""
    return tuple(TraceStep(step=step, parent=index - 1) for index, step in enumerate(steps))


def is_right(problem: Problem, answer: str) -> bool:
    """Grade an answer.

    Raises:
        InputError: if the package that the grading needs is not installed.
    """
    return grade(problem, answer).right


def file_source(name: str, path: Path) -> str:
    """Return the `source` of the problems of a file."""
    return f"{name}:{path.name}"


def is_text(value: Any) -> bool:
    """Whether a value is text with something in it."""
    return isinstance(value, str) and bool(value.strip())
