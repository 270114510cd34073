"""Reasoning is cut off before grading, whatever way it is marked; and what graders are given then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Grading, Problem, ReasoningPath, Step
from steiner.evaluate.benchmarks import read_reply
from steiner.problems import grade
from steiner.protocol import render

PLAIN = st.text("abc 123.\n", min_size=1).map(str.strip).filter(bool)


@given(PLAIN, PLAIN)
def test_a_closed_block_is_cut_off(thought, answer):
    for text in (f"<think>{thought}</think>{answer}", f"{thought}</think>\n\n{answer}"):
        reading = read_reply(text)
        assert (reading.answer, reading.closed) == (answer, True)
        assert thought in reading.reasoning


@given(PLAIN)
def test_an_unclosed_block_has_no_answer(thought):
    for text in (f"<think>{thought}", f"<think>a</think>b<think>{thought}"):
        reading = read_reply(text)
        assert (reading.answer, reading.closed) == ("", False)


@given(PLAIN)
def test_text_without_reasoning_is_the_answer(answer):
    assert read_reply(answer) == (answer, "", True, None, None, None)


def test_reasoning_told_apart_without_an_answer_never_ended():
    assert not read_reply("", "thinking on and on").closed
    assert read_reply("7", "thinking").closed


STEP = Step(name="n", thought="t", summary="s", reflection="r")
PATH = ReasoningPath(steps=(STEP,) * 3, moves=("proceed", "backtrack"), answer="42")


def test_control_tokens_as_text_give_steps_and_backtracks():
    text = render(PATH)
    reading = read_reply(text)
    assert (reading.answer, reading.closed, reading.steps, reading.backtracks) == ("42", True, 3, 1)
    cut = read_reply(text[: text.index("<|reasoning_end|>")])
    assert (cut.answer, cut.closed, cut.steps) == ("", False, 3)


def test_the_outline_of_our_server_gives_steps_and_backtracks():
    outline = "● a\nthought\n» sum\n\n↓ b\nthought\n\n↩ c\nthought\n"
    reading = read_reply("42", outline)
    assert reading[2:5] == (True, 3, 1)
    assert reading.path is not None
    assert [step.name for step in reading.path.steps] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "grading", "reference", "language"),
    [
        (r"The result is $\boxed{1{,}234}$.", Grading.NUMERIC, "1234", "en"),
        ("It costs $1,234.00 in total.", Grading.NUMERIC, "1234", "en"),
        ("答案是一千二百三十四。", Grading.NUMERIC, "1234", "zh"),
        ("Die Antwort ist 1.234 Euro.", Grading.NUMERIC, "1234", "de"),
        ("**18 eggs**", Grading.NUMERIC, "18", "en"),
        (r"\boxed{\dfrac{1}{2}}", Grading.MATH, r"\frac12", "en"),
        ("The length is 7 cm.", Grading.MATH, "7", "en"),
    ],
)
def test_answers_in_latex_with_units_separators_and_chinese_numerals(answer, grading, reference, language):
    problem = Problem(question="?", answer=reference, grading=grading, language=language)
    assert grade(problem, read_reply(f"<think>maybe 99</think>{answer}").answer).right
    assert not grade(problem, read_reply(f"<think>{answer}</think>99").answer).right
