"""How far into a draft may a blind solver look?

A draft is written with the answer known, so it may name the answer long before it has worked it out. A blind
attempt that goes on from there would not be blind. When in doubt a step counts as naming the answer: the only
cost is a shorter prefix.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

from steiner.core import Question, TraceStep
from steiner.problems.answer_text import comparable, final_answers, normalize, strip_markup
from steiner.problems.math_equal import canonical_latex
from steiner.problems.numeric import normalize_number_text, sentence_quantity, single_quantity
from steiner.teacher.llm.spelled import spellings

_TOKEN = r"(?:\d+(?:[.,'’]\d+)*|\.\d+)"
_DIGITS = re.compile(r"\d+(?:[.,'’]\d+)*")
_SCALED = re.compile(
    rf"(?<![\d.])(?P<number>{_TOKEN})\s?"
    r"(?:(?P<percent>\\?%|percent\b|per cent\b|prozent\b|por ciento\b|パーセント)"
    r"|(?P<times>hundred|thousand|million|billion|百|千|万|萬|亿|億))",
    re.IGNORECASE,
)
_SCALES = (
    "%",
    "percent",
    "per cent",
    "ciento",
    "prozent",
    "パーセント",
    "hundred",
    "thousand",
    "illion",
    *"百千万萬亿億",
)
_FRACTION = re.compile(
    rf"\\[dt]?frac\s*\{{\s*(?P<a>-?{_TOKEN})\s*\}}\s*\{{\s*(?P<b>{_TOKEN})\s*\}}"
    rf"|(?P<c>{_TOKEN})\s*/\s*(?P<d>{_TOKEN})|(?P<f>\d+)\s*分之\s*(?P<e>\d+)"
)
_POWER_OF_TEN = re.compile(
    rf"(?P<m>{_TOKEN})\s*(?:\*|x|×|\\times|\\cdot|·)\s*10\s*\^\s*\{{?\s*(?P<p>-?\d{{1,2}})"
)
_FACTORS = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9,
    "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
}  # fmt: skip
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
_CONTINENTAL = re.compile(r"\d{1,3}(?:\.\d{3})*(?:,\d+)?|\d+,\d+")
_NUMERALS = "零〇一二两三四五六七八九十百千万亿点"
_CHUNK, _OVERLAP = 8_000, 400
"""Long texts are read in pieces: what normalises them looks at a limited number of characters only."""
_MAX_DIGITS = 40
"""Of longer numbers only the digits are compared."""


def leaks(question: Question, answer: str, text: str) -> bool:
    """Say whether `text` names the answer.

    A number counts however it is written (1,234 for 1234, 72.0 for 72, 0.75 for 3/4, in full-width digits, in
    English or Chinese words), a text as whole words without regard to case, an expression without regard to
    spaces and layout; an option by its letter, if marked as one, and by its text. What stands in the question
    anyway counts only where the text marks it as its final answer.
    """
    return _finder(question.text, question.choices, answer).leaks(text)


def blind_prefix_length(question: Question, steps: Sequence[TraceStep], wanted: int, answer: str) -> int:
    """Return how many of the first `wanted` steps may be shown to somebody who must not know the answer.

    The steps before the first one that names the answer.
    """
    finder = _finder(question.text, question.choices, answer)
    for index, item in enumerate(steps[: max(wanted, 0)]):
        step = item.step
        if finder.leaks_in_step("\n".join((step.name, step.thought, step.summary, step.reflection))):
            return index
    return min(max(wanted, 0), len(steps))


def is_unfounded(question: Question, answer: str, text: str) -> bool:
    """Say whether an answer that is a number stands neither in `text` nor in the question.

    Whoever writes down a number that no step arrives at has it from elsewhere.
    """
    return answer not in text and _finder(question.text, question.choices, answer).misses(text)


@lru_cache(maxsize=1024)
def _finder(question: str, choices: tuple[str, ...], answer: str) -> _Finder:
    return _Finder(question, choices, answer)


class _Finder:
    """Looks for one answer to one question."""

    def __init__(self, question: str, choices: tuple[str, ...], answer: str) -> None:
        index = _option(choices, answer)
        shown = answer if index is None else choices[index]
        self._letter = None if index is None else _letter_pattern(chr(ord("A") + index))
        self._values, self._sequence = _numbers_of(shown)
        words = [word for value in self._values for word in _spelled(value)]
        self._words = [(word.split(" ")[-1], _word_pattern(word)) for word in words]
        self._text = _text_pattern(shown) if not self._values else None
        self._squeezed = "" if self._values else _squeezed_needle(shown)
        self._in_question = self._contains(question)
        self._steps: dict[str, bool] = {}

    def leaks_in_step(self, text: str) -> bool:
        """As `leaks`; remembers, for one draft is cut again and again."""
        if text not in self._steps:
            self._steps[text] = self.leaks(text)
        return self._steps[text]

    def leaks(self, text: str) -> bool:
        return any(self._leaks(piece) for piece in _pieces(text))

    def misses(self, text: str) -> bool:
        """Say whether the answer is a number, and neither in the question nor in the text."""
        if self._letter is not None or not self._values or self._in_question:
            return False
        return not any(self._contains(piece) for piece in _pieces(text))

    def _leaks(self, text: str) -> bool:
        if self._letter is not None and self._letter.search(unicodedata.normalize("NFKC", text)):
            return True
        if self._in_question:
            lines = normalize(text).split("\n")
            return any(self._contains(place) for line in lines for place in final_answers(line))
        return self._contains(text)

    def _contains(self, text: str) -> bool:
        if self._values or self._sequence:
            plain = _plain(text)
            if self._values and any(value in self._values for value in _values_in(plain)):
                return True
            if self._sequence and _has_sequence(plain, self._sequence):
                return True
            lowered = plain.lower()
            if any(last in lowered and pattern.search(lowered) for last, pattern in self._words):
                return True
        if self._text is not None and self._text.search(_folded(text)):
            return True
        return bool(self._squeezed) and self._squeezed in _squeezed(text)


def _option(choices: tuple[str, ...], answer: str) -> int | None:
    """Return the index of the option that an answer names, None if there are no options."""
    match = re.fullmatch(r"\W*([A-Za-z])\W*", normalize(answer))
    if choices and match and ord(match[1].upper()) - ord("A") < len(choices):
        return ord(match[1].upper()) - ord("A")
    wanted = comparable(answer)
    return next((i for i, choice in enumerate(choices) if comparable(choice) == wanted), None)


_NAMING = r"options?|choices?|answers?|letter|pick|choose|select|alternative|antwort|respuesta|opción|réponse"
_LETTER = r"""
      \(\s*[{letter}{low}]\s*\)                            # (B)
    | (?<![A-Za-z0-9_]){letter}\s?[).:、](?!\w)             # B) or B.
    | \*\*\(?{letter}\b | \{{\s*{letter}\s*\}}            # **B**, \boxed{{B}}
    | \b(?i:{naming})(?i:\s+(?:is|are|(?:would|should|must)\s+be|ist|es|est))?
      \s*[:=("'*`]*\s*{letter}(?![a-zA-Z'])               # option B, answer: B
    | \b(?i:(?:options?|choices?|answer)\s+(?:is\s+)?)[{letter}{low}]\b(?!\s+[a-z])
    | (?:选项?|选择|答案[是为选:]?|選択肢|答えは)\s*\(?{letter}
    | (?<![A-Za-z]){letter}\s*(?:选?项|is\s+(?:the\s+)?(?:correct|right|best))
"""


def _letter_pattern(letter: str) -> re.Pattern[str]:
    """Return what finds the letter of an option; the letters that are also words only where marked as one."""
    pattern = _LETTER.format(letter=letter, low=letter.lower(), naming=_NAMING)
    if letter not in "AI":
        pattern += rf"| (?<![\w^.]){letter}(?![\w'’])"
    return re.compile(pattern, re.VERBOSE)


def _numbers_of(answer: str) -> tuple[frozenset[Fraction], tuple[Fraction, ...]]:
    """Return the values of an answer that is one number, or the numbers of one that has several."""
    for place in (answer, *final_answers(normalize(answer))):
        for text in (place, place.rpartition("=")[2], strip_markup(normalize(place)), canonical_latex(place)):
            found = single_quantity(text) or sentence_quantity(text)
            if found is not None:
                return frozenset(found.readings), ()
    numbers = tuple(_first_values(_plain(answer)))
    return frozenset(), numbers if len(numbers) > 1 else ()


def _spelled(value: Fraction) -> tuple[str, ...]:
    return spellings(int(value)) if value.denominator == 1 else ()


def _word_pattern(word: str) -> re.Pattern[str]:
    if not word.isascii():
        return re.compile(
            rf"(?<![零〇一二两三四五六七八九十百千万亿第点]){word}(?![零〇一二两三四五六七八九十百千万亿点])"
        )
    return re.compile(rf"(?<![\w-]){word.replace(' ', '[ -]+')}(?!\w)")


def _text_pattern(answer: str) -> re.Pattern[str] | None:
    needle = re.escape(_folded(answer).strip().strip(".。!\"'").strip())
    if not needle:
        return None
    # Words end where letters end; Chinese has no blank space between words.
    start = r"(?<![a-z0-9])" if needle[0].isascii() and needle[0].isalnum() else ""
    end = r"(?![a-z0-9])" if needle[-1].isascii() and needle[-1].isalnum() else ""
    return re.compile(start + needle + end)


def _squeezed_needle(answer: str) -> str:
    """Return an expression without spaces and layout; empty for what is no expression."""
    squeezed = _squeezed(answer)
    return squeezed if len(squeezed) > 1 and re.search(r"[\\^_=+*/<>()\[\]{}\d]", squeezed) else ""


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", canonical_latex(text)).casefold()


def _folded(text: str) -> str:
    return " ".join(strip_markup(unicodedata.normalize("NFKC", text)).casefold().split())


def _plain(text: str) -> str:
    """Return a text in which numbers are written in one way; quick for plain ASCII."""
    if text.isascii() and not any(mark in text for mark in ("\\", "**", "`", "__", "{,}")):
        return text
    return normalize_number_text(text)


def _pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces that overlap."""
    yield text[:_CHUNK]
    for start in range(_CHUNK - _OVERLAP, len(text) - _OVERLAP, _CHUNK - _OVERLAP):
        yield text[start : start + _CHUNK]


def _values_in(text: str) -> Iterator[Fraction]:
    """Yield all values that the numbers of a text may stand for, each at least once."""
    for minus, number in set(_tokens(text)):
        for value in _token_values(number):
            yield value
            if minus:
                yield -value
    lowered = text.lower()
    if any(scale in lowered for scale in _SCALES):
        for match in _SCALED.finditer(lowered):
            factor = Fraction(1, 100) if match["percent"] else Fraction(_FACTORS[match["times"]])
            for value in _token_values(match["number"]):
                yield value * factor
    if "/" in text or "frac" in text or "分之" in text:
        for match in _FRACTION.finditer(text):
            yield from _quotients(match)
    if "^" in text:
        for match in _POWER_OF_TEN.finditer(text):
            for value in _token_values(match["m"]):
                yield value * Fraction(10) ** int(match["p"])


def _tokens(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the numbers of a text, and whether a minus sign stands before each."""
    # A pattern that begins with a digit is many times quicker than one that looks around first.
    for match in _DIGITS.finditer(text):
        start = match.start()
        # .72 is a decimal, and the 72 of «No.72» is not.
        point = "." if text[start - 1 : start] == "." and not text[start - 2 : start - 1].isalpha() else ""
        before = start - 1 - len(point)
        yield before >= 0 and text[before] == "-", point + match.group()


def _quotients(match: re.Match[str]) -> Iterator[Fraction]:
    over, under = match["a"] or match["c"] or match["e"], match["b"] or match["d"] or match["f"]
    sign = -1 if over.startswith("-") else 1
    for a in _token_values(over.lstrip("-")):
        for b in _token_values(under):
            if b:
                yield sign * a / b


@lru_cache(maxsize=1 << 14)
def _token_values(token: str) -> tuple[Fraction, ...]:
    """Return what digits with points, commas and apostrophes between them may stand for."""
    token = re.sub("['’]", "", token)[:_MAX_DIGITS]
    texts = [token.replace(",", "")] if _THOUSANDS.fullmatch(token) else []
    if _CONTINENTAL.fullmatch(token):
        texts.append(token.replace(".", "").replace(",", "."))
    if "," not in token:
        texts.append(token)
    if not texts or ("," in token and not _THOUSANDS.fullmatch(token)):
        texts.extend(token.split(","))  # a list without spaces
    values = (_fraction(text) for text in texts)
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _fraction(text: str) -> Fraction | None:
    match = re.fullmatch(r"\d*\.?\d+", text)
    return Fraction(text) if match else None


def _first_values(text: str) -> Iterator[Fraction]:
    for minus, number in _tokens(text):
        values = _token_values(number)
        if values:
            yield -values[0] if minus else values[0]


def _has_sequence(text: str, wanted: tuple[Fraction, ...]) -> bool:
    """Say whether the numbers of an answer stand one after the other in a text."""
    found = tuple(_first_values(text))
    return any(found[i : i + len(wanted)] == wanted for i in range(len(found) - len(wanted) + 1))
