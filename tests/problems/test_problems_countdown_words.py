"""Countdown in English and Chinese: the same problems, other words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError
from steiner.problems.arithmetic import arithmetic_documents
from steiner.problems.countdown import CountdownSettings, Limits, Split, generate, make_problem
from steiner.problems.countdown_words import (
    WORDS,
    comparison,
    follow_up_text,
    numbers_of_name,
    numbers_of_summary,
    parse_question,
    question_text,
    says_comparison,
    says_hit,
    words_of,
)
from steiner.problems.grading import grade
from steiner.problems.source import CountdownProblems, check_disjoint

LANGUAGES = st.sampled_from(sorted(WORDS))
NUMBERS = st.lists(st.integers(0, 999), min_size=2, max_size=6)
SMALL = CountdownSettings(count=3, high=12, max_result=30, target_high=30)


def drawn(n: int = 60, split: Split = Split.TRAIN, **changes):
    return list(generate(SMALL.model_copy(update=changes), n, split))


def pairs_of(problems):
    return [(tuple(p.facts["numbers"]), p.facts["target"]) for p in problems]


def listed(split: Split):
    """Return every problem of a split; the error that there are no more says how many."""
    with pytest.raises(InputError) as error:
        drawn(10**6, split)
    found = re.search(r"only ([\d,]+)", str(error.value))
    return set(pairs_of(drawn(int(found[1].replace(",", "")), split)))


EVERY = {split: listed(split) for split in Split}


def test_wording_is_as_documented():
    assert question_text([7, 3, 5], 24) == "Make 24 from 3 5 7."
    assert question_text([7, 3, 5], 24, "zh") == "用 3 5 7 得到 24。"
    assert follow_up_text(24) == "And 24?"
    assert follow_up_text(24, "zh-CN") == "那 24 呢？"
    assert comparison(21, 15) == "target 21 , got 15 , off by 6"
    assert comparison(21, 15, "zh") == "目标 21，得到 15，相差 6"
    assert words_of("de") == words_of("en_GB") == WORDS["en"]


@given(NUMBERS, st.integers(0, 9999), LANGUAGES)
def test_questions_are_read_back_in_every_language(numbers, target, language):
    asked = parse_question(question_text(numbers, target, language))
    assert asked == (tuple(sorted(numbers)), target, language)
    assert parse_question(follow_up_text(target, language)) is None


@given(NUMBERS, LANGUAGES)
def test_names_and_summaries_are_read_back_in_every_language(numbers, language):
    text = " ".join(map(str, numbers))
    assert numbers_of_name(words_of(language).name.format(numbers=text)) == text
    assert numbers_of_summary(words_of(language).summary.format(numbers=text)) == text


@given(st.integers(0, 99), st.integers(0, 99), LANGUAGES)
def test_comparisons_are_read_back_and_only_true_ones(target, got, language):
    text = comparison(target, got, language)
    assert says_comparison(text, target, got)
    assert not says_comparison(text, target + 1, got)
    assert says_hit(text) is (target == got)


@pytest.mark.parametrize("split", Split)
def test_languages_share_problems_and_splits(split):
    english, chinese = drawn(split=split), drawn(split=split, language="zh")
    assert [p.facts for p in english] == [p.facts for p in chinese]
    assert [p.question_key for p in english] == [p.question_key for p in chinese]
    assert all(p.language == "zh" and p.question.startswith("用") for p in chinese)
    assert {p.id for p in english}.isdisjoint(p.id for p in chinese)
    with pytest.raises(InputError, match="60 test questions"):
        check_disjoint(english, chinese)


def test_mixed_has_one_language_for_each_number_set_by_the_seed():
    problems = drawn(200, language="mixed", chinese_share=0.3, siblings=2)
    by_set = {}
    for problem in problems:
        by_set.setdefault(tuple(problem.facts["numbers"]), set()).add(problem.language)
    assert all(len(languages) == 1 for languages in by_set.values())
    chinese = sum(languages == {"zh"} for languages in by_set.values())
    assert abs(chinese - 0.3 * len(by_set)) < 4 * (0.21 * len(by_set)) ** 0.5  # binomial, four deviations
    other = drawn(200, language="mixed", chinese_share=0.3, siblings=2, seed=1)
    assert [p.language for p in other] != [p.language for p in problems]


def test_english_is_what_it_was():
    """Ids of problems as they were before there was another language."""
    assert make_problem([3, 5, 7], 22).id == "d853d99cf915f842"
    assert make_problem([3, 5, 7], 22).question_key == "e8106062ead2b0d1"
    limited = make_problem([3, 5, 7], 22, Limits(60, "*+"))
    assert limited.id == "1290c875f3cf8439"
    assert "language" not in CountdownSettings().model_dump()
    assert CountdownProblems().digest() == "1a8daf0e5c98ea22", "runs begun before go on"
    assert CountdownSettings(language="zh").model_dump()["language"] == "zh"


@given(st.integers(1, 80), st.integers(1, 4), st.sampled_from(list(Split)))
def test_siblings_stay_in_the_split_and_nothing_comes_twice(n, siblings, split):
    problems = drawn(n, split, siblings=siblings)
    pairs = pairs_of(problems)
    assert len(set(pairs)) == n
    assert set(pairs) <= EVERY[split]


@pytest.mark.parametrize("language", sorted(WORDS))
def test_answers_are_graded_whatever_the_language(language):
    problem = make_problem([3, 5, 7], 22, language=language)
    assert problem.language == language
    for text in ("7 + (3 * 5) = 22", "答案是 7 + (3 * 5) = 22。", "The answer is 7 + (3 * 5)."):
        assert grade(problem, text).right
    assert not grade(problem, "7 * 3 + 5 = 22").right


def test_plain_text_has_comparisons_in_each_language():
    lines = "\n".join(arithmetic_documents(9, Limits(), seed=0, repeats=1, languages=("en", "zh"))).split(
        "\n"
    )
    english = [line for line in lines if re.fullmatch(r"target \d+ , got \d+ , off by \d+", line)]
    chinese = [line for line in lines if re.fullmatch(r"目标 \d+，得到 \d+，相差 \d+", line)]
    assert abs(len(english) - len(chinese)) <= 1
    assert len(english) + len(chinese) == len(lines) / 2
