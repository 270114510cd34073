"""Whether steps are in the language of the question."""

from __future__ import annotations

import random

import pytest

from steiner.core import Step
from steiner.evaluate.languages import is_in_language, results_by_language
from steiner.evaluate.records import SampleResult
from steiner.problems.countdown import CountdownSettings, generate
from steiner.problems.countdown_words import WORDS
from steiner.teacher import SymbolicCountdownTeacher
from steiner.teacher.countdown_reader import CountdownReader


def step(*fields: str) -> Step:
    return Step(**dict(zip(("name", "thought", "summary", "reflection"), fields, strict=True)))


ENGLISH = step("From 3 5 7", "3 + 5 = 8", "left 7 8", "go on")
CHINESE = step("从 3 5 7", "3 + 5 = 8", "剩下 7 8", "继续")


@pytest.mark.parametrize(
    ("written", "language", "expected"),
    [
        (ENGLISH, "en", True),
        (ENGLISH, "de", True),
        (ENGLISH, "zh", False),
        (CHINESE, "zh", True),
        (CHINESE, "zh-CN", True),
        (CHINESE, "ja", True),
        (CHINESE, "en", False),
        (CHINESE.model_copy(update={"summary": "left 7 8"}), "zh", False),
        (ENGLISH.model_copy(update={"reflection": "继续"}), "en", False),
        (step("设未知数", "设 x = 3，求 y", "x = 3 时 y 等于五", "继续"), "zh", True),
        (step("1", "3 + 5 = 8", "8", ""), "zh", None),
        (step("Шаг", "три", "", ""), "ru", True),
        (step("ステップ", "数を足す", "八", ""), "ja", True),
    ],
)
def test_a_step_is_in_a_language_if_each_of_its_fields_is(written, language, expected):
    assert is_in_language(written, language) is expected


@pytest.mark.parametrize("language", sorted(WORDS))
def test_the_teacher_writes_in_the_language_of_the_question_and_is_read_back(language):
    teacher, reader = SymbolicCountdownTeacher(), CountdownReader()
    sizes = CountdownSettings(count=3, high=15, max_result=40, language=language)
    backtracks = 0
    for number, problem in enumerate(generate(sizes, 25)):
        attempt = teacher.attempt(problem.blind(), (), 5, random.Random(number))
        trace = teacher.resolve(problem, attempt, random.Random(number))
        steps = [item.step for item in trace.steps]
        assert all(is_in_language(one, language) for one in steps)
        assert all(reading.sound for reading in reader.read(problem, steps))
        assert [reading.state for reading in reader.read(problem, steps)] == [s.state for s in trace.steps]
        backtracks += sum(one.reflection == WORDS[language].dead_end for one in steps)
    assert backtracks > 0


def test_accuracy_and_steps_are_counted_for_each_language():
    problems = list(generate(CountdownSettings(count=3, high=15, language="mixed"), 12))
    chinese = [p for p in problems if p.language == "zh"]
    assert 0 < len(chinese) < 12
    paths = [[ENGLISH, CHINESE] if p.language == "zh" else [ENGLISH] for p in problems]
    samples = [
        SampleResult(
            problem_id=p.id, max_steps=limit, right=limit == 4 and p.language == "zh", well_formed=True,
            steps=1, backtracks=0, reasoning_tokens=9, answer="",
        )
        for limit in (2, 4)
        for p in problems
    ]  # fmt: skip
    english, other = results_by_language(problems, paths, samples, 4, 0)
    assert (english.language, english.accuracy, english.in_language) == ("en", 0, 1)
    assert (other.language, other.accuracy, other.in_language) == ("zh", 1, 0.5)
    assert (other.n, other.steps) == (len(chinese), 2 * len(chinese))
    assert other.low < 1 == other.high
