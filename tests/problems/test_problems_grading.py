"""Grading as a whole: mathematics, exact texts, tasks, and any text at all."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steiner.core import Grading, InputError, Problem
from steiner.problems import math_equal as math_equal_module
from steiner.problems.countdown import make_problem
from steiner.problems.grading import answers_equivalent, grade, register
from steiner.problems.scoring_process import ScoringProcess
from steiner.problems.tasks import Grade


def math_problem(answer: str) -> Problem:
    return Problem(question="q", answer=answer, grading=Grading.MATH)


MATH_RIGHT = [
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "\\boxed{(3, \\pi/2)}"),
    ("p - q", "The answer is $-q+p$."),
    ("\\frac{1}{2}", "0.5"),
    ("\\frac{1}{2}", "\\frac12"),
    ("0.5", "The length is 0.5 cm."),
    ("x+1", "(x^2-1)/(x-1)"),
    ("\\text{Evelyn}", "evelyn"),
    ("10\\sqrt{2}", "\\boxed{\\sqrt{200}}"),
    ("(-\\infty, 2]", "\\boxed{(-\\infty,2]}"),
    ("90^\\circ", "90"),
    ("10{,}000", "\\boxed{10000}"),
]
MATH_WRONG = [
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3, \\pi)"),
    ("p - q", "q - p"),
    ("2", "The length is 2x."),
    ("5", "x + 5"),
    ("\\text{Evelyn}", "Bob"),
    ("10\\sqrt{2}", "14.14"),
]


@pytest.mark.parametrize(("reference", "text"), MATH_RIGHT)
def test_equivalent_mathematics(reference: str, text: str) -> None:
    assert grade(math_problem(reference), text).right


@pytest.mark.parametrize(("reference", "text"), MATH_WRONG)
def test_different_mathematics(reference: str, text: str) -> None:
    assert not grade(math_problem(reference), text).right


def test_mathematics_is_graded_off_the_main_thread_too() -> None:
    verdicts: list[bool] = []
    work = threading.Thread(target=lambda: verdicts.append(grade(math_problem("y+2"), "\\boxed{2+y}").right))
    work.start()
    work.join()
    assert verdicts == [True]


def test_a_comparison_that_takes_for_ever_ends_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(math_equal_module, "SECONDS", 0.5)
    assert not grade(math_problem("z/7"), "\\boxed{9^{9^{9^{9^{9}}}}}").right
    assert grade(math_problem("z+7"), "\\boxed{7+z}").right


def test_a_request_out_of_time_is_an_error_reply() -> None:
    process = ScoringProcess()
    tower = {"reference": "1", "answer": "\\boxed{9^{9^{9^{9}}}}"}
    try:
        assert process.call("math", tower, 0.3).keys() == {"error"}
        assert process.call("math", {"reference": "a+b", "answer": "$b+a$"}, 5) == {"right": True}
        assert "error" in process.call("nonsense", {}, 1)
    finally:
        process.close()


def test_plain_texts_need_no_computer_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("computer algebra was asked")

    monkeypatch.setattr(math_equal_module, "_verified", refuse)
    assert not grade(math_problem("\\text{Monday}"), "\\boxed{\\text{Friday}}").right
    assert not grade(math_problem("7"), "\\boxed{8}").right
    assert grade(math_problem("\\dfrac{7}{2}"), "\\boxed{\\frac{7}{2}}").right
    assert not answers_equivalent(math_problem("7"), "seven dwarves", "eight dwarves")


def test_exact_texts() -> None:
    problem = Problem(question="q", answer="New York", grading=Grading.EXACT)
    for text in ("new york", "**New York.**", "The answer is New  York", "So:\n\nNew York", "“New York”"):
        assert grade(problem, text).right
    for text in ("York", "New York City", "Not New York"):
        assert not grade(problem, text).right


def test_equivalence_within_each_grading() -> None:
    numeric = Problem(question="q", answer="18", grading=Grading.NUMERIC)
    assert answers_equivalent(numeric, "It is 20.", "\\boxed{20.0}")
    assert not answers_equivalent(numeric, "20", "21")
    assert not answers_equivalent(numeric, "no", "none")
    assert answers_equivalent(math_problem("1"), "x + 1", "\\boxed{1+x}")
    countdown = make_problem([3, 5, 7], 22)
    assert answers_equivalent(countdown, "(3*5) + 7", "( 3 * 5 )+7")
    assert not answers_equivalent(countdown, "(3*5) + 7", "7 + (3*5)")


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'countdwn'.*'countdown'"):
        grade(Problem(question="q", answer="", grading=Grading.TASK, task="countdwn"), "1")


def test_a_scorer_can_be_registered() -> None:
    register("parrot", lambda problem, text: Grade(text == problem.question, text, "compared"))
    problem = Problem(question="hello", answer="", grading=Grading.TASK, task="parrot")
    assert grade(problem, "hello").right
    assert not grade(problem, "bye").right


PROBLEMS = [
    make_problem([3, 5, 7], 22),
    Problem(question="q", answer="18", grading=Grading.NUMERIC),
    Problem(question="q", answer="18", grading=Grading.NUMERIC, language="de"),
    Problem(question="q", answer="B", grading=Grading.CHOICE, choices=("red", "green", "(a) or b")),
    Problem(question="q", answer="yes"),
]
TEXTS = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="0123456789.,/%^-+*{}()[]\\$#=°½¾⁵万亿点一十 ABCbfracox\n", max_size=80),
    st.text(alphabet=st.characters(codec=None, categories=["Cs", "Nd", "Lu", "Ps"]), max_size=30),
)


@given(st.sampled_from(PROBLEMS), TEXTS, TEXTS)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_raises_and_equivalence_is_symmetric(problem: Problem, a: str, b: str) -> None:
    verdict = grade(problem, a)
    assert isinstance(verdict.right, bool)
    assert answers_equivalent(problem, a, b) == answers_equivalent(problem, b, a)
    assert answers_equivalent(problem, a, a)


@given(TEXTS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_breaks_mathematical_grading(text: str) -> None:
    assert isinstance(grade(math_problem("\\frac{\\pi}{2}"), text).right, bool)


def test_long_answers_are_graded_by_their_end() -> None:
    problem = Problem(question="q", answer="18", grading=Grading.NUMERIC)
    assert grade(problem, "blah 17 " * 50_000 + "The answer is 18.").right


def test_the_reference_is_right() -> None:
    for problem in PROBLEMS:
        assert grade(problem, problem.answer).right
    assert not grade(PROBLEMS[0], " \n").right
