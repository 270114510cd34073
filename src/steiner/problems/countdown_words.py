"""What is said around the numbers of Countdown, by language. Equations are the same in every language.

A blank stands before each number in every language, so that a tokenizer with one token a number reads all
texts alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple


class Words(NamedTuple):
    """The words of one language."""

    question: str
    follow_up: str
    """Asks for another target from the numbers of the question before."""
    name: str
    """Name of a step: what it starts from."""
    summary: str
    """Summary of a step: what it leaves."""
    go_on: str
    """Reflection of a step that leaves more than one number."""
    dead_end: str
    """Reflection of a step that leaves more than one number, where the search goes back after it."""
    comparison: str
    """Reflection of a step that leaves one number."""
    hit: str
    """What a comparison says where the number is the target."""


WORDS = {
    "en": Words(
        question="Make {target} from {numbers}.",
        follow_up="And {target}?",
        name="From {numbers}",
        summary="left {numbers}",
        go_on="go on",
        dead_end="dead end , go back",
        comparison="target {target} , got {got} , off by {off}",
        hit="off by 0",
    ),
    "zh": Words(
        question="用 {numbers} 得到 {target}。",
        follow_up="那 {target} 呢？",
        name="从 {numbers}",
        summary="剩下 {numbers}",
        go_on="继续",
        dead_end="死路，回头",
        comparison="目标 {target}，得到 {got}，相差 {off}",
        hit="相差 0",
    ),
}
"""By language code; every other language gets English."""


class Asked(NamedTuple):
    """A question as it was read."""

    numbers: tuple[int, ...]
    """Ascending."""
    target: int
    language: str


def words_of(language: str) -> Words:
    """Return the words for a language code such as `zh`, `zh-CN` or `en_GB`."""
    return WORDS.get(language.replace("_", "-").split("-")[0].lower(), WORDS["en"])


def question_text(numbers: Iterable[int], target: int, language: str = "en") -> str:
    """Return the question, for example `Make 24 from 3 5 7.`."""
    return words_of(language).question.format(target=target, numbers=" ".join(map(str, sorted(numbers))))


def follow_up_text(target: int, language: str = "en") -> str:
    """Return the question for another target from the same numbers, for example `And 24?`."""
    return words_of(language).follow_up.format(target=target)


def parse_question(text: str) -> Asked | None:
    """Read what `question_text` wrote, in any language; None for any other text."""
    for language in WORDS:
        match = _question(language).fullmatch(text.strip())
        if match is not None:
            numbers = tuple(sorted(map(int, match["numbers"].split())))
            return Asked(numbers, int(match["target"]), language)
    return None


def number_sets(questions: Iterable[str]) -> list[tuple[int, ...]]:
    """Return the sets of numbers that questions ask about, sorted; other texts have none."""
    asked = map(parse_question, questions)
    return sorted({one.numbers for one in asked if one is not None})


def comparison(target: int, got: int, language: str = "en") -> str:
    """Word how far a number is from the target; every path that reaches a last number says it so.

    A distance and no bare verdict: it is something to compute in every such step, not only in the rare hit.
    """
    return words_of(language).comparison.format(target=target, got=got, off=abs(target - got))


def says_comparison(text: str, target: int, got: int) -> bool:
    """Say whether a reflection is that comparison, in any language."""
    return text.strip() in {comparison(target, got, language) for language in WORDS}


def says_hit(text: str) -> bool:
    """Say whether a reflection claims that the number is the target, in any language."""
    return any(words.hit in text for words in WORDS.values())


def numbers_of_name(text: str) -> str:
    """Return the name of a step without its words, in any language."""
    return _without(text, [words.name for words in WORDS.values()])


def numbers_of_summary(text: str) -> str:
    """Return the summary of a step without its words, in any language."""
    return _without(text, [words.summary for words in WORDS.values()])


def _without(text: str, forms: Sequence[str]) -> str:
    for form in forms:
        before = form.removesuffix("{numbers}")
        if text.startswith(before):
            return text.removeprefix(before)
    return text


@lru_cache(maxsize=8)
def _question(language: str) -> re.Pattern[str]:
    form = re.escape(WORDS[language].question)
    form = form.replace(r"\{numbers\}", r"(?P<numbers>\d{1,9}(?: \d{1,9})+)")
    return re.compile(form.replace(r"\{target\}", r"(?P<target>\d{1,9})"))
