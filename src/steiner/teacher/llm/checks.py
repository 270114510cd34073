"""Does a text give away that its writer was told the answer, or that it was copied from the instructions?

Reasoning is spoilt by «the correct answer is given as 18, so the second step must be wrong». Such phrases are
found by pattern, in English and Chinese whatever the language (models mix them in) and, with a few patterns
each, in some other languages. What only looks alike is let through: answer choices, answers to earlier parts,
things given in the question.

Small models fill in steps by copying the example of the prompt. Whole sentences of it are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from steiner.teacher.llm.told_patterns import CHINESE, ENGLISH, OTHERS, compiled

_HELD = ("correct", "right", "true", "actual", "expected", "given", "provided", "known", "target", "intended")
_TRIGGERS = (
    *("answer", "solution", "ground truth", "ground-truth", "mark scheme", "marking scheme"),
    *("as provided", "as supplied", "as was provided", "as was supplied", "as hinted"),
)
"""Every English phrase holds one of these or of the next; only sentences that do are looked at."""
_RESULTS = {what: tuple(f"{held} {what}" for held in _HELD) for what in ("result", "outcome")}
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n\s*\n")
_PROMPT_SENTENCE = re.compile(r"[^.!?:;\"{}]+[.!?]")
_SHORTEST_ECHO = 30
"""Characters of a sentence; shorter ones such as «This answers the question.» are anybody's."""
_REACH = 160
"""Characters looked at before and behind such a word."""
_ENGLISH = compiled(ENGLISH)
_CHINESE = compiled(CHINESE)
_CHINESE_TRIGGERS = ("答案", "解答", "结果")
_OTHERS = {language: compiled(patterns) for language, patterns in OTHERS.items()}


def told_phrase(text: str, language: str = "en") -> str | None:
    """Return the words of `text` that give away that the answer was known, None if none do.

    Args:
        text: reasoning as written.
        language: what it is written in (ISO 639-1). English and Chinese are always looked for.
    """
    return _english(text) or _chinese(text) or _other(text, language)


def sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of instructions that nobody writes by chance: long ones, and no questions."""
    # Lines of prompts are broken anywhere; the fields of an example in JSON end with a quotation mark.
    parts = _PROMPT_SENTENCE.findall(" ".join(text.split()))
    found = (part.strip(" -") for part in parts if not part.endswith("?"))
    return tuple(dict.fromkeys(part for part in found if len(part) >= _SHORTEST_ECHO))


def echoed(text: str, instructions: Sequence[str]) -> str | None:
    """Return the first of the sentences that stands in a text word by word, None if none does."""
    return next((sentence for sentence in instructions if sentence in text), None)


def mentions_told(text: str, language: str = "en") -> bool:
    """Say whether the text gives away that its writer was told the answer."""
    return told_phrase(text, language) is not None


def _english(text: str) -> str | None:
    text = text.lower()
    results = [phrase for what, phrases in _RESULTS.items() if what in text for phrase in phrases]
    for trigger in (*_TRIGGERS, *results):
        place = text.find(trigger)
        while place >= 0:
            start, end = _sentence(text, place, place + len(trigger))
            match = _ENGLISH.search(text, start, end)
            if match:
                return " ".join(match.group().split())
            place = text.find(trigger, end)
    return None


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the sentence around `text[start:end]` begins and ends, within reach."""
    low = max(start - _REACH, 0)
    for match in _SENTENCE_END.finditer(text, low, start):
        low = match.end()
    close = _SENTENCE_END.search(text, end, end + _REACH)
    return low, close.end() if close else min(end + _REACH, len(text))


def _chinese(text: str) -> str | None:
    if text.isascii() or not any(trigger in text for trigger in _CHINESE_TRIGGERS):
        return None
    match = _CHINESE.search(text)
    return match.group() if match else None


def _other(text: str, language: str) -> str | None:
    pattern = _OTHERS.get(language.partition("-")[0])
    match = pattern.search(text.lower()) if pattern else None
    return " ".join(match.group().split()) if match else None
