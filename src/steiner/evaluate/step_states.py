"""What each step of a completion is worth, where the task lets it be known exactly.

Countdown and the game of 24 have states: the numbers left. A step is read in the wording of docs/design.md
("Countdown text"), in any of its languages, checked, and looked up: can the target still be made from there?
For questions with a number as their answer it is only known whether a step's summary ends in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from steiner.core import Grading, Problem, Step
from steiner.problems import grade
from steiner.problems.countdown_states import (
    OPERATORS,
    Limits,
    Operation,
    State,
    make_state,
    operations,
    reaches,
)
from steiner.problems.countdown_words import says_hit

_NUMBERS = re.compile(r"(?<![\d.])\d{1,9}(?:[ ,]+\d{1,9})*(?![\d.])")
_EQUATION = re.compile(r"(?<![\d.])(\d{1,9})\s*([-+*/])\s*(\d{1,9})\s*=\s*(\d{1,9})(?![\d.])")
_MOST_NUMBERS = 6
"""With more numbers the states are too many to look up."""


class Reading(NamedTuple):
    """What one step does. States are texts such as `4 7`."""

    found: bool = False
    """It reaches the right result."""
    start: str | None = None
    """The state that it says it starts from."""
    state: str | None = None
    """The state that it reaches; None where it is unsound or there are no states."""
    alive: bool = False
    """The right result can still be reached from `state`, and is not reached yet."""
    result: bool | None = None
    """Whether nothing is left to be done after it; None where that is not known."""
    claims: bool = False
    """It says that this is the right result."""
    error: str = ""
    """Why it is unsound."""


def read_steps(problem: Problem, steps: Sequence[Step]) -> list[Reading]:
    """Read the steps of a completion, parallel to `steps`; empty where nothing can be known of them."""
    game = _game(problem)
    if game is not None:
        return _read_countdown(*game, steps)
    if problem.grading is Grading.NUMERIC:
        return [Reading(found=bool(s.summary.strip()) and grade(problem, s.summary).right) for s in steps]
    return []


def start_state(problem: Problem) -> str | None:
    """Return the state before the first step, None where the task has no states."""
    game = _game(problem)
    return None if game is None else _text(game[0])


def _game(problem: Problem) -> tuple[State, int, Limits] | None:
    facts = problem.facts
    try:
        start = make_state(int(number) for number in facts["numbers"])
        target = int(facts["target"])
        limits = Limits(facts.get("max_result"), facts.get("operators", OPERATORS))
    except (KeyError, TypeError, ValueError):
        return None
    # Others' tasks may have facts of these names with other rules.
    known = problem.task in ("countdown", "game24") and 1 < len(start) <= _MOST_NUMBERS and start[0] >= 0
    return (start, target, limits) if known else None


def _read_countdown(start: State, target: int, limits: Limits, steps: Sequence[Step]) -> list[Reading]:
    reached, readings = {start}, []
    for step in steps:
        named, left = _state(step.name), _state(step.summary)
        operation, error = _operation(named, step.thought, reached)
        state = operation.next_state if operation is not None else None
        if state is not None and left is not None and left != state:
            state, error = None, f"it leaves {_text(operation.next_state)}, not {_text(left)}"  # type: ignore[union-attr]
        result = len(left) == 1 if left is not None else (None if state is None else len(state) == 1)
        if state is not None:
            reached.add(state)
        readings.append(
            Reading(
                found=state == (target,),
                start=None if named is None else _text(named),
                state=None if state is None else _text(state),
                alive=state is not None and len(state) > 1 and reaches(state, target, limits),
                result=result,
                claims=bool(result) and (left == (target,) or says_hit(step.reflection)),
                error=error,
            )
        )
    return readings


def _operation(start: State | None, thought: str, reached: set[State]) -> tuple[Operation | None, str]:
    """Return the operation that a thought does, None with the reason where it is none that is possible."""
    match = _EQUATION.search(thought)
    if start is None or match is None:
        return None, "it names no numbers to start from" if start is None else "it has no equation"
    if start not in reached:
        return None, f"it starts from {_text(start)}, which no step left"
    left, op, right, result = int(match[1]), match[2], int(match[3]), int(match[4])
    possible = operations(start) if len(start) <= _MOST_NUMBERS else []
    for operation in possible:
        pairs = {(operation.left, operation.right)}
        if op in "+*":
            pairs.add((operation.right, operation.left))
        if operation.op == op and (left, right) in pairs:
            if operation.result == result:
                return operation, ""
            return None, f"{left} {op} {right} is not {result}"
    return None, f"{left} {op} {right} cannot be done with {_text(start)}"


def _state(text: str) -> State | None:
    match = _NUMBERS.search(text)
    return None if match is None else make_state(map(int, re.findall(r"\d+", match[0])))


def _text(state: State) -> str:
    return " ".join(map(str, state))
