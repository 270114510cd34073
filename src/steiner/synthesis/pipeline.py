"""Draft → truncate → attempt blind → reveal → resolve, for one question."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from steiner.core import Problem, Provenance, Record, Settings, Trace, TraceStep, Verdict
from steiner.teacher import Attempt, Teacher

IsRight = Callable[[Problem, str], bool]
"""Says whether an answer, as written, is right."""

Cut = Literal["uniform", "early", "late"]
"""Where drafts are cut."""

METHOD = "truncate-reveal"
"""`Provenance.method` of all traces but drafts."""

OUTCOME = "outcome"
"""Key of a trace's `Outcome` in its `Provenance.details`."""


class Outcome(StrEnum):
    """How a trace came about."""

    DRAFT = "draft"
    """Written open-book."""
    RIGHT_AT_ONCE = "right-at-once"
    """The blind attempt found the answer: an alternative route, with the detours it took."""
    RECOVERED = "recovered"
    """The blind attempt failed; once the answer was revealed the teacher went back and reached it."""
    LOST = "lost"
    """Wrong or without an answer even though the answer was known."""


class SynthesisSettings(Settings):
    """What decides the traces of a question."""

    teacher: str = "countdown"
    """Name of the teacher; see `steiner.teacher.TEACHERS`."""
    seed: int = 0
    drafts: int = Field(default=2, ge=1)
    """Open-book drafts per question."""
    truncations: int = Field(default=8, ge=0)
    """Cuts per question, each of a draft drawn at random."""
    attempts: int = Field(default=1, ge=1)
    """Blind attempts per cut."""
    cut: Cut = "uniform"
    """How many leading steps a cut keeps, from none to all but one: `early` prefers few, `late` many."""
    max_attempt_steps: int = Field(default=12, ge=1)
    """A blind attempt stops after so many steps of its own."""
    temperature: float = Field(default=2.0, ge=0)
    """How freely the teacher strays from what looks best to it; 0: never."""


class SynthesisYield(Record):
    """What came of one question or of many."""

    questions: int = 0
    drafts: int = 0
    right_at_once: int = 0
    recovered: int = 0
    lost: int = 0
    repeated: int = 0
    """Traces that read like one already there, and were dropped."""
    steps: int = 0
    backtracks: int = 0

    @property
    def traces(self) -> int:
        """Distinct traces of all outcomes."""
        return self.drafts + self.right_at_once + self.recovered + self.lost

    def __add__(self, other: SynthesisYield) -> SynthesisYield:
        """Return the sum, field by field."""
        return SynthesisYield(
            **{name: getattr(self, name) + getattr(other, name) for name in SynthesisYield.model_fields}
        )

    @classmethod
    def of(cls, traces: Sequence[Trace], settings: SynthesisSettings) -> SynthesisYield:
        """Return what came of one question, whose traces are `traces`."""
        outcomes = [trace.provenance.details[OUTCOME] for trace in traces]
        written = settings.drafts + settings.truncations * settings.attempts
        return cls(
            questions=1,
            drafts=outcomes.count(Outcome.DRAFT),
            right_at_once=outcomes.count(Outcome.RIGHT_AT_ONCE),
            recovered=outcomes.count(Outcome.RECOVERED),
            lost=outcomes.count(Outcome.LOST),
            repeated=written - len(traces),
            steps=sum(len(trace.steps) for trace in traces),
            backtracks=sum(sum(1 for _ in trace.backtracks()) for trace in traces),
        )


def synthesise(
    problem: Problem, teacher: Teacher, is_right: IsRight, settings: SynthesisSettings, rng: random.Random
) -> list[Trace]:
    """Write the traces of one question, without those that read alike.

    Right drafts are cut at random, an attempt goes on blind from each cut, and what has not reached the
    answer is resolved with the answer revealed. Where no draft is right, attempts start from the bare
    question.
    """
    judge = _Judge(problem, teacher.name, is_right)
    traces = [judge.draft(teacher.draft(problem, rng)) for _ in range(settings.drafts)]
    drafts = [trace.steps for trace in traces if trace.verdict is Verdict.RIGHT]
    question = problem.blind()
    for _ in range(settings.truncations):
        steps = rng.choice(drafts) if drafts else ()
        prefix = steps[: cut_point(len(steps), settings.cut, rng)]
        for _ in range(settings.attempts):
            attempt = teacher.attempt(question, prefix, settings.max_attempt_steps, rng)
            if judge.is_right(attempt.answer):
                traces.append(judge.right_at_once(attempt))
            else:
                traces.append(judge.recovered(attempt, teacher.resolve(problem, attempt, rng)))
    return list(_distinct(traces))


def cut_point(length: int, cut: Cut, rng: random.Random) -> int:
    """Return how many leading steps of a draft of `length` steps to keep: from none to all but one.

    `early` and `late` take the smaller and the larger of two uniform draws.
    """
    if length < 2:
        return 0
    if cut == "uniform":
        return rng.randrange(length)
    draws = rng.randrange(length), rng.randrange(length)
    return min(draws) if cut == "early" else max(draws)


class _Judge:
    """Grades what a teacher wrote and labels it with how it came about."""

    def __init__(self, problem: Problem, teacher: str, is_right: IsRight) -> None:
        self._problem = problem
        self._teacher = teacher
        self._is_right = is_right
        self._known: dict[str, bool] = {}

    def is_right(self, answer: str) -> bool:
        """Grade an answer, each text once; none at all is not right."""
        if answer not in self._known:
            self._known[answer] = bool(answer) and self._is_right(self._problem, answer)
        return self._known[answer]

    def draft(self, trace: Trace) -> Trace:
        return self._judged("draft", trace.steps, trace.answer, Outcome.DRAFT, trace.provenance.details)

    def right_at_once(self, attempt: Attempt) -> Trace:
        details = _attempt_details(attempt)
        return self._judged(METHOD, attempt.steps, attempt.answer, Outcome.RIGHT_AT_ONCE, details)

    def recovered(self, attempt: Attempt, trace: Trace) -> Trace:
        details = _attempt_details(attempt) | trace.provenance.details
        return self._judged(METHOD, trace.steps, trace.answer, Outcome.RECOVERED, details)

    def _judged(
        self,
        method: str,
        steps: tuple[TraceStep, ...],
        answer: str,
        outcome: Outcome,
        details: dict[str, Any],
    ) -> Trace:
        """Return the trace with its verdict; an `outcome` that did not come true becomes `LOST`."""
        right = self.is_right(answer)
        verdict = Verdict.RIGHT if right else Verdict.WRONG if answer else Verdict.UNFINISHED
        return Trace(
            problem_id=self._problem.id,
            steps=steps,
            answer=answer,
            verdict=verdict,
            provenance=Provenance(
                teacher=self._teacher,
                method=method,
                details=details | {OUTCOME: str(outcome if right else Outcome.LOST)},
            ),
        )


def _attempt_details(attempt: Attempt) -> dict[str, Any]:
    """How much was given and how much was written blind."""
    return {"cut": attempt.prefix_length, "attempt_steps": len(attempt.steps) - attempt.prefix_length}


def _distinct(traces: Iterable[Trace]) -> Iterator[Trace]:
    """Yield the first of all traces that read alike, however they came about."""
    seen: set[tuple[tuple[TraceStep, ...], str]] = set()
    for trace in traces:
        content = (trace.steps, trace.answer)
        if content not in seen:
            seen.add(content)
            yield trace
