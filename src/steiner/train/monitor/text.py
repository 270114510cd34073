"""What the monitor reads out of the text of steps: whether two say the same, and in which script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steiner.core import Move, Step

SAME_WORDS = 0.8
"""Two steps say the same from this Jaccard index of their words on, if their numbers are equal too."""

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+|[^\w\s]")
_LATIN, _HAN, _OTHER = "latin", "han", "other"


class _Reading(NamedTuple):
    """A step as `repeats` compares it."""

    numbers: tuple[str, ...]
    """In the order of the text."""
    words: frozenset[str]
    """Words, single CJK characters and signs."""


class Scripts(NamedTuple):
    """Shares of the letters of a text; they add up to 1."""

    latin: float
    han: float
    other: float


def repeats(steps: Sequence[Step]) -> list[bool]:
    """Tell of each step whether it says the same as an earlier one: name, thought and summary together.

    The same means: the same numbers in the same order, and words that agree to `SAME_WORDS`. So a step is not
    new because of a synonym, and "3 + 5" is no repetition of "3 - 5", as signs count as words.
    """
    earlier: dict[tuple[str, ...], list[frozenset[str]]] = {}
    found: list[bool] = []
    for step in steps:
        reading = _read(step)
        known = earlier.setdefault(reading.numbers, [])
        found.append(any(_alike(reading.words, words) for words in known))
        known.append(reading.words)
    return found


def idle_backtracks(steps: Sequence[Step], moves: Sequence[Move]) -> tuple[int, int]:
    """Return how many backtracks are followed by a step that was written before, and how many there are.

    A backtrack at the end of the reasoning, with no step after it, counts to neither.
    """
    after = [i + 1 for i, move in enumerate(moves) if move is Move.BACKTRACK and i + 1 < len(steps)]
    again = repeats(steps) if after else []
    return sum(again[i] for i in after), len(after)


def scripts(texts: Iterable[str]) -> Scripts | None:
    """Return the shares of scripts among the letters of all texts, None if there is no letter."""
    counts: Counter[str] = Counter()
    for text in texts:
        for character, count in Counter(text).items():
            if character.isalpha():
                counts[_script(character)] += count
    total = sum(counts.values())
    if not total:
        return None
    return Scripts(*(counts[name] / total for name in (_LATIN, _HAN, _OTHER)))


def _read(step: Step) -> _Reading:
    tokens = _TOKEN.findall(" ".join((step.name, step.thought, step.summary)).casefold())
    numbers = tuple(token for token in tokens if token[0].isdigit())
    return _Reading(numbers, frozenset(token for token in tokens if not token[0].isdigit()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    if one == other:
        return True
    if _signs(one) != _signs(other):
        return False
    return len(one & other) >= SAME_WORDS * len(one | other)


def _signs(words: frozenset[str]) -> frozenset[str]:
    """Return what is no word, full stops and commas left out."""
    return frozenset(word for word in words if not word.isalpha() and word not in ".,;:!?")


def _script(letter: str) -> str:
    if letter.isascii():
        return _LATIN
    name = unicodedata.name(letter, "")
    if name.startswith("LATIN"):
        return _LATIN
    return _HAN if name.startswith("CJK") else _OTHER
