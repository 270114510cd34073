"""Countdown: reach a target from a few numbers with + - * /, every number used once.

The rules and the default sizes are those of Stream of Search (Gandhi et al. 2024,
https://arxiv.org/abs/2404.03683): four numbers from 1 to 99, a target from 10 to 100, only whole non-negative
results, 10% of the targets held out.

A *state* is the sorted tuple of the numbers left; an `Operation` takes two of them and puts the result back.
This module is the whole algebra of states; `steiner.problems.countdown` draws problems from it and passes its
names on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from steiner.core import Grading, InputError, Problem
from steiner.problems.countdown_words import question_text

TASK = "countdown"
"""`Problem.task` of these problems."""
OPERATORS = "+-*/"

State = tuple[int, ...]
"""The numbers left, in ascending order."""


class Limits(NamedTuple):
    """What an operation may be."""

    max_result: int | None = None
    """Largest result that any operation may have; None for no limit."""
    operators: str = OPERATORS


class Operation(NamedTuple):
    """One step of a derivation: `left op right = result`."""

    left: int
    op: str
    right: int
    result: int
    next_state: State

    @property
    def equation(self) -> str:
        """The operation as text, for example `3 * 5 = 15`."""
        return f"{self.left} {self.op} {self.right} = {self.result}"


ANY = Limits()
"""All four operators, results of any size."""


def make_state(numbers: Iterable[int]) -> State:
    """Return the state that holds `numbers`."""
    return tuple(sorted(numbers))


def state_key(state: State) -> str:
    """Return the exact key of a state, for example `7,8`. Equal keys are the same node of a step graph."""
    return ",".join(map(str, state))


def operations(state: State, limits: Limits = ANY) -> list[Operation]:
    """Return all operations that are possible in `state`, each once, in a fixed order.

    `a + b` and `b + a` are one operation, written with the smaller number first; `-` and `/` have the larger
    number first, since results are whole and not negative. (0 / b is left out: 0 * b says the same.)
    """
    found: list[Operation] = []
    seen: set[tuple[int, int]] = set()
    for i, small in enumerate(state):
        for j in range(i + 1, len(state)):
            large = state[j]
            if (small, large) in seen:
                continue
            seen.add((small, large))
            rest = state[:i] + state[i + 1 : j] + state[j + 1 :]
            found.extend(
                Operation(left, op, right, result, tuple(sorted((*rest, result))))
                for left, op, right, result in _combine(small, large, limits)
            )
    return found


def _combine(small: int, large: int, limits: Limits) -> Iterator[tuple[int, str, int, int]]:
    """Yield (left, op, right, result) for two numbers, `small <= large`."""
    top, operators = limits
    if "+" in operators and (top is None or small + large <= top):
        yield small, "+", large, small + large
    if "-" in operators and (top is None or large - small <= top):
        yield large, "-", small, large - small
    if "*" in operators and (top is None or small * large <= top):
        yield small, "*", large, small * large
    if "/" in operators and small and large % small == 0 and (top is None or large // small <= top):
        yield large, "/", small, large // small


def _pair_reaches(state: State, target: int, limits: Limits) -> bool:
    """Say whether one operation on two numbers gives `target`; most of a search's time is spent here."""
    small, large = state
    top, operators = limits
    if top is not None and target > top:
        return False
    return (
        ("+" in operators and small + large == target)
        or ("-" in operators and large - small == target)
        or ("*" in operators and small * large == target)
        or ("/" in operators and small != 0 and small * target == large)
    )


@lru_cache(maxsize=1 << 17)
def reaches(state: State, target: int, limits: Limits = ANY) -> bool:
    """Say whether some sequence of operations turns `state` into the single number `target`."""
    if len(state) <= 1:
        return state == (target,)
    if len(state) == 2:
        return _pair_reaches(state, target, limits)
    return any(reaches(operation.next_state, target, limits) for operation in operations(state, limits))


def outcomes(state: State, limits: Limits = ANY) -> frozenset[int]:
    """Return every single number that `state` can be turned into."""
    if len(state) == 1:
        return frozenset(state)
    if len(state) == 2:
        return frozenset(result for _, _, _, result in _combine(state[0], state[1], limits))
    return frozenset().union(*(outcomes(step.next_state, limits) for step in operations(state, limits)))


def distance(state: State, target: int, limits: Limits = ANY) -> int | None:
    """Return the number of operations from `state` to `target`; None where it cannot be reached."""
    return len(state) - 1 if reaches(state, target, limits) else None


def solutions(numbers: Iterable[int], target: int, limits: Limits = ANY) -> Iterator[list[Operation]]:
    """Yield every derivation of `target` that uses all `numbers`, in a fixed order.

    Two derivations that do the same operations in another order are two.
    """
    yield from _derivations(make_state(numbers), target, limits, set())


def solve(numbers: Iterable[int], target: int, limits: Limits = ANY) -> list[Operation] | None:
    """Return the first of `solutions`, None if there is none. The same arguments give the same derivation."""
    return next(solutions(numbers, target, limits), None)


def _derivations(state: State, target: int, limits: Limits, dead: set[State]) -> Iterator[list[Operation]]:
    """Depth-first search; `dead` collects states known not to reach the target."""
    if len(state) == 1:
        if state[0] == target:
            yield []
        return
    if len(state) == 2:
        for left, op, right, result in _combine(state[0], state[1], limits):
            if result == target:
                yield [Operation(left, op, right, result, (result,))]
        return
    alive = False
    for operation in operations(state, limits):
        after = operation.next_state
        if after in dead or (len(after) == 2 and not _pair_reaches(after, target, limits)):
            continue
        for rest in _derivations(after, target, limits, dead):
            alive = True
            yield [operation, *rest]
    if not alive:
        dead.add(state)


def expression(derivation: Sequence[Operation]) -> str:
    """Write a complete derivation as one expression, each operation in brackets except the outermost.

    `3 * 5 = 15`, `7 + 15 = 22` give `7 + (3 * 5)`: operands stay in the order of their equation.

    Raises:
        ValueError: if the operations are none, or leave more than one number.
    """
    return _join((step.left, step.op, step.right, step.result) for step in derivation)


def expression_from_equations(equations: Iterable[str]) -> str:
    """Write equations such as `3 * 5 = 15`, `7 + 15 = 22`, in the order of the derivation, as one expression.

    Raises:
        ValueError: if an equation has another form, or if they leave more than one number.
    """
    return _join(_parse_equation(text) for text in equations)


def _join(steps: Iterable[tuple[int, str, int, int]]) -> str:
    pool: dict[int, list[str]] = {}
    """Expressions of intermediate results that no later operation has used yet."""

    def take(value: int) -> str:
        # Equal numbers are interchangeable, so using results first is never wrong and leaves none behind.
        made = pool.get(value)
        return f"({made.pop()})" if made else str(value)

    text = ""
    for left, op, right, result in steps:
        text = f"{take(left)} {op} {take(right)}"
        pool.setdefault(result, []).append(text)
    if sum(map(len, pool.values())) != 1:
        raise ValueError("the operations do not end in one number")
    return text


def _parse_equation(text: str) -> tuple[int, str, int, int]:
    parts = text.split()
    if len(parts) != 5 or parts[1] not in OPERATORS or parts[3] != "=":
        raise ValueError(f"not an equation of the form 'a + b = c': {text!r}")
    return int(parts[0]), parts[1], int(parts[2]), int(parts[4])


def make_problem(
    numbers: Iterable[int], target: int, limits: Limits = ANY, *, source: str = TASK, language: str = "en"
) -> Problem:
    """Build the problem with a reference expression as its answer; limits are among its facts.

    Raises:
        InputError: if it has no solution within the limits.
    """
    state = make_state(numbers)
    derivation = solve(state, target, limits)
    if derivation is None:
        raise InputError(f"{question_text(state, target)} has no solution with whole, non-negative results.")
    return problem_from(state, target, derivation, limits, source=source, language=language)


def problem_from(
    state: State,
    target: int,
    derivation: Sequence[Operation],
    limits: Limits = ANY,
    *,
    source: str = TASK,
    language: str = "en",
) -> Problem:
    """Build the problem from a derivation that is known.

    `limits` are written into the facts where they differ from `ANY`. They bind whoever writes steps, not who
    answers: the question does not name them, and an answer that breaks them is right.
    """
    facts: dict[str, Any] = {"numbers": list(state), "target": target}
    if limits.max_result is not None:
        facts["max_result"] = limits.max_result
    if set(limits.operators) != set(OPERATORS):
        facts["operators"] = "".join(op for op in OPERATORS if op in limits.operators)
    return Problem(
        question=question_text(state, target, language),
        answer=expression(derivation) if derivation else str(target),
        grading=Grading.TASK,
        task=TASK,
        facts=facts,
        source=source,
        language=language,
    )
