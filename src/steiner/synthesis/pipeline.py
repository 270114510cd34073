"""Draft → truncate → attempt blind → reveal → resolve, for one question.

`plan_question` says which calls a question needs and what becomes of their results; two drivers make the
calls: one after another with a symbolic teacher, side by side with a language model.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from steiner.core import Grading, Problem, Provenance, Question, Trace, TraceStep, Verdict
from steiner.synthesis.outcome import OUTCOME, Outcome, QuestionOutcome
from steiner.synthesis.settings import Cut, PlanSettings
from steiner.teacher import Attempt, Teacher

if TYPE_CHECKING:
    from steiner.teacher.llm.types import AsyncTeacher, Rejected

IsRight = Callable[[Problem, str], bool]
"""Says whether an answer, as written, is right."""

Shorten = Callable[[Question, Sequence[TraceStep], int, str], int]
"""From question, steps of a draft, number wanted and answer: how many of them can be shown blind."""

METHOD = "truncate-reveal"
"""`Provenance.method` of all traces but drafts."""

_SLOW_GRADING = frozenset({Grading.MATH, Grading.TASK})
"""Graders that may wait for seconds, for a child process."""


class DraftCall(NamedTuple):
    """Ask for a path to the answer, which is known."""

    problem: Problem
    number: int
    origin: str
    """The run's seed and the problem's id."""

    @property
    def seed(self) -> int:
        """31 bits that depend on `origin`, the kind of call and `number`, on nothing else."""
        return _seed(self.origin, "draft", self.number)


class AttemptCall(NamedTuple):
    """Ask to go on from a prefix without knowing the answer."""

    question: Question
    prefix: tuple[TraceStep, ...]
    max_steps: int
    number: int
    origin: str

    @property
    def seed(self) -> int:
        """As that of a draft."""
        return _seed(self.origin, "attempt", self.number)


class ResolveCall(NamedTuple):
    """Ask to go on from a failed attempt, the answer now being known."""

    problem: Problem
    attempt: Attempt
    number: int
    """That of the attempt."""
    origin: str

    @property
    def seed(self) -> int:
        """As that of a draft."""
        return _seed(self.origin, "resolve", self.number)


Call = DraftCall | AttemptCall | ResolveCall
Plan = Generator[tuple[Call, ...], "Sequence[Trace | Attempt | Rejected]", QuestionOutcome]
"""Yields calls that may be made side by side, is sent their results in order, returns the outcome."""


def plan_question(
    problem: Problem,
    teacher: str,
    is_right: IsRight,
    settings: PlanSettings,
    rng: random.Random,
    shorten: Shorten | None = None,
) -> Plan:
    """Say which calls a question needs, and grade and label what they give.

    Right drafts are cut at random, an attempt goes on blind from each cut, and what has not reached the
    answer is resolved with the answer revealed. Where no draft is right, attempts start from the bare
    question. A rejected call is counted and has no successor.

    Args:
        problem: the question and its answer.
        teacher: name of the teacher, for the traces.
        is_right: grades answers.
        settings: how many calls, and where drafts are cut.
        rng: draws the cuts.
        shorten: keeps prefixes that would give the answer away from being shown; None: show as cut.
    """
    judge = _Judge(problem, teacher, is_right)
    origin = f"{settings.seed}:{problem.id}"
    drafted = yield tuple(DraftCall(problem, number, origin) for number in range(settings.drafts))
    traces = [judge.draft(result) for result in drafted if isinstance(result, Trace)]
    rejected = [cast("Rejected", result) for result in drafted if not isinstance(result, Trace)]
    calls = tuple(_attempt_calls(problem, traces, settings, origin, rng, shorten))
    attempted = (yield calls) if calls else ()
    resolves: list[ResolveCall] = []
    places: list[int] = []
    for call, result in zip(calls, attempted, strict=True):
        if not isinstance(result, Attempt):
            rejected.append(cast("Rejected", result))
        elif judge.is_right(result.answer):
            traces.append(judge.right_at_once(result))
        else:
            resolves.append(ResolveCall(problem, result, call.number, origin))
            places.append(len(traces))
    resolved = (yield tuple(resolves)) if resolves else ()
    recovered: list[tuple[int, Trace]] = []
    for place, resolve, result in zip(places, resolves, resolved, strict=True):
        if isinstance(result, Trace):
            recovered.append((place, judge.recovered(resolve.attempt, result)))
        else:
            rejected.append(cast("Rejected", result))
    traces = _in_order_of_attempts(traces, recovered)
    distinct = list(_distinct(traces))
    made = settings.drafts + len(calls) + len(resolves)
    return QuestionOutcome(distinct, made, len(calls), len(traces) - len(distinct), tuple(rejected))


def synthesise(
    problem: Problem, teacher: Teacher, is_right: IsRight, settings: PlanSettings, rng: random.Random
) -> list[Trace]:
    """Write the traces of one question, call after call, without those that read alike."""
    plan = plan_question(problem, teacher.name, is_right, settings, rng)
    try:
        calls = next(plan)
        while True:
            calls = plan.send([_make(teacher, call, rng) for call in calls])
    except StopIteration as stop:
        outcome: QuestionOutcome = stop.value
        return outcome.traces


async def synthesise_async(
    problem: Problem, teacher: AsyncTeacher, is_right: IsRight, settings: PlanSettings, language: str
) -> QuestionOutcome:
    """Write the traces of one question, making all calls that can be made side by side at once.

    Raises:
        Exception: what the first call that failed raised, once all calls beside it have ended: what they
            cost is not lost.
    """
    from steiner.teacher.llm.leak import blind_prefix_length

    rng = random.Random(f"{settings.seed}:{problem.id}:traces")
    plan = plan_question(problem, teacher.name, is_right, settings, rng, blind_prefix_length)
    slow = problem.grading in _SLOW_GRADING
    results: list[Trace | Attempt | Rejected] | None = None
    while True:
        # A slow grader must not hold up the other questions.
        step = await asyncio.to_thread(_advance, plan, results) if slow else _advance(plan, results)
        if isinstance(step, QuestionOutcome):
            return step
        made = [_make_async(teacher, call, language) for call in step]
        ended = await asyncio.gather(*made, return_exceptions=True)
        errors = [result for result in ended if isinstance(result, BaseException)]
        if errors:
            # What stops the whole run must not hide behind what only this question failed of.
            raise next((error for error in errors if getattr(error, "stops_run", True)), errors[0])
        results = [result for result in ended if not isinstance(result, BaseException)]


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


def _seed(origin: str, kind: str, number: int) -> int:
    text = f"{origin}:{kind}:{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) >> 1


def _attempt_calls(
    problem: Problem,
    drafts: Sequence[Trace],
    settings: PlanSettings,
    origin: str,
    rng: random.Random,
    shorten: Shorten | None,
) -> Iterator[AttemptCall]:
    question = problem.blind()
    right = [trace.steps for trace in drafts if trace.verdict is Verdict.RIGHT]
    for cut in range(settings.truncations):
        steps = rng.choice(right) if right else ()
        length = cut_point(len(steps), settings.cut, rng)
        if shorten is not None and length:
            length = shorten(question, steps, length, problem.answer)
        for attempt in range(settings.attempts):
            number = cut * settings.attempts + attempt
            yield AttemptCall(question, steps[:length], settings.max_attempt_steps, number, origin)


def _make(teacher: Teacher, call: Call, rng: random.Random) -> Trace | Attempt:
    match call:
        case DraftCall():
            return teacher.draft(call.problem, rng)
        case AttemptCall():
            return teacher.attempt(call.question, call.prefix, call.max_steps, rng)
        case ResolveCall():
            return teacher.resolve(call.problem, call.attempt, rng)


async def _make_async(teacher: AsyncTeacher, call: Call, language: str) -> Trace | Attempt | Rejected:
    match call:
        case DraftCall():
            return await teacher.draft(call.problem, language, call.seed)
        case AttemptCall():
            return await teacher.attempt(call.question, call.prefix, call.max_steps, language, call.seed)
        case ResolveCall():
            return await teacher.resolve(call.problem, call.attempt, language, call.seed)


def _advance(
    plan: Plan, results: Sequence[Trace | Attempt | Rejected] | None
) -> tuple[Call, ...] | QuestionOutcome:
    """Go on with a plan: the next calls, or what came of it."""
    try:
        return next(plan) if results is None else plan.send(results)
    except StopIteration as stop:
        outcome: QuestionOutcome = stop.value
        return outcome


def _in_order_of_attempts(traces: Sequence[Trace], recovered: Iterable[tuple[int, Trace]]) -> list[Trace]:
    """Put each resolved trace where its attempt stood among the others.

    Args:
        traces: drafts and right attempts.
        recovered: the place in `traces` before which each belongs, ascending, and the trace.
    """
    merged: list[Trace] = []
    done = 0
    for place, trace in recovered:
        merged += traces[done:place]
        merged.append(trace)
        done = place
    return merged + list(traces[done:])


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
