"""What prose says before it goes back, and before it goes on."""

from __future__ import annotations

import pytest
from graph_cases import PROBLEM
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import NodeFacts, Step
from steiner.graph import TextWriter
from steiner.graph.phrases import PHRASES, is_content, is_leaving, language_of, sentences

DEAD, LIVE = NodeFacts(1, 0, 1, None), NodeFacts(1, 1, 1, 2)


def step_with(reflection: str, thought: str = "") -> Step:
    return Step(name="add", thought=thought, summary="", reflection=reflection)


@pytest.mark.parametrize(
    ("reflection", "kept", "ascii_only"),
    [
        ("That seems right to me.", "", True),
        ("", "", True),
        ("Each apple costs as much as two pears, so the pears decide.", "Each apple", True),
        ("That makes 8 apples.", "That makes 8 apples. ", True),
        ("看起来没问题。", "", False),
        ("苹果的价钱是梨的两倍，所以应当先算梨的价钱再算苹果。", "苹果的价钱", False),
        ("一共 8 个。", "一共 8 个。", False),
    ],
)
def test_the_text_writer_gives_a_reason_to_go_back_in_the_steps_language(
    reflection: str, kept: str, ascii_only: bool
) -> None:
    """A bare verdict gives way, a thought is kept."""
    writer, fact = TextWriter(), NodeFacts(1, 0, 1, None)
    thought = "add three and five" if ascii_only else "把三和五加起来"
    step = Step(name="add", thought=thought, summary="8", reflection=reflection)
    after = writer.before_backtrack(PROBLEM, step, fact)
    assert after.reflection.startswith(kept)
    assert len(after.reflection) >= len(kept) + 10
    assert after.reflection.isascii() == ascii_only
    assert bool(kept) == (bool(reflection) and reflection in after.reflection)
    assert after.model_copy(update={"reflection": reflection}) == step
    assert writer.before_backtrack(PROBLEM, after, fact) == after


@pytest.mark.parametrize(
    "reflection",
    ["That makes 8 apples.", "一共 8 个。", "Each apple costs as much as two pears, so pears decide."],
)
def test_the_text_writer_takes_its_own_words_back_where_the_path_goes_on(reflection: str) -> None:
    writer, fact = TextWriter(), NodeFacts(1, 0, 1, None)
    step = Step(name="add", thought="", summary="", reflection=reflection)
    assert writer.before_proceed(PROBLEM, writer.before_backtrack(PROBLEM, step, fact), fact) == step
    assert writer.before_proceed(PROBLEM, step, fact) is step


@pytest.mark.parametrize("reflection", ["That seems right to me.", "看起来没问题。"])
def test_nothing_but_going_back_becomes_going_on(reflection: str) -> None:
    writer, fact = TextWriter(), NodeFacts(1, 0, 1, None)
    step = Step(name="add", thought="", summary="", reflection=reflection)
    back = writer.before_backtrack(PROBLEM, step, fact)
    on = writer.before_proceed(PROBLEM, back, fact)
    assert back.reflection not in ("", on.reflection)
    assert on.reflection
    assert on.reflection.isascii() == reflection.isascii()
    assert writer.before_proceed(PROBLEM, on, fact) == on


@pytest.mark.parametrize(
    ("reflection", "start"),
    [
        ("The area is twice the base. This is correct. I am confident.", "The area is twice the base. "),
        ("So 3 + 5 = 8 is correct.", "So 3 + 5 = 8 is correct. Still, I "),
        (
            "I am not sure that this is right, and 8 looks odd.",
            "I am not sure that this is right, and 8 looks odd. I ",
        ),
        ("底边乘以高再除以二得到面积。看起来没有问题。", "底边乘以高再除以二得到面积。我"),
        ("所以一共 8 个，正确。", "所以一共 8 个，正确。不过，我"),
        ("りんごは全部で 8 個で正しい。", "りんごは全部で 8 個で正しい。とはいえ、"),
    ],
)
def test_approval_goes_and_what_was_found_stays(reflection: str, start: str) -> None:
    after = TextWriter().before_backtrack(PROBLEM, step_with(reflection), DEAD).reflection
    assert after.startswith(start) or after.replace("前面", "我").startswith(start)
    kept = sentences(after)
    phrases = PHRASES[language_of(reflection)]
    assert kept[-1] in phrases.returns
    assert not is_content(kept[-2], language_of(reflection))


@pytest.mark.parametrize(
    "reflection",
    [
        "That is a dead end.",
        "I should go back to the second step.",
        "这条路走不通，回到前面。",
        "行き止まりだ。戻ろう。",
    ],
)
def test_who_goes_back_already_needs_no_other_reason(reflection: str) -> None:
    assert TextWriter().before_backtrack(PROBLEM, step_with(reflection), DEAD).reflection == reflection


def test_a_step_that_can_reach_the_answer_is_left_without_a_word_against_it() -> None:
    """Only a detour is explained; nothing says that the step is wrong."""
    for language, phrases in PHRASES.items():
        said = {"en": "So far so good.", "zh": "看起来没问题。", "ja": "これで正しい。"}[language]
        for i in range(40):
            thought = {"en": f"number {i}", "zh": f"第 {i} 步", "ja": f"これは {i} です"}[language]
            live, dead = (
                sentences(TextWriter().before_backtrack(PROBLEM, step_with(said, thought), fact).reflection)
                for fact in (LIVE, DEAD)
            )
            assert live[0] in phrases.detours
            assert dead[0] in phrases.doubts
            assert live[1] in phrases.returns


def test_the_wording_varies_with_the_step_and_with_nothing_else() -> None:
    steps = [step_with("This seems right.", f"step {i}") for i in range(200)]
    said = [TextWriter().before_backtrack(PROBLEM, one, DEAD).reflection for one in steps]
    assert said == [TextWriter().before_backtrack(PROBLEM, one, DEAD).reflection for one in steps]
    phrases = PHRASES["en"]
    assert len(set(said)) == len(phrases.doubts) * len(phrases.returns)


def test_no_phrase_claims_that_a_step_is_wrong_or_approves_of_it() -> None:
    for language, phrases in PHRASES.items():
        for one in (*phrases.doubts, *phrases.detours):
            assert not is_content(one, language)
            assert language_of(one) == language
        for one in phrases.returns:
            assert not is_content(one, language)
        assert not is_leaving(phrases.going_on, language)
    for claim in ("wrong answer", "is wrong", "is incorrect", "fails", "error"):
        assert not any(claim in one for one in (*PHRASES["en"].doubts, *PHRASES["en"].detours))


def test_a_trace_that_went_back_leaves_no_trace_of_it_where_the_path_goes_on() -> None:
    said = "We know the base of the triangle. This does not hold up; I should go back and try another way."
    assert TextWriter().before_proceed(PROBLEM, step_with(said), DEAD).reflection == sentences(said)[0]


@given(st.text(max_size=80), st.sampled_from(["", "see 3", "苹果", "りんご"]), st.sampled_from([DEAD, LIVE]))
def test_whatever_was_said_a_step_gives_a_reason_and_takes_it_back(
    said: str, thought: str, fact: NodeFacts
) -> None:
    writer = TextWriter()
    back = writer.before_backtrack(PROBLEM, step_with(said, thought), fact)
    language = language_of(f"{thought}{back.reflection}")
    assert any(
        is_leaving(one, other) or one in PHRASES[other].returns
        for other in PHRASES
        for one in sentences(back.reflection)
    )
    assert writer.before_backtrack(PROBLEM, back, fact) == back
    on = writer.before_proceed(PROBLEM, back, fact)
    assert on.reflection
    assert not any(one in PHRASES[language].returns for one in sentences(on.reflection))
    assert writer.before_proceed(PROBLEM, on, fact) == on


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("add three", "en"),
        ("把三加五", "zh"),
        ("三と五を足す", "ja"),
        ("", "en"),
        ("x = 3", "en"),
        ("suma y resta", "en"),
    ],
)
def test_phrases_are_in_the_language_of_the_step(text: str, language: str) -> None:
    assert language_of(text) == language
