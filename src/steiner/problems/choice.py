"""Read the chosen option of a multiple-choice answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from steiner.problems.answer_text import boxed, comparable, last_line, normalize, stated, strip_markup

_BARE = re.compile(r"\W*(?:option|choice|answer)?\W*([A-Za-z])\W*", re.IGNORECASE)
_LED = re.compile(r"\(?([A-Z])\s?(?:[).:]|[-–—]\s)")
_SAID = re.compile(r"(?:option|choice|letter)?\s*\(?([A-Z])\)?(?![\w'’])", re.IGNORECASE)
_MORE = re.compile(r"\W{1,3}(?:(?:and|or|und|oder|y|o|et|ou|和|或)\W{1,3})?\(?([A-Z])\)?(?![\w'’])")
_BRACKETED = re.compile(r"\(([A-Z])\)|\b(?i:option|choice)\s+\(?([A-Z])\b")
_SHORT = 200
"""Characters of a last line that may state the answer without saying that it does."""
_WORD_NEXT = r"\s+(?!and\b|or\b)[a-z]"
"""What follows the article «A» and the pronoun «I», and not the options of that name."""
_LONE = re.compile(rf"(?<![\w'’°])([B-HJ-Z]|[AI](?!{_WORD_NEXT}))(?![\w'’])")


def reference_letter(answer: str) -> str:
    """Return the letter of a reference such as `C` or `(C)`; the text itself where it is no letter."""
    match = _BARE.fullmatch(normalize(answer))
    return match.group(1).upper() if match else answer.strip()


def chosen_letter(text: str, choices: Sequence[str] = ()) -> str | None:
    """Return the letter of the option that an answer names, by letter or by its text.

    None where it names none, or several without a decision. `choices` may be unknown (empty): then every
    letter from A to Z is an option.
    """
    text = normalize(text)
    letters = "".join(chr(ord("A") + i) for i in range(min(len(choices), 26) if choices else 26))
    plain = strip_markup(text)
    places = [place for place in (boxed(text), stated(text)) if place]
    for place in [*places, text]:
        found = _whole(strip_markup(place), letters, choices)
        if found:
            return found
    for place in places:
        cleaned = strip_markup(place)
        match = _SAID.match(cleaned)
        if match and _is_letter(match, cleaned, letters):
            return _unless_more(match, cleaned, letters)
        found = _by_text(cleaned, choices)
        if found:
            return found
    return _unmarked(plain, letters, choices)


def _whole(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """Read a text that is nothing but the option: its letter, its text, or both."""
    match = _BARE.fullmatch(text)
    if match and match.group(1).upper() in letters:
        return match.group(1).upper()
    wanted = comparable(text)
    equal = [letters[i] for i, choice in enumerate(choices[:26]) if comparable(choice) == wanted]
    if wanted and equal:
        return equal[0]
    match = _LED.match(text)
    if match and match.group(1) in letters and len(text) < 400 and "\n" not in text:
        return _unless_more(match, text, letters)
    return None


def _is_letter(match: re.Match[str], text: str, letters: str) -> bool:
    """Tell the option A from the article «a», and I from the pronoun."""
    letter = match.group(1)
    if letter.upper() not in letters:
        return False
    marked = "(" in match.group() or match.group().strip() != letter
    article = letter in "aAI" and re.match(_WORD_NEXT, text[match.end() :]) is not None
    return marked or (letter.isupper() and not article)


def _unless_more(match: re.Match[str], text: str, letters: str) -> str | None:
    """Return the letter unless more options follow it («A and B»), which decides nothing."""
    letter = match.group(1).upper()
    more = _MORE.match(text, match.end())
    if more and more.group(1) in letters and more.group(1) != letter:
        return None
    return letter


def _by_text(text: str, choices: Sequence[str]) -> str | None:
    """Return the only option whose text stands in `text`; one that is part of another gives way to it."""
    haystack = f" {_words(text)} "
    found: dict[int, str] = {}
    for index, choice in enumerate(choices[:26]):
        needle = f" {_words(choice)} "
        if needle.strip() and needle in haystack:
            found[index] = needle
    longest = [i for i, a in found.items() if not any(a in b and a != b for b in found.values())]
    if len({found[i] for i in longest}) == 1:
        return chr(ord("A") + longest[0])
    return None


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", comparable(text)).strip()


def _unmarked(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """Read an answer that never says where its answer is: look at its last line, then at all of it."""
    line = last_line(text)
    found = _whole(line, letters, choices)
    if found:
        return found
    for place in (line, text):
        named = [m.group(1) or m.group(2) for m in _BRACKETED.finditer(place)]
        named = [letter for letter in named if letter in letters]
        if named and len(set(named)) == 1:
            return str(named[0])
    if len(line) > _SHORT:
        # A long sentence names letters and options for many reasons.
        return None
    lone = [letter for letter in _LONE.findall(line) if letter in letters]
    if lone and len(set(lone)) == 1:
        return str(lone[0])
    if lone:
        return None
    return _by_text(line, choices)
