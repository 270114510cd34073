"""Game of 24: like Countdown with the target 24, but fractions and negative numbers may occur on the way."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from steiner.core import Grading, Problem
from steiner.problems.countdown_states import expression, make_state, solve
from steiner.problems.countdown_words import question_text

TASK = "game24"
TARGET = 24

Term = tuple[Fraction, str]
"""A value and the expression that gives it."""


def make_game24(numbers: Iterable[int], source: str = TASK) -> Problem:
    """Build the problem; its answer is a reference expression, empty where there is no solution.

    A solution with whole non-negative results, which the Countdown teacher can write, is preferred.
    """
    state = make_state(numbers)
    derivation = solve(state, TARGET)
    answer = expression(derivation) if derivation else _with_fractions([(Fraction(n), str(n)) for n in state])
    return Problem(
        question=question_text(state, TARGET),
        answer=answer or "",
        grading=Grading.TASK,
        task=TASK,
        facts={"numbers": list(state), "target": TARGET},
        source=source,
    )


def _with_fractions(terms: list[Term]) -> str | None:
    """Return an expression of all terms that gives 24, None if there is none."""
    if len(terms) == 1:
        return terms[0][1] if terms[0][0] == TARGET else None
    for i, (a, left) in enumerate(terms):
        for j, (b, right) in enumerate(terms):
            if i == j:
                continue
            rest = [term for k, term in enumerate(terms) if k not in (i, j)]
            left_text, right_text = _bracketed(left), _bracketed(right)
            results = [(a - b, "-")] + ([(a / b, "/")] if b else [])
            if i < j:
                results += [(a + b, "+"), (a * b, "*")]
            for value, op in results:
                found = _with_fractions([*rest, (value, f"{left_text} {op} {right_text}")])
                if found:
                    return found
    return None


def _bracketed(text: str) -> str:
    return text if text.isdecimal() else f"({text})"
