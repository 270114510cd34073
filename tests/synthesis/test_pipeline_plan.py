"""The plan of a question: which calls, with which seeds, and what becomes of their results."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from steiner.core import Grading, Problem, Provenance, Question, Step, Trace, TraceStep, Verdict
from steiner.synthesis import Outcome, PlanSettings, plan_question, synthesise, synthesise_async
from steiner.synthesis.outcome import QuestionOutcome
from steiner.synthesis.pipeline import AttemptCall, Call, DraftCall, ResolveCall, Shorten
from steiner.teacher import Attempt
from steiner.teacher.llm import Rejected, RejectReason

PROBLEM = Problem(question="Six times seven?", answer="42")
SETTINGS = PlanSettings(drafts=2, truncations=3, attempts=2)


def steps(count: int, word: str) -> tuple[TraceStep, ...]:
    return tuple(
        TraceStep(step=Step(name=word, thought=str(i), summary="", reflection=""), parent=i - 1)
        for i in range(count)
    )


def trace(answer: str, word: str, count: int = 3, prefix: tuple[TraceStep, ...] = ()) -> Trace:
    return Trace(
        problem_id=PROBLEM.id,
        steps=prefix + steps(len(prefix) + count, word)[len(prefix) :],
        answer=answer,
        verdict=Verdict.RIGHT if answer else Verdict.UNFINISHED,
        provenance=Provenance(teacher="?", method="?"),
    )


def rejected(call: str, asks: int = 2) -> Rejected:
    return Rejected(call=call, reason=RejectReason.TOLD, detail="as given", asks=asks)


class Writer:
    """Answers a call by its kind, number and what it was told; keeps nothing else."""

    name = "writer"

    def __init__(self, **answers: Sequence[str | None]) -> None:
        self._answers = answers

    def answer(self, call: Call) -> Trace | Attempt | Rejected:
        kind = {DraftCall: "draft", AttemptCall: "attempt", ResolveCall: "resolve"}[type(call)]
        answers = self._answers[kind]
        answer = answers[call.number % len(answers)]
        if answer is None:
            return rejected(kind)
        word = f"{kind} {call.number}"
        match call:
            case DraftCall():
                return trace(answer, word)
            case AttemptCall():
                written = call.prefix + steps(len(call.prefix) + 2, word)[len(call.prefix) :]
                return Attempt(prefix_length=len(call.prefix), steps=written, answer=answer)
            case ResolveCall():
                return trace(answer, word, prefix=call.attempt.steps)


def drive(
    writer: Writer, settings: PlanSettings = SETTINGS, shorten: Shorten | None = None
) -> tuple[list[tuple[Call, ...]], QuestionOutcome]:
    plan = plan_question(PROBLEM, "writer", is_right, settings, random.Random(0), shorten)
    batches = [next(plan)]
    try:
        while True:
            batches.append(plan.send([writer.answer(call) for call in batches[-1]]))
    except StopIteration as stop:
        return batches, stop.value


def is_right(problem: Problem, answer: str) -> bool:
    return answer == problem.answer


def outcomes(outcome: QuestionOutcome) -> list[str]:
    return [trace.provenance.details["outcome"] for trace in outcome.traces]


def test_calls_come_in_three_batches() -> None:
    batches, outcome = drive(Writer(draft=["42"], attempt=["42", "41", ""], resolve=["42"]))
    assert [len(batch) for batch in batches] == [2, 6, 4]
    assert {type(call) for call in batches[0]} == {DraftCall}
    assert {type(call) for call in batches[1]} == {AttemptCall}
    assert {type(call) for call in batches[2]} == {ResolveCall}
    assert [call.number for call in batches[2]] == [1, 2, 4, 5]
    assert (outcome.calls, outcome.attempts, outcome.repeated, outcome.rejected) == (12, 6, 0, ())
    # In the order of the attempts, whichever batch they were finished in.
    once, back = Outcome.RIGHT_AT_ONCE, Outcome.RECOVERED
    assert outcomes(outcome) == [Outcome.DRAFT, Outcome.DRAFT, once, back, back, once, back, back]


def test_a_call_s_seed_depends_on_what_it_is_and_on_nothing_else() -> None:
    def seeds(writer: Writer, settings: PlanSettings) -> dict[tuple[type, int], int]:
        batches, _ = drive(writer, settings)
        return {(type(call), call.number): call.seed for batch in batches for call in batch}

    few = seeds(Writer(draft=["42"], attempt=["41"], resolve=["42"]), SETTINGS)
    more = SETTINGS.model_copy(update={"drafts": 5, "truncations": 7, "cut": "late"})
    many = seeds(Writer(draft=["42", None], attempt=["", "42"], resolve=["42"]), more)
    assert len(set(few.values())) == len(few) == 2 + 6 + 6
    common = few.keys() & many.keys()
    assert len(common) == 2 + 6 + 3
    assert all(few[key] == many[key] for key in common)
    assert all(0 <= seed < 2**31 for seed in many.values())
    other = seeds(
        Writer(draft=["42"], attempt=["41"], resolve=["42"]), SETTINGS.model_copy(update={"seed": 1})
    )
    assert not set(other.values()) & set(few.values())


def test_more_truncations_begin_with_the_same_attempts() -> None:
    writer = Writer(draft=["42"], attempt=["42"], resolve=["42"])
    few, _ = drive(writer)
    many, _ = drive(writer, SETTINGS.model_copy(update={"truncations": 9}))
    assert many[1][:6] == few[1]


def test_rejected_calls_are_counted_and_the_others_go_on() -> None:
    batches, outcome = drive(
        Writer(draft=[None, "42"], attempt=[None, "41", "42"], resolve=[None, "42", "42", None, "42"])
    )
    assert all(call.prefix == steps(3, "draft 1")[: len(call.prefix)] for call in batches[1])
    assert [call.number for call in batches[2]] == [1, 4]
    assert sorted(item.call for item in outcome.rejected) == ["attempt", "attempt", "draft"]
    assert outcomes(outcome) == [Outcome.DRAFT, "recovered", "right-at-once", "recovered", "right-at-once"]


@pytest.mark.parametrize("draft", [None, "41", ""])
def test_without_a_right_draft_attempts_start_from_the_bare_question(draft: str | None) -> None:
    batches, _ = drive(Writer(draft=[draft], attempt=["42"], resolve=["42"]))
    assert {call.prefix for call in batches[1] if isinstance(call, AttemptCall)} == {()}


def test_nothing_but_drafts_where_nothing_is_to_be_cut() -> None:
    batches, outcome = drive(
        Writer(draft=["42"], attempt=["42"], resolve=["42"]), PlanSettings(drafts=1, truncations=0)
    )
    assert len(batches) == 1
    assert outcomes(outcome) == [Outcome.DRAFT]


def test_prefixes_are_shortened_where_they_would_tell() -> None:
    asked = []

    def shorten(question: Question, given: Sequence[TraceStep], wanted: int, answer: str) -> int:
        asked.append((question, len(given), wanted, answer))
        return wanted - 1

    batches, _ = drive(Writer(draft=["42"], attempt=["42"], resolve=["42"]), SETTINGS, shorten)
    plain, _ = drive(Writer(draft=["42"], attempt=["42"], resolve=["42"]))
    lengths = [len(call.prefix) for call in batches[1] if isinstance(call, AttemptCall)]
    assert lengths == [max(0, len(call.prefix) - 1) for call in plain[1] if isinstance(call, AttemptCall)]
    assert asked
    assert all(item == (PROBLEM.blind(), 3, item[2], "42") and item[2] > 0 for item in asked)


class AsyncWriter(Writer):
    """The same answers, given out of order."""

    def __init__(self, fail: BaseException | None = None, **answers: Sequence[str | None]) -> None:
        super().__init__(**answers)
        self.together = self.most = self.ended = 0
        self._fail = fail
        self._numbers = {"draft": 0, "attempt": 0, "resolve": 0}

    async def _wait(self, kind: str) -> int:
        number = self._numbers[kind]
        self._numbers[kind] += 1
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0.001 * (5 - number % 5))
        self.together -= 1
        self.ended += 1
        if self._fail is not None and kind == "attempt" and number == 1:
            raise self._fail
        return number

    async def draft(self, problem: Problem, language: str, draw: int) -> Trace | Rejected:
        result = self.answer(DraftCall(problem, await self._wait("draft"), ""))
        assert not isinstance(result, Attempt)
        return result

    async def attempt(
        self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, language: str, draw: int
    ) -> Attempt | Rejected:
        result = self.answer(AttemptCall(question, prefix, max_steps, await self._wait("attempt"), ""))
        assert not isinstance(result, Trace)
        return result

    async def resolve(self, problem: Problem, attempt: Attempt, language: str, draw: int) -> Trace | Rejected:
        result = self.answer(ResolveCall(problem, attempt, await self._wait("resolve"), ""))
        assert not isinstance(result, Attempt)
        return result


def test_calls_are_made_side_by_side_and_end_in_their_order() -> None:
    teacher = AsyncWriter(draft=["42"], attempt=["42", "41", None], resolve=["42"])
    outcome = asyncio.run(synthesise_async(PROBLEM, teacher, is_right, SETTINGS, "en"))
    assert teacher.most == 6
    kinds = [Outcome.DRAFT, Outcome.DRAFT, Outcome.RIGHT_AT_ONCE, Outcome.RECOVERED]
    assert outcomes(outcome) == [*kinds, Outcome.RIGHT_AT_ONCE, Outcome.RECOVERED]
    assert len(outcome.rejected) == 2


def test_a_failure_waits_for_the_calls_beside_it() -> None:
    teacher = AsyncWriter(RuntimeError("no"), draft=["42"], attempt=["42"], resolve=["42"])
    with pytest.raises(RuntimeError, match="no"):
        asyncio.run(synthesise_async(PROBLEM, teacher, is_right, SETTINGS, "en"))
    assert teacher.ended == 2 + 6


def test_a_slow_grader_does_not_hold_up_the_loop() -> None:
    import threading

    threads = set()

    def slow(problem: Problem, answer: str) -> bool:
        threads.add(threading.current_thread())
        return answer == problem.answer

    for grading, here in ((Grading.EXACT, True), (Grading.MATH, False)):
        threads.clear()
        problem = PROBLEM.model_copy(update={"grading": grading})
        teacher = AsyncWriter(draft=["42"], attempt=["42"], resolve=["42"])
        asyncio.run(synthesise_async(problem, teacher, slow, SETTINGS, "en"))
        assert (threads == {threading.main_thread()}) is here


def test_the_symbolic_driver_makes_the_same_plan() -> None:
    class Sync(Writer):
        def draft(self, problem: Problem, rng: random.Random) -> Trace:
            return trace("42", "draft")

        def attempt(
            self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, rng: random.Random
        ) -> Attempt:
            return Attempt(prefix_length=len(prefix), steps=prefix, answer="41")

        def resolve(self, problem: Problem, attempt: Attempt, rng: random.Random) -> Trace:
            return trace("42", "resolve", prefix=attempt.steps)

    traces = synthesise(PROBLEM, Sync(), is_right, SETTINGS, random.Random(0))
    assert {t.provenance.details["outcome"] for t in traces} == {Outcome.DRAFT, Outcome.RECOVERED}
