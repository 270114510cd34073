from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import (
    InputError,
    Problem,
    Provenance,
    Question,
    Step,
    Trace,
    TraceStep,
    Verdict,
    parse_settings,
)
from steiner.problems.countdown import CountdownSettings, generate, make_problem
from steiner.synthesis import Outcome, SynthesisSettings, SynthesisYield, cut_point, synthesise
from steiner.teacher import Attempt, make_teacher


def grade(problem: Problem, answer: str) -> bool:
    expression, _, target = answer.partition(" = ")
    return target == str(problem.facts["target"]) and eval(expression) == int(target)


def run(problem: Problem, settings: SynthesisSettings, seed: int = 0) -> list[Trace]:
    teacher = make_teacher(settings.teacher, settings.temperature)
    return synthesise(problem, teacher, grade, settings, random.Random(seed))


def details(trace: Trace) -> dict[str, Any]:
    return trace.provenance.details


PROBLEM = make_problem([2, 5, 7, 8], 24)
SETTINGS = SynthesisSettings(drafts=3, truncations=20, attempts=2, max_attempt_steps=6)


def test_the_same_seed_gives_the_same_traces() -> None:
    assert run(PROBLEM, SETTINGS) == run(PROBLEM, SETTINGS)
    assert run(PROBLEM, SETTINGS) != run(PROBLEM, SETTINGS, seed=1)


def test_traces_of_limited_problems_hold_no_larger_result() -> None:
    """From two digits on a blind attempt at a problem without the limit soon comes to larger numbers."""
    plan = SynthesisSettings(truncations=12, max_attempt_steps=12)

    def largest(sizes: CountdownSettings) -> int:
        traces = [trace for problem in generate(sizes, 6) for trace in run(problem, plan)]
        return max(int(s.step.thought.rpartition("= ")[2]) for trace in traces for s in trace.steps)

    limited = CountdownSettings(high=20, target_high=60, max_result=60)
    assert largest(limited) <= 60 < largest(limited.model_copy(update={"max_result": None}))


def test_traces_are_right_distinct_and_know_how_they_came_about() -> None:
    traces = run(PROBLEM, SETTINGS)
    assert len({(t.steps, t.answer) for t in traces}) == len(traces) <= 3 + 20 * 2
    assert all(t.verdict is Verdict.RIGHT and t.problem_id == PROBLEM.id for t in traces)
    outcomes = Counter(details(t)["outcome"] for t in traces)
    assert set(outcomes) == {Outcome.DRAFT, Outcome.RIGHT_AT_ONCE, Outcome.RECOVERED}
    for trace in traces:
        assert trace.provenance.teacher == "symbolic-countdown"
        if details(trace)["outcome"] == Outcome.DRAFT:
            assert trace.provenance.method == "draft"
            assert set(details(trace)) == {"outcome"}
            continue
        assert trace.provenance.method == "truncate-reveal"
        blind = details(trace)["cut"] + details(trace)["attempt_steps"]
        assert 0 <= details(trace)["cut"] <= 2
        if details(trace)["outcome"] == Outcome.RIGHT_AT_ONCE:
            assert blind == len(trace.steps)
        else:
            assert details(trace)["attempt_steps"] == 6
            assert blind < len(trace.steps)
            assert trace.steps[blind].parent == details(trace)["back_to"]


@settings(deadline=None)
@given(length=st.integers(0, 12), cut=st.sampled_from(["uniform", "early", "late"]), seed=st.integers())
def test_a_cut_always_takes_something_away(length: int, cut: Any, seed: int) -> None:
    kept = cut_point(length, cut, random.Random(seed))
    assert kept == 0 if length == 0 else 0 <= kept < length


def test_early_cuts_keep_less_than_late_ones() -> None:
    means = {}
    for cut in ("early", "uniform", "late"):
        rng = random.Random(3)
        means[cut] = sum(cut_point(10, cut, rng) for _ in range(4000)) / 4000
    # Expectations of the minimum, one, and the maximum of two draws from 0..9.
    assert means == pytest.approx({"early": 2.85, "uniform": 4.5, "late": 6.15}, abs=0.2)


class ScriptedTeacher:
    """Answers as told; remembers what it was shown."""

    name = "scripted"

    def __init__(self, draft: str, attempt: str, resolve: str) -> None:
        self._answers = {"draft": draft, "attempt": attempt, "resolve": resolve}
        self.questions: list[Question] = []
        self.prefixes: list[tuple[TraceStep, ...]] = []
        self.resolved: list[Attempt] = []

    def _steps(self, count: int, word: str) -> tuple[TraceStep, ...]:
        return tuple(
            TraceStep(step=Step(name=word, thought=str(i), summary="", reflection=""), parent=i - 1)
            for i in range(count)
        )

    def draft(self, problem: Problem, rng: random.Random) -> Trace:
        return self._trace(problem, "draft", self._steps(3, "draft"))

    def attempt(
        self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, rng: random.Random
    ) -> Attempt:
        self.questions.append(question)
        self.prefixes.append(prefix)
        more = self._steps(len(prefix) + 2, "attempt")[len(prefix) :]
        return Attempt(prefix_length=len(prefix), steps=prefix + more, answer=self._answers["attempt"])

    def resolve(self, problem: Problem, attempt: Attempt, rng: random.Random) -> Trace:
        self.resolved.append(attempt)
        return self._trace(
            problem, "resolve", attempt.steps + self._steps(9, "resolve")[len(attempt.steps) :]
        )

    def _trace(self, problem: Problem, call: str, steps: tuple[TraceStep, ...]) -> Trace:
        answer = self._answers[call]
        verdict = Verdict.RIGHT if answer else Verdict.UNFINISHED
        provenance = Provenance(teacher="?", method="?")
        return Trace(
            problem_id=problem.id, steps=steps, answer=answer, verdict=verdict, provenance=provenance
        )


FORTY_TWO = Problem(question="Six times seven?", answer="42", scoring={"hint": "42"})


def scripted(draft: str, attempt: str, resolve: str) -> tuple[list[Trace], ScriptedTeacher]:
    teacher = ScriptedTeacher(draft, attempt, resolve)
    settings = SynthesisSettings(drafts=1, truncations=12)
    traces = synthesise(FORTY_TWO, teacher, lambda p, a: a == p.answer, settings, random.Random(0))
    return traces, teacher


def summary(traces: list[Trace]) -> list[tuple[str, Verdict]]:
    return sorted({(details(t)["outcome"], t.verdict) for t in traces})


def test_a_right_attempt_is_kept_as_it_is() -> None:
    traces, teacher = scripted("42", "42", "")
    assert summary(traces) == [("draft", Verdict.RIGHT), ("right-at-once", Verdict.RIGHT)]
    assert len(traces) == 4  # the draft, and one for each of the cuts 0, 1 and 2
    assert {len(prefix) for prefix in teacher.prefixes} == {0, 1, 2}
    assert not teacher.resolved


@pytest.mark.parametrize("attempt", ["", "41"])
def test_a_wrong_or_unfinished_attempt_is_resolved(attempt: str) -> None:
    traces, teacher = scripted("42", attempt, "42")
    assert summary(traces) == [("draft", Verdict.RIGHT), ("recovered", Verdict.RIGHT)]
    assert {a.answer for a in teacher.resolved} == {attempt}
    assert [a.prefix_length for a in teacher.resolved] == [len(p) for p in teacher.prefixes]


def test_what_is_wrong_in_the_end_is_kept_but_said_to_be_lost() -> None:
    traces, _ = scripted("42", "", "43")
    assert summary(traces) == [("draft", Verdict.RIGHT), ("lost", Verdict.WRONG)]
    traces, _ = scripted("42", "", "")
    assert summary(traces) == [("draft", Verdict.RIGHT), ("lost", Verdict.UNFINISHED)]


def test_a_wrong_draft_is_never_cut() -> None:
    traces, teacher = scripted("43", "42", "")
    assert summary(traces) == [("lost", Verdict.WRONG), ("right-at-once", Verdict.RIGHT)]
    assert set(teacher.prefixes) == {()}


def test_the_attempt_is_shown_a_question_without_its_answer() -> None:
    _, teacher = scripted("42", "", "42")
    assert all("42" not in question.model_dump_json() for question in teacher.questions)
    assert teacher.questions[0].text == FORTY_TWO.question


def test_yields_add_up() -> None:
    settings = SynthesisSettings(drafts=3, truncations=20, attempts=2)
    parts = []
    for numbers, target in (([2, 5, 7, 8], 24), ([3, 5, 7], 22), ([1, 2], 3)):
        traces = run(make_problem(numbers, target), settings)
        part = SynthesisYield.of(traces, settings)
        assert part.traces == len(traces)
        assert part.traces + part.repeated == 3 + 20 * 2
        assert part.backtracks == sum(len(list(t.backtracks())) for t in traces)
        parts.append(part)
    total = sum(parts, SynthesisYield())
    assert total.questions == 3
    for name in SynthesisYield.model_fields.keys() - {"rejected"}:
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)


def test_yields_add_up_by_reason_and_an_unknown_price_makes_the_sum_unknown() -> None:
    one = SynthesisYield(rejected={"draft: told": 2, "resolve: empty": 1}, usd=0.5, calls=3)
    two = SynthesisYield(rejected={"draft: told": 1, "attempt: length": 4}, usd=0.25, calls=4)
    total = one + two
    assert total.rejected == {"attempt: length": 4, "draft: told": 3, "resolve: empty": 1}
    assert (total.usd, total.calls) == (0.75, 7)
    assert (total + SynthesisYield(usd=None)).usd is None
    assert SynthesisYield.model_validate(total.model_dump()) == total


def test_settings_refuse_what_makes_no_sense() -> None:
    values = {"drafts": 0, "cut": "middle", "trunkations": 3}
    with pytest.raises(InputError) as caught:
        parse_settings(SynthesisSettings, values, "settings.toml")
    for part in ("'drafts'", "'cut'", "did you mean 'truncations'?"):
        assert part in str(caught.value)
