"""Prose becomes steps: nothing lost, nothing cut in mid-sentence, boilerplate gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.synthesis.importers.answers import separate_answer
from steiner.synthesis.importers.prose import Passage, ProseSettings, split_prose
from steiner.synthesis.importers.sentences import split_sentences, without_fragment
from steiner.synthesis.importers.wording import make_step, step_name, step_summary

SETTINGS = ProseSettings()


def thoughts(text: str) -> list[str]:
    return [passage.text for passage in split_prose(text, SETTINGS)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["The area is 3.5 m.", "It costs $2.50 per m, i.e. little.", "Done!"],
        ["Dr. J. Smith saw the patient.", "See Fig. 2 for more.", "William J. Smith agrees."],
        ["Scurvy is a lack of vitamin C.", "It is treated with fruit."],
        ["We have \\[ x = 2. Y = 3. \\] as a start.", "Then $a. B$ follows."],
        ["1. Find the mass.", "2. Find the weight.", "a. This is it."],
        ["Is it so?", "No, U.S. law forbids it."],
        ["It rose from $5 to $7.", "It fell again to $3."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


@given(st.text(alphabet="aB1 .$\\()[]!?,:;-é", max_size=120))
def test_sentences_lose_nothing(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_fragment_at_the_end_is_dropped() -> None:
    assert without_fragment("It is 2. Then we can") == "It is 2."
    assert without_fragment("It is 2.\nSo $x = 3$") == "It is 2.\nSo $x = 3$"
    assert without_fragment("It is 2. So $\\frac{1") == "It is 2."


@pytest.mark.parametrize(
    ("text", "letter", "reasoning", "stated"),
    [
        ("It is 600/300 = 2 lamps. The answer is (C).", "C", "It is 600/300 = 2 lamps.", True),
        ("Total = $262.11\n\nThe answer is (D).", "D", "Total = $262.11.", True),
        ("So there are 2 lamps, so the correct answer is: **C**", "C", "So there are 2 lamps.", True),
        ("It is 12 days.\n\\[ \\text{The answer is (H)} \\]", "H", "It is 12 days.", True),
        ("It is 3. Thus, the answer is $\\boxed{D}$.", "D", "It is 3.", True),
        ("Right. The answer is (B).\n\nQuestion: what?\nThe answer is (A).", "B", "Right.", True),
        ("So the closest is option (C), 3 m.", "C", "So the closest is option (C), 3 m.", True),
        ("It loops and loops and", "C", "It loops and loops and", False),
        ("Nobody knows.", None, "Nobody knows.", False),
        ("The answer is (A).", "A", "", True),
        ("The answer is Aluminium, a metal.", "A", "The answer is Aluminium, a metal.", False),
    ],
)  # fmt: skip
def test_answer_is_cut_off_where_it_is_stated(
    text: str, letter: str | None, reasoning: str, stated: bool
) -> None:
    assert separate_answer(text, letter)[:2] == (reasoning, stated)


def test_explanation_after_the_answer() -> None:
    explained = "The answer is (C).  Here's why:\n\nThe two estates were merged. Thus the answer is (C)."
    assert separate_answer(explained, "C").explanation == "Here's why:\n\nThe two estates were merged."
    assert thoughts(separate_answer(explained, "C").explanation) == ["The two estates were merged."]
    assert separate_answer("The answer is (C).\nThe answer is (D).", "C").explanation == ""
    assert separate_answer("The answer is (C). It was 3, so the answer is (D).", "C").explanation == ""


def test_boilerplate_is_no_step() -> None:
    text = (
        "Let's think step by step. We refer to Wikipedia articles on lamps for help. "
        "The area of the room is 4 m times 3 m, which is 12 square metres."
    )
    assert thoughts(text) == ["The area of the room is 4 m times 3 m, which is 12 square metres."]
    assert thoughts("Let's think step by step.") == []
    assert thoughts("") == []


def test_lists_headings_and_lead_ins() -> None:
    text = (
        "To solve this problem, we need to follow these steps:\n\n"
        "1. **Calculate the area:**\n   The area of the room is $4 \\times 3 = 12$ square metres in all.\n"
        "2. Calculate the light\n\n\\[ 12 \\times 50 = 600. \\]\n\n"
        "We must compare two things:\n\n- one lamp gives 300 lumens, which is half of what is needed\n"
    )
    found = split_prose(text, SETTINGS)
    assert [passage.heading for passage in found] == ["Calculate the area", "Calculate the light", ""]
    assert found[1].text == "\\[ 12 \\times 50 = 600. \\]"
    assert found[2].text.startswith("We must compare two things: one lamp")


def test_option_by_option_discussion_is_one_step_each() -> None:
    text = (
        "A. Wrong, because the statute does not cover any private party here.\n"
        "B. Right, because the state acts through its officers in this case.\n"
    )
    assert [thought[:2] for thought in thoughts(text)] == ["A.", "B."]


def test_loops_are_cut_where_they_begin() -> None:
    first = "The force on the particle is one hundred dynes in all."
    second = "The impulse of that force is one thousand dyne seconds."
    assert thoughts(" ".join([first, second] * 9)) == [first, second]


@given(st.lists(st.text(alphabet="abc,; ", min_size=1, max_size=90).map(lambda s: f"W{s}w."), max_size=40))
def test_never_more_steps_than_allowed(sentences: list[str]) -> None:
    settings = ProseSettings(max_steps=4)
    assert len(split_prose(" ".join(sentences), settings)) <= 4


@given(st.text(min_size=1, max_size=300))
def test_every_text_can_be_worded(text: str) -> None:
    for passage in split_prose(text, SETTINGS):
        step = make_step(passage)
        assert step == make_step(passage)
        assert step.name
        assert step.summary
        assert step.reflection
        assert len(step.name.split()) <= max(8, len(passage.heading.split()))


@pytest.mark.parametrize(
    ("sentence", "name", "summary"),
    [
        (
            "Therefore, the molarity of a solution is the number of moles of solute per litre of solution.",
            "The molarity of a solution",
            "The molarity of a solution is the number of moles of solute per litre of solution.",
        ),
        (
            "Since the room measures 12 square metres, it needs 600 lumens.",
            "Since the room measures 12 square metres",
            "It needs 600 lumens.",
        ),
        (
            "The profit function is given by P(x) = R(x) - C(x), where R(x) is the revenue function.",
            "The profit function",
            "The profit function is given by P(x) = R(x) - C(x).",
        ),
        ("We get $x = 3$.", "We get $x = 3$", "We get $x = 3$."),
    ],
)
def test_names_and_summaries(sentence: str, name: str, summary: str) -> None:
    passage = Passage("", (sentence,))
    assert step_name(passage) == name
    assert step_summary(passage) == summary
