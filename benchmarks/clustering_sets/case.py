"""One question whose steps have a known truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from steiner.core import Grading, Problem, Provenance, Step, Trace, TraceStep, Verdict


class Case(NamedTuple):
    """A question, attempts at it, and what each step reached."""

    problem: Problem
    traces: tuple[Trace, ...]
    truth: tuple[tuple[str | None, ...], ...]
    """Parallel to the traces and their steps; equal values say the same, None is not known and not judged."""


def case_of(
    question: str, answer: str, rows: Sequence[Sequence[str]], truth: Sequence[Sequence[str | None]]
) -> Case:
    """Make a case of the texts of its traces; every step continues the one before it."""
    problem = Problem(question=question, answer=answer, grading=Grading.NUMERIC)
    traces = tuple(
        Trace(
            problem_id=problem.id,
            steps=tuple(
                TraceStep(step=Step(name="", thought=text, summary="", reflection=""), parent=i - 1)
                for i, text in enumerate(texts)
            ),
            answer=answer,
            verdict=Verdict.RIGHT,
            provenance=Provenance(teacher=f"trace {t}", method="benchmark"),
        )
        for t, texts in enumerate(rows)
    )
    return Case(problem, traces, tuple(map(tuple, truth)))
