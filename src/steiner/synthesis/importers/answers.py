"""Where a text states its final choice, and the text without that statement and what comes after."""

from __future__ import annotations

import re
from typing import NamedTuple

_LETTER = r"(?:\$|\\\(|\*\*|\\boxed\{|\\text(?:bf)?\{|\\mathrm\{|\(|\s)*([A-Z])(?![\w'’])"
_STATEMENT = re.compile(
    rf"(?i:\b(?:answer|choice|option)\s+(?:is|would\s+be|must\s+be|should\s+be)\s*:?)\s*{_LETTER}"
    rf"|(?i:\banswer)\s*\**\s*:\s*{_LETTER}"
    r"|\\boxed\{\s*(?:\\text(?:bf)?\{|\\mathrm\{)?\(?([A-Z])(?![\w'’])"
)
"""«the answer is (C)», «Answer: C», «\\boxed{C}»."""
_CLAUSE = re.compile(
    r"""(?ix)
    (?:[,;:]?\s*(?:\b(?:so|thus|therefore|hence|and|then|that\s+is|which\s+means(?:\s+that)?|meaning(?:\s+that)?
        |we\s+(?:can\s+)?(?:conclude|find|see)(?:\s+that)?)\b[,:]?\s*)*)
    (?:this\s+(?:means|implies|gives)(?:\s+that)?\s+)?
    (?:the\s+)?(?:(?:correct|best|final|right|closest|nearest|most\s+[a-z]+)\s+){0,2}(?:answer|choice|option)(?:\s+(?:from|among|to|for)\s+[^.,;]{3,60}?)?
    (?:\s+is|\s+would\s+be|\s+must\s+be|\s+should\s+be|\s*\**\s*:)\s*:?\s*$
    """
)
"""The words that introduce a statement, up to the letter."""
_NEXT_QUESTION = re.compile(r"\n\s*(?:#+\s*)?(?:\*\*)?(?:Question|Q)\s*\d*\s*(?:\*\*)?:", re.IGNORECASE)
_TAIL_CHARACTERS = 200


class StatedAnswer(NamedTuple):
    """The reasoning of a text, separated from its final answer."""

    reasoning: str
    stated: bool
    """False where the text does not itself state the letter: cut off, or the letter was guessed for it."""
    explanation: str = ""
    """What follows the statement, where it leads to no other letter: some models answer first."""


def separate_answer(text: str, letter: str | None) -> StatedAnswer:
    """Cut `text` at the first place where it states `letter` as its answer.

    Base models go on with questions of their own after the answer; evaluation scripts guess a letter where
    the text has none. Neither is part of the reasoning.

    Args:
        text: what the model wrote.
        letter: the answer that was read out of the text, None if none was found.
    """
    following = _NEXT_QUESTION.search(text)
    if following and text[: following.start()].strip():
        text = text[: following.start()]
    if letter is None:
        return StatedAnswer(text.strip(), stated=False)
    statements = list(_STATEMENT.finditer(text))
    for index, match in enumerate(statements):
        if letter in match.groups():
            again = next(iter(statements[index + 1 :]), None)
            reasoning = _without_clause(text[: match.start()], match.group())
            return StatedAnswer(reasoning, True, _explanation(text, match, again, letter))
    tail = text.rstrip()[-_TAIL_CHARACTERS:]
    marked = (
        rf"\({letter}\)|\b(?:option|choice|statement)\s+{letter}\b|\*\*\s*\(?{letter}\b"
        rf"|(?:^|\n)\s*{letter}[.):]"
    )
    return StatedAnswer(text.strip(), stated=re.search(marked, tail, re.IGNORECASE) is not None)


def _explanation(text: str, stated: re.Match[str], again: re.Match[str] | None, letter: str) -> str:
    """Return the text after a statement, up to its repetition; nothing if another letter is stated there."""
    if again is None:
        body = text[stated.end() :]
    elif letter in again.groups():
        body = _without_clause(text[stated.end() : again.start()], again.group())
    else:
        return ""
    return re.sub(r"^[)\].,:;*}\s]+", "", body).rstrip()


def _without_clause(before: str, statement: str) -> str:
    """Drop the words that introduce the statement; keep what else its sentence says."""
    introduction = re.split(r"[A-Z](?![\w'’])[^A-Z]*$", statement)[0]
    introduction = re.sub(r"(?:\$|\\\(|\*\*|\\boxed\{|\\text(?:bf)?\{|\\mathrm\{|\(|\s)+$", "", introduction)
    # Only the end is searched: the patterns are slow on long texts.
    body, end = before[:-_TAIL_CHARACTERS], before[-_TAIL_CHARACTERS:] + introduction
    end = _CLAUSE.sub("", end)
    end = re.sub(r"(?:(?<!\S)\$+|\\\(|\\\[|\\(?:text|boxed)\{|\*\*|(?<!\w)\(|\s)+$", "", end)
    kept = (body + end).strip()
    return kept + "." if kept and kept[-1].isalnum() else kept
