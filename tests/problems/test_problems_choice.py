"""Options named by letter or by text."""

from __future__ import annotations

import pytest

from steiner.core import Grading, Problem
from steiner.problems.grading import answers_equivalent, grade

COLOURS = ("red", "green", "blue", "dark green")

NAMES_B = [
    "B", "b", "(B)", "**B**", "B.", "B. green", "B) green", "$B$", "Ｂ",
    "The answer is (B)", "The answer is B.", "the answer is green", "The answer is **B**",
    "I think the answer is B because A is red", "\\boxed{B}", "\\boxed{\\text{B}}", "\\boxed{\\text{(B)}}",
    "Answer: B) green", "**Answer:** B", "green", "Green.", "It must be green, surely", "Option B is right",
    "The answer is (B) and not (A)", "答案是B", "答案：Ｂ", "The correct option is\n\n**B**",
    "Long thought about A and C.\n\nSo it is (B).", "Antwort: B", "A thing is B",
]  # fmt: skip
NAMES_NONE = [
    "A or B", "The answer is A and B", "The answer is (A) or (B).", "(A), (B), (C), or (D).",
    "The answer is a matter of taste", "Answer: I do not know", "E", "The answer is (E)",
    "It was 240°F outside", "red or blue", "?", "The answer is none of them",
]  # fmt: skip


@pytest.mark.parametrize("text", NAMES_B)
def test_the_right_option_in_many_wordings(text: str) -> None:
    problem = Problem(question="q", answer="B", grading=Grading.CHOICE, choices=COLOURS)
    verdict = grade(problem, text)
    assert (verdict.right, verdict.extracted) == (True, "B")
    assert not grade(problem.model_copy(update={"answer": "C"}), text).right


@pytest.mark.parametrize("text", NAMES_NONE)
def test_no_decision_is_no_answer(text: str) -> None:
    problem = Problem(question="q", answer="A", grading=Grading.CHOICE, choices=COLOURS)
    assert grade(problem, text).extracted == ""


def test_an_option_inside_another_gives_way_to_it() -> None:
    problem = Problem(question="q", answer="D", grading=Grading.CHOICE, choices=COLOURS)
    assert grade(problem, "I would say dark green").right


def test_options_may_be_unknown() -> None:
    problem = Problem(question="Which? (A) … (E) …", answer="E", grading=Grading.CHOICE)
    assert grade(problem, "The answer is (E).").right
    assert not grade(problem, "The answer is (D).").right


def test_options_of_equal_text_are_equally_right() -> None:
    problem = Problem(question="q", answer="A", grading=Grading.CHOICE, choices=("4", "5", "4"))
    assert grade(problem, "C").right


def test_equivalent_answers_name_the_same_option() -> None:
    problem = Problem(question="q", answer="A", grading=Grading.CHOICE, choices=COLOURS)
    assert answers_equivalent(problem, "(B)", "The answer is green.")
    assert not answers_equivalent(problem, "(B)", "blue")
    assert not answers_equivalent(problem, "no idea", "none")
