"""Expressions in answers: found in Markdown and LaTeX, parsed safely, graded by the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.problems.countdown import make_problem
from steiner.problems.expression import find_expression, grade_expression
from steiner.problems.game24 import make_game24
from steiner.problems.grading import grade


@pytest.mark.parametrize(
    "text",
    [
        "(3 * 5) + 7",
        "(3 * 5) + 7 = 22",
        "**(3×5)+7 = 22**",
        "`3*5+7`",
        "```\n3 * 5 + 7\n```",
        r"$3 \times 5 + 7 = 22$",
        r"\boxed{3 \cdot 5 + 7}",
        r"\[ \left(3 \times 5\right) + 7 \]",
        "22 = 3*5+7",
        "From 3 5 7: 3*5+7",
        "- 3*5+7",
        "1. 3*5+7",
        "The answer is 3 * 5 + 7.",
        "[3*5]+7",
        "{3*5}+7",
        "7 - -3*5".replace("- -", "+ "),
        "3*5 + 7\n\nCheck: 15 + 7 = 22",
        "First I tried 3 + 5 * 7 = 38. Then **3 * 5 + 7**",
        "３＊５＋７",
        "3 * 5 + 7 = 22 ✓",
    ],
)
def test_right_answers_in_many_wordings(text: str) -> None:
    assert grade(make_problem([3, 5, 7], 22), text).right


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3*5=15, 15+7=22", "does not use 3 5"),
        ("3 + 5 + 7", "reaches 15, not 22"),
        ("7 - 3 * 5", "negative"),
        ("5 / 3 + 7", "not whole"),
        ("7 / (3 - 3) + 5", "uses 3 too often"),
        ("3*5", "does not use 7"),
        ("3*5+7+7", "uses 7 too often"),
        ("22", "no expression found"),
        ("__import__('os').system('true')", "no expression found"),
        ("3//5+7", "not a well-formed"),
        ("(" * 400 + "1+1" + ")" * 400, "longer than"),
        ("+".join(["1"] * 400), "longer than"),
        ("9" * 100 + " + 1", "more than 12 digits"),
        ("3 * 5 + 7\n7 * 5 - 3", "reaches 32"),
    ],
)
def test_wrong_answers_have_their_reason(text: str, reason: str) -> None:
    verdict = grade(make_problem([3, 5, 7], 22), text)
    assert not verdict.right
    assert reason in verdict.reason


def test_division_by_zero_is_a_reason_not_an_error() -> None:
    assert grade_expression("5 / (3 - 3)", [3, 3, 5], 1).reason == "divides by zero"


def test_fractions_and_negatives_are_allowed_in_the_game_of_24_only() -> None:
    problem = make_game24([3, 3, 8, 8])
    assert grade(problem, problem.answer).right
    assert grade(problem, r"$\frac{8}{3 - \frac{8}{3}} = 24$").right
    assert not grade_expression(problem.answer, [3, 3, 8, 8], 24).right
    assert make_game24([1, 1, 1, 1]).answer == ""


@given(st.text(alphabet="0123456789+-*/()[]{}= .\\$`\n×÷−", max_size=60), st.booleans())
def test_any_text_gets_a_verdict(text: str, whole: bool) -> None:
    verdict = grade_expression(text, [3, 5, 7], 22, whole=whole)
    assert verdict.right is False or find_expression(text, [3, 5, 7]) == verdict.expression
