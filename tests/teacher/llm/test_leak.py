"""Where a draft names its answer, a blind attempt must not begin behind."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from steiner.core import Grading, Problem, Question, Step, TraceStep
from steiner.teacher.llm.leak import blind_prefix_length, leaks
from steiner.teacher.llm.teacher import shown_steps
from steiner.teacher.llm.templates import attempt_values, load_prompts

EGGS = Question(text="Janet's ducks lay 16 eggs. How many dollars does she make?")
CITIES = Question(text="What is the capital of France?", choices=("Rome", "Paris", "Bern", "All of these"))
PROMPTS = load_prompts()


def step(thought: str, parent: int = -1) -> TraceStep:
    return TraceStep(step=Step(name="n", thought=thought, summary="s", reflection="r"), parent=parent)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("72", "so she has 72 left"),
        ("72", "so she has 72.0 left"),
        ("72", "so she has 72."),
        ("72.0", "72 in total"),
        ("72", "$72"),
        ("72", "72kg"),
        ("72", "No.72"),
        ("0.72", "about .72"),
        ("72", "一共72个"),
        ("72", "一共７２个"),
        ("72", "seventy-two eggs"),
        ("72", "Seventy two eggs"),
        ("72", "一共七十二个"),
        ("200", "一共两百个"),
        ("1234", "1,234 dollars"),
        ("1,234", "1234 dollars"),
        ("1234", "1.234 Euro"),
        ("1234", r"1{,}234"),
        ("1234", "1'234"),
        ("$1,234.50", "it costs 1234.5"),
        ("1200000", "1.2 million"),
        ("30000", "3万元"),
        ("6000", r"6 \times 10^{3}"),
        ("0.75", "3/4 of it"),
        (r"\frac{3}{4}", "0.75"),
        (r"\frac34", r"\dfrac{3}{4}"),
        ("3/4", "75%"),
        ("75%", "a share of 0.75"),
        ("2/3", "三3分之2"),
        ("-5", "x = -5"),
        ("-5", "x = −5"),
        ("72 dollars", "the 72 that she has"),
        ("#### 72", "72"),
        (r"\boxed{72}", "72"),
        ("x = 72", "72"),
        ("(3, 5)", "x is 3 and y is 5"),
        (r"2\sqrt{3}", r"we get $2 \sqrt{3}$"),
        ("x^2+1", "that is $x^2 + 1$"),
        (r"\frac{\pi}{2}", r"$\dfrac{\pi}{2}$"),
        ("Paris", "it is PARIS, of course"),
        ("New York", "**New   York**"),
        ("巴黎", "首都是巴黎。"),
    ],
)
def test_named_however_it_is_written(answer, text):
    assert leaks(EGGS, answer, text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("72", "so she has 720 left, or 172, or 7.2, or 0.72"),
        ("72", "72.5 of them"),
        ("72", "in 1972"),
        ("72", "第七十三个"),
        ("234", "1,234 dollars"),
        ("1", "one of them"),
        ("-5", "she has 5"),
        ("2", "第二步"),
        ("ten", "often"),
        ("Paris", "the comparison"),
        ("72", ""),
        ("", "anything at all 72"),
        ("3/4", "there are 34"),
    ],
)
def test_other_things_are_let_through(answer, text):
    assert not leaks(EGGS, answer, text)


def test_what_stands_in_the_question_counts_only_as_a_final_answer():
    assert not leaks(EGGS, "16", "Of the 16 eggs she eats three.")
    assert leaks(EGGS, "16", "So the answer is 16.")
    assert leaks(EGGS, "16", r"That makes \boxed{16}.")
    assert leaks(EGGS, "16", "#### 16\nDone")


@pytest.mark.parametrize(
    "text",
    [
        "(B) fits",
        "so it is B.",
        "Answer: B",
        "the answer is b",
        "option B",
        "**B**",
        "选B",
        "答案是B",
        "Paris fits best",
    ],
)
def test_an_option_is_named_by_its_letter_or_its_text(text):
    assert leaks(CITIES, "B", text)
    assert leaks(CITIES, "(B)", text)


@pytest.mark.parametrize(
    "text", ["(A) is in Italy", "Rome is in Italy", "a city", "Bob", "I look at Europe", "x_B"]
)
def test_other_options_are_let_through(text):
    assert not leaks(CITIES, "B", text)


@pytest.mark.parametrize("text", ["A city in Europe", "I think of A list of cities"])
def test_the_letters_that_are_words_must_be_marked(text):
    question = CITIES.model_copy(update={"choices": tuple(f"city {n}" for n in range(9))})
    assert not leaks(question, "A", text)
    assert not leaks(question, "I", text)
    assert leaks(question, "A", "(A)")


def test_an_answer_far_inside_a_long_text_is_found():
    for place in (0, 7_990, 8_001, 25_000, 49_990):
        text = "word " * 10_000
        assert leaks(EGGS, "7321", f"{text[:place]} 7321 {text[place:]}"), place


def test_the_prefix_ends_before_the_step_that_names_the_answer():
    steps = (step("16 - 3 = 13"), step("13 - 4 = 9", 0), step("9 * 2 = 18", 1), step("check", 2))
    assert blind_prefix_length(EGGS, steps, 4, "18") == 2
    assert blind_prefix_length(EGGS, steps, 1, "18") == 1
    assert blind_prefix_length(EGGS, steps, 4, "13") == 0
    assert blind_prefix_length(EGGS, steps, 4, "99") == 4
    assert blind_prefix_length(EGGS, steps, 9, "99") == 4
    assert blind_prefix_length(EGGS, steps, 0, "18") == 0


WORDS = st.sampled_from(
    ["eggs", "left", "so", "A", "(B)", "the answer is", "=", "3/4", "fünf", "七十二", "1,0", ".", "\n"]
)
NUMBERS = st.integers(0, 3000).map(str)
TEXTS = st.lists(st.one_of(WORDS, NUMBERS, st.text(max_size=6)), max_size=12).map(" ".join)
DRAFTS = st.lists(TEXTS, max_size=6).map(
    lambda texts: tuple(step(text, index - 1) for index, text in enumerate(texts))
)


def body(question: Question, prefix: tuple[TraceStep, ...]) -> str:
    """Return what is sent of an attempt."""
    values = attempt_values(question.text, question.choices, shown_steps(prefix), 4, "English")
    messages = PROMPTS.messages("attempt", values)
    return json.dumps([message.model_dump() for message in messages], ensure_ascii=False)


@given(TEXTS, DRAFTS, st.integers(0, 6), st.integers(100, 3000))
@example("eggs", (step("there are 72 0"), step("1 2 0 0")), 2, 1200)
def test_no_request_holds_the_answer_unless_the_question_does(text, draft, wanted, answer):
    question = Question(text=text or "?")
    assume(str(answer) not in text)
    prefix = draft[: blind_prefix_length(question, draft, wanted, str(answer))]
    # Every digit of the templates is below 100, so any trace of the answer comes from the draft.
    shown = "".join(char if char.isdecimal() else " " for char in body(question, prefix))
    assert str(answer) not in shown.split()
    assert not any(leaks(Question(text="?"), str(answer), item.step.thought) for item in prefix)


@given(
    DRAFTS,
    st.integers(0, 6),
    st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2, unique=True),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
def test_problems_that_differ_only_in_the_answer_are_asked_alike(draft, length, answers, scoring):
    assume(all(answer.strip() for answer in answers))
    one, two = (
        Problem(question="How many?", answer=answer, scoring=scoring | {"answer": answer})
        for answer in answers
    )
    prefix = draft[:length]
    assert one.blind() == two.blind()
    assert body(one.blind(), prefix) == body(two.blind(), prefix)


def test_the_order_of_options_is_the_problems_own():
    problems = [
        Problem(question="Which?", answer=letter, grading=Grading.CHOICE, choices=("w", "x", "y", "z"))
        for letter in "ABCD"
    ]
    assert len({body(problem.blind(), ()) for problem in problems}) == 1
    assert "A. w\nB. x\nC. y\nD. z" in json.loads(body(problems[0].blind(), ()))[1]["content"]


def test_a_question_has_no_place_for_an_answer():
    assert set(Question.model_fields) == {"text", "choices", "task", "facts", "language"}


@given(st.text(), st.text(), st.text(), st.lists(st.text(), max_size=3).map(tuple))
def test_no_text_breaks_it(question, answer, text, choices):
    assert leaks(Question(text=question, choices=choices), answer, text) in (True, False)
