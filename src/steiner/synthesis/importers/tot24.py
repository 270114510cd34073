"""Logs of the Game of 24 by tree-of-thought search, and samples of the same puzzles.

Source: princeton-nlp/tree-of-thought-llm (Yao et al. 2023, arXiv 2305.10601), `logs/game24/`: a JSON list
with one object a puzzle. A log of a search holds for each depth the candidates (`new_ys`), their values and
which were kept (`select_new_ys`); logs of samples hold nothing but the texts (`ys`). States are the exact
numbers left, so that equal ones are one node of the graph; verdicts come from our own grader, never from the
log.

A search becomes

- one trace of the whole tree, kept and pruned candidates alike, depth-first: at each place in the order of
  the log, except that the way to the first right answer comes last, so that the trace ends with it;
- a trace for each other answer that was kept at the end.

A sample becomes a trace; where it goes back to numbers that it had before, so does the trace.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from steiner.core import Problem, Provenance, Trace, TraceStep, Verdict
from steiner.core.trace import FROM_QUESTION
from steiner.problems.expression import find_expression
from steiner.problems.game24 import TARGET, make_game24
from steiner.synthesis.importers.attempts import Context, Row, file_source, is_right, is_text, row
from steiner.synthesis.importers.jsonfile import Place, read_objects, wrong_shape
from steiner.synthesis.importers.looks import LOOKS
from steiner.synthesis.importers.operations24 import (
    Done,
    Pool,
    Refused,
    done_step,
    perform,
    read_operation,
    refused_step,
    state_of,
)
from steiner.teacher.countdown_text import give_up

EXPECTED = (
    "a log of the Game of 24 by tree-of-thought-llm: ys, a list of texts, and for a search steps, a list of "
    "objects "
    "with x (the four numbers), new_ys, values and select_new_ys"
)
_ANSWER = re.compile(r"^\s*\**Answer\**\s*:", re.IGNORECASE)
_Lines = tuple[str, ...]


def read_logs(path: Path) -> Iterator[Row]:
    """Yield the row of each puzzle.

    Raises:
        InputError: names the place, what was expected and the keys that were found.
    """
    for place, record in read_objects(path, EXPECTED):
        _check(place, record)
        given = _numbers(record)
        problem = make_game24(given, file_source("game24", path)) if len(given) == 4 else None
        searched = bool(record.get("steps"))
        attempts = [_search(record)] if searched else [{"text": text} for text in record["ys"]]
        yield row(place, problem, attempts)


def _check(place: Place, record: Mapping[str, Any]) -> None:
    steps, ys = record.get("steps") or [], record.get("ys")
    detail = ""
    if not isinstance(ys, list) or not all(isinstance(text, str) for text in ys):
        detail = "It has no ys that are texts"
    elif not isinstance(steps, list) or not all(_is_level(level) for level in steps):
        detail = "Its steps are not all objects with new_ys, values and select_new_ys of fitting lengths"
    if detail:
        others = {name: test for name, test in LOOKS.items() if name != "tot24"}
        raise wrong_shape(place, record, EXPECTED, others, detail)


def _is_level(level: Any) -> bool:
    if not isinstance(level, dict):
        return False
    texts, values, kept = (level.get(name) for name in ("new_ys", "values", "select_new_ys"))
    return (
        isinstance(texts, list)
        and isinstance(values, list)
        and isinstance(kept, list)
        and len(values) == len(texts)
        and all(isinstance(text, str) for text in [*texts, *kept])
        and all(isinstance(value, int | float) for value in values)
    )


def _numbers(record: Mapping[str, Any]) -> list[int]:
    """Return the numbers of a puzzle: as it says, else as most of its samples use them; else none."""
    given = (
        record.get("x") or record.get("input") or next((s.get("x") for s in record.get("steps") or []), None)
    )
    if is_text(given):
        return [int(n) for n in re.findall(r"\d+", str(given))]
    votes = Counter(found for text in record["ys"] if (found := _first_numbers(text)))
    # The smaller numbers among equals: the same whatever the order of the samples.
    return list(min(votes.items(), key=lambda vote: (-vote[1], vote[0]))[0]) if votes else []


def _first_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that the first operation of a text starts from; empty if it does not say."""
    operation = next(filter(None, map(read_operation, text.split("\n"))), None)
    if operation is None or operation.left is None or operation.result is None:
        return ()
    left = [written.value for written in operation.left]
    if operation.result.value not in left:
        return ()
    left.remove(operation.result.value)
    values = [*left, *(Fraction(n) for n in re.findall(r"\d+(?:\.\d+)?", operation.work))]
    whole = all(value.denominator == 1 and value > 0 for value in values)
    return tuple(sorted(map(int, values))) if whole and len(values) == 4 else ()


def _search(record: Mapping[str, Any]) -> dict[str, Any]:
    levels = [
        {name: level[name] for name in ("new_ys", "values", "select_new_ys")} for level in record["steps"]
    ]
    return {"levels": levels, "ys": record["ys"]}


def log_traces(attempt: Mapping[str, Any], context: Context) -> Iterator[Trace]:
    """Yield the traces of a search or of a sample."""
    if "levels" in attempt:
        yield from _Tree(attempt, context).traces()
    else:
        walk = _Walk(context.problem)
        answer = ""
        for line in _lines(attempt["text"]):
            if _ANSWER.match(line):
                answer = _ANSWER.sub("", line).strip()
                break
            walk.go(line)
        yield _trace(walk, answer, context, {"kind": "sample"})


def _lines(text: str) -> _Lines:
    return tuple(line.strip() for line in text.split("\n") if line.strip())


class _Walk:
    """A trace while it is being made, with the numbers left after each step."""

    def __init__(self, problem: Problem) -> None:
        self.start: Pool = tuple(sorted(Fraction(n) for n in problem.facts["numbers"]))
        self.steps: list[TraceStep] = []
        self.pools: list[Pool | None] = []
        """Numbers left after each step; None after what was no allowed operation."""
        self.end = FROM_QUESTION

    def pool(self, at: int) -> Pool | None:
        """Return the numbers left after a step, or at the question."""
        return self.start if at == FROM_QUESTION else self.pools[at]

    def go(self, line: str) -> bool:
        """Write a step from where its numbers are: here, or the last place before; False for mere words."""
        operation = read_operation(line)
        if operation is None:
            return False
        for at in (self.end, *reversed(range(FROM_QUESTION, len(self.steps)))):
            pool = self.pool(at)
            if pool is not None and isinstance(perform(pool, operation), Done):
                return self.go_from(at, line)
        return self.go_from(self.end, line)

    def go_from(self, at: int, line: str) -> bool:
        """Write a step that goes on from step `at`; False if the line is no operation."""
        operation, pool = read_operation(line), self.pool(at)
        if operation is None:
            return False
        outcome = Refused("it goes on from no numbers") if pool is None else perform(pool, operation)
        if pool is not None and isinstance(outcome, Done):
            item = TraceStep(step=done_step(pool, outcome), parent=at, state=state_of(outcome.left))
            self.pools.append(outcome.left)
        else:
            assert isinstance(outcome, Refused)
            item = TraceStep(step=refused_step(pool, operation, outcome), parent=at)
            self.pools.append(None)
        self.steps.append(item)
        self.end = len(self.steps) - 1
        return True


class _Tree:
    """What one search looked at."""

    def __init__(self, log: Mapping[str, Any], context: Context) -> None:
        self._context = context
        self._ys: list[_Lines] = [_lines(text) for text in log["ys"]]
        self._children: dict[_Lines, list[_Lines]] = {}
        self._values: dict[_Lines, float] = {}
        self._kept: set[_Lines] = set()
        for level in log["levels"]:
            self._kept.update(map(_lines, level["select_new_ys"]))
            for text, value in zip(level["new_ys"], level["values"], strict=True):
                lines = _lines(text)
                if lines and not _ANSWER.match(lines[-1]) and lines not in self._values:
                    self._values[lines] = value
                    self._children.setdefault(lines[:-1], []).append(lines)

    def traces(self) -> Iterator[Trace]:
        """Yield the trace of the search, then those of the other answers."""
        answered = [lines for lines in self._ys if len(lines) > 1 and _ANSWER.match(lines[-1])]
        chosen = next(filter(self._is_right, answered), answered[0] if answered else ())
        walk = _Walk(self._context.problem)
        seen = _Seen()
        self._visit((), FROM_QUESTION, chosen[:-1], walk, seen)
        ends_there = bool(walk.steps) and seen.routes[-1] == chosen[:-1]
        details = {
            "kind": "search",
            "values": [self._values[route] for route in seen.routes],
            "kept": [route in self._kept for route in seen.routes],
            "after_the_end": seen.after_the_end,
            "after_mistakes": seen.after_mistakes,
            "remarks": seen.remarks,
        }
        yield _trace(walk, _answer_of(chosen) if ends_there else "", self._context, details)
        for lines in answered:
            if lines != chosen or not ends_there:
                other = _Walk(self._context.problem)
                for line in lines[:-1]:
                    other.go(line)
                yield _trace(other, _answer_of(lines), self._context, {"kind": "answer"})

    def _is_right(self, lines: _Lines) -> bool:
        return is_right(self._context.problem, _answer_of(lines))

    def _visit(self, above: _Lines, at: int, last: _Lines, walk: _Walk, seen: _Seen) -> None:
        """Write what was tried after `above`, and after each of these what was tried next; depth-first."""
        pool = walk.pool(at)
        children = self._children.get(above, [])
        if pool is not None and len(pool) == 1:
            # The game is over there; what a model proposes nevertheless is made of numbers that are not left.
            seen.after_the_end += len(children)
            return
        for child in sorted(children, key=lambda lines: lines == last[: len(lines)]):
            if pool is None and child != last[: len(child)]:
                seen.after_mistakes += 1
            elif not walk.go_from(at, child[-1]):
                seen.remarks += 1
            else:
                seen.routes.append(child)
                self._visit(child, len(walk.steps) - 1, last, walk, seen)


class _Seen:
    """What the walk over a tree came by."""

    def __init__(self) -> None:
        self.routes: list[_Lines] = []
        """The lines down to each step that was written, parallel to the steps."""
        self.after_the_end = 0
        """Candidates made where one number was left; no steps."""
        self.after_mistakes = 0
        """Candidates that go on from what was no allowed operation; no steps."""
        self.remarks = 0
        """Candidates that are no operation; no steps."""


def _answer_of(lines: _Lines) -> str:
    return _ANSWER.sub("", lines[-1]).strip() if lines else ""


def _trace(walk: _Walk, answer: str, context: Context, details: Mapping[str, Any]) -> Trace:
    """Return the trace.

    An answer without an expression («None», «not possible») is none. Neither is a right one that the steps do
    not come to: the trace would make a way to the answer of steps that are not allowed.
    """
    problem = context.problem
    said = answer if find_expression(answer, problem.facts["numbers"]) else ""
    right = bool(said) and is_right(problem, said)
    refused = [index for index, item in enumerate(walk.steps) if item.state is None]
    more: dict[str, Any] = {"not_allowed": refused} if refused else {}
    if right and (not walk.steps or walk.steps[-1].state != str(TARGET)):
        more["answer_without_steps"], said, right = said, "", False
    verdict = Verdict.RIGHT if right else Verdict.WRONG if said else Verdict.UNFINISHED
    return Trace(
        problem_id=problem.id,
        steps=_with_reasons(walk.steps),
        answer=said,
        verdict=verdict,
        provenance=Provenance(
            teacher=context.source, method="import", details={"format": "tot24", **details, **more}
        ),
    )


def _with_reasons(steps: Sequence[TraceStep]) -> tuple[TraceStep, ...]:
    """Let each step that the search goes back from say so."""
    return tuple(
        item.model_copy(update={"step": give_up(item.step)})
        if index + 1 < len(steps) and steps[index + 1].parent != index
        else item
        for index, item in enumerate(steps)
    )
