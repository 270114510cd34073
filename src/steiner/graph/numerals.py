"""Numbers in running text: one spelling each, words read as digits, LaTeX as what it shows."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

_ONES = tuple(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
    """.split()  # noqa: SIM905
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_VALUE = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_NUMBER_WORD = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<unit>{'|'.join(_ONES[1:10])}))?"
    rf"|(?P<ones>{'|'.join(_ONES)}))\b",
    re.IGNORECASE,
)
_ONE = re.compile(r"\bone\b", re.IGNORECASE)
# «one» is a pronoun unless both its neighbours belong to arithmetic or to a list of numbers.
_BEFORE_ONE = re.compile(
    r"(?:[-+*/=(,:{]|\d,?|\b(?:and|by|is|are|get|have|hold|makes?|gives|leaves|leaving|becomes|plus|minus|times|over"
    r"|from|to|of|with|me|now|only))\s+$|\($",
    re.IGNORECASE,
)
_AFTER_ONE = re.compile(
    r"\s*(?:[.,;:)}]|$|\d|[-+*/=]|\b(?:plus|minus|times|over|divided|equals|gives|makes|from|to|for|by|and|with"
    r"|goes|away|less|is|are|remain\w*|left|stay)\b|and \d)",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r",? (?:(?:and|together|goes|less|minus|plus|times|over|divided) )*(?:\d|(?:by|into|to|from)\b)",
    re.IGNORECASE,
)


def digits(text: str) -> str:
    """Write number words as digits: «twenty-four» as 24; «one» only where it is plainly a number."""
    text = _NUMBER_WORD.sub(_as_digits, text)
    before = ""
    while before != text:  # one «1» makes the «one» beside it plain
        before, text = text, _ONE.sub(_one_as_digit, text)
    return text


def _as_digits(match: re.Match[str]) -> str:
    if match["ones"]:
        word = match["ones"].lower()
        return match["ones"] if word == "one" else str(_VALUE[word])
    return str(_VALUE[match["tens"].lower()] + _VALUE.get((match["unit"] or "").lower(), 0))


def _one_as_digit(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    inside = _BEFORE_ONE.search(text, max(0, start - 12), start) and _AFTER_ONE.match(text, end)
    return "1" if inside or _OPENS.match(text, end) else match.group(0)


def plain(text: str) -> str:
    """Replace LaTeX and typographic signs by the ASCII they mean."""
    text = unicodedata.normalize("NFKC", text.replace("×", "*").replace("÷", "/").replace("·", "*"))
    text = text.replace("−", "-").replace("–", "-").replace("’", "'")
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)", text)
    text = re.sub(r"\\(?:times|cdot)\b", "*", text)
    text = re.sub(r"\\div\b", "/", text)
    text = re.sub(r"\\(?:approx|simeq)\b", "≈", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|left|right|quad|displaystyle|,|;|!|\(|\)|\[|\])", " ", text)
    return re.sub(r"[$€£\\{}]", " ", text)


def canonical(number: str) -> str:
    """One spelling per number: `1,000.0`, `$1000` and `1000` are equal. Empty for what is no number."""
    bare = re.sub(r"[,$\s^{}]", "", number)
    try:
        value = Decimal(bare)
    except InvalidOperation:
        return ""
    return format(value.normalize(), "f") if value else "0"
