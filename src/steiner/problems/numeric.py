"""Read numbers as people write them: separators, units, currency, percent, fractions, Chinese numerals.

A written number may have more than one plausible value (`1.234` in a German text), so a `Quantity` has
several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from steiner.problems.answer_text import final_answers, normalize

COMMA_LANGUAGES = frozenset({"de", "es", "fr", "it", "nl", "pt", "pl", "ru", "sv", "tr", "id"})
"""Languages (ISO 639-1) that write 1.234,5 where English writes 1,234.5."""
RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""For references that are not whole; whole ones must be met exactly."""

_PLAIN = (
    r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)(?:\.\d+)?"  # 1,234.5 and 1,23,456
    r"|\d{1,3}(?:\.\d{3})+(?!\d)(?:,\d+)?|\d+,\d+"  # 1.234,5 and 0,5
    r"|\d+(?:\.\d+)?|\.\d+)"
)
_MULTIPLIERS = {
    "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Kana, Chinese characters and Hangul: a number may follow them without a space."""
_NUMBER = re.compile(
    rf"""
    (?<![^\W{_UNSPACED}])(?<![\^.\\])
    (?P<sign>(?<![\w)}}])(?<![\d)}}]\s)[-+](?!\s)|(?:^|(?<=[=:(])|(?<=[=:(]\s))[-+]\s?)?
    \\?[$€£¥₹]?\s?(?P<sign2>-)?
    (?: (?:(?P<whole>\d+)\s*)?\\[dt]?frac\s*\{{\s*(?P<over>-?{_PLAIN})\s*\}}\s*\{{\s*(?P<under>{_PLAIN})\s*\}}
      | (?:(?P<whole2>\d+)\s+(?:and\s+)?)?(?P<over2>{_PLAIN})\s*/\s*(?P<under2>{_PLAIN})
      | (?:(?P<mantissa>{_PLAIN})\s*(?:\*|x|×|·|\\times|\\cdot)\s*)?10\s*\^\s*
        \{{?\s*(?P<power>[-+]?\d{{1,3}})\s*\}}?
      | (?P<plain>{_PLAIN})(?:[eE](?P<exponent>[-+]?\d{{1,3}})\b)?
    )
    (?:\s?(?P<times>{"|".join(_MULTIPLIERS)}))?
    (?P<percent>\s?(?:\\?%|percent\b|per\ cent\b|prozent\b|por\ ciento\b))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CHINESE = re.compile("负?[零〇一二两兩三四五六七八九十百千万萬亿億]+(?:点[零〇一二三四五六七八九]+)?")
_CHINESE_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_VULGAR = re.compile("(?<=[0-9])(?=[¼½¾⅐-⅞])")
_SUPERSCRIPTS = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SHORT_FRACTION = re.compile(r"(\\[dt]?frac)\s*(\d)\s*(\d)")
_LONE_LETTER = re.compile("(?<![a-z])[a-z](?![a-z])", re.IGNORECASE)
_MAX_DIGITS = 400


class Quantity(NamedTuple):
    """A number as it was written."""

    text: str
    values: tuple[Fraction, ...]
    """Plausible values, the most plausible first; never empty."""
    percent: bool = False

    @property
    def readings(self) -> frozenset[Fraction]:
        """All values it may stand for; a percentage also for its hundredth."""
        return frozenset(self.values) | frozenset(v / 100 for v in self.values if self.percent)

    def equals(self, reference: Quantity) -> bool:
        """Say whether it may stand for what `reference` stands for."""
        if self.percent and reference.percent:
            return _any_close(frozenset(self.values), frozenset(reference.values))
        return _any_close(self.readings, reference.readings)


def _any_close(values: frozenset[Fraction], references: frozenset[Fraction]) -> bool:
    if values & references:
        return True
    return any(
        r.denominator != 1 and abs(v - r) <= RELATIVE_TOLERANCE * abs(r) for v in values for r in references
    )


def quantities(text: str, language: str = "en") -> list[Quantity]:
    """Return all numbers of a text in order; Chinese numerals only where there is no other number."""
    text = normalize_number_text(text)
    found = [q for q in (_from_match(match, language) for match in _NUMBER.finditer(text)) if q]
    return found or [
        Quantity(match.group(), (value,))
        for match in _CHINESE.finditer(text)
        if (value := _chinese(match.group())) is not None
    ]


def final_quantity(text: str, language: str = "en") -> Quantity | None:
    r"""Return the number an answer ends with, None if it has none.

    A `####` mark, a `\boxed{…}` and «the answer is» are believed in this order; without them the last
    number counts.
    """
    for place in final_answers(normalize_number_text(text)):
        # After «= » stands the result of a calculation, and after a result stand units.
        found = quantities(place.rpartition("=")[2], language) or quantities(place, language)
        if found:
            return found[0]
    found = quantities(text, language)
    return found[-1] if found else None


def single_quantity(text: str, language: str = "en") -> Quantity | None:
    """Return the number that a text consists of, up to units and currency; None if it says anything else."""
    found = quantities(text, language)
    if len(found) != 1:
        return None
    before, _, after = normalize_number_text(text).partition(found[0].text)
    if re.search(r"[\\^_=+*/()\[\]{}<>,;]|\d", before + after) or len((before + after).split()) > 3:
        return None
    # A letter by itself is a variable: 2x, x 2. Units may stand behind a space.
    variable = re.match(r"[a-z](?![a-z])", after, re.IGNORECASE) or _LONE_LETTER.search(before)
    return None if variable else found[0]


def normalize_number_text(text: str) -> str:
    """Return the text in which numbers are looked for: one way to write separators, fractions and powers."""
    text = re.sub("(?<=\\d)[\u00a0\u202f\u2009'’](?=\\d{3}(?!\\d))", "", text)
    text = re.sub(r"(?<=\d)(?:\{,\}|,\\!)(?=\d{3})", ",", text)
    text = re.sub(r"(?<=\d)\\[,;!](?=\d{3})", "", text)
    text = _VULGAR.sub(" ", text)
    text = _SUPERSCRIPTS.sub(lambda match: "^" + normalize(match.group()), text)
    text = normalize(text).replace("⁄", "/").replace("−", "-").replace("–", "-")
    text = _SHORT_FRACTION.sub(r"\1{\2}{\3}", text)
    return re.sub(r"\*\*|__|`", "", text)


def sentence_quantity(text: str, language: str = "en") -> Quantity | None:
    """Return the number that a sentence such as «The length is 7 cm.» ends with.

    None where the number may be part of a larger expression (`2x`, `x + 5`).
    """
    text = normalize_number_text(text)
    found = quantities(text, language)
    if not found:
        return None
    before, _, after = text.rpartition(found[-1].text)
    alone = re.search(r"(?:[^\W\d_]{2,} |[=:] ?)$", before) and re.match(r"$|[\s.,!?。]|[^\W\d_]{2}", after)
    return found[-1] if alone and not re.search(r"[\\^_=+*/()\[\]{}<>]", after) else None


def _from_match(match: re.Match[str], language: str) -> Quantity | None:
    groups = match.groupdict()
    if len(match.group()) > _MAX_DIGITS:
        return None
    values = _unsigned(groups, language)
    factor = Fraction(_MULTIPLIERS[(groups["times"] or "").lower()]) if groups["times"] else Fraction(1)
    if (groups["sign"] or "").startswith("-") or groups["sign2"]:
        factor = -factor
    if not values:
        return None
    return Quantity(match.group().strip(), tuple(v * factor for v in values), bool(groups["percent"]))


def _unsigned(groups: dict[str, str | None], language: str) -> list[Fraction]:
    if (plain := groups["plain"]) is not None:
        scale = Fraction(10) ** int(groups["exponent"] or 0)
        return [value * scale for value in _readings(plain, language)]
    if (power := groups["power"]) is not None:
        scale = Fraction(10) ** int(power)
        return [value * scale for value in _readings(groups["mantissa"] or "1", language)]
    over, under = groups["over"] or groups["over2"] or "", groups["under"] or groups["under2"] or ""
    whole = Fraction(groups["whole"] or groups["whole2"] or 0)
    negative = over.startswith("-")
    return [
        whole + (-a / b if negative else a / b)
        for a in _readings(over.lstrip("-"), language)
        for b in _readings(under, language)
        if b
    ]


def _readings(token: str, language: str) -> Iterator[Fraction]:
    """Yield the plausible values of an unsigned token, the likeliest of the language first."""
    english = (
        token.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?", token) else token
    )
    continental = re.fullmatch(r"\d{1,3}(?:\.\d{3})*(?:,\d+)?|\d+,\d+", token)
    candidates = [english if "," not in english and english.count(".") <= 1 else None]
    if continental:
        european = token.replace(".", "").replace(",", ".")
        certain = candidates[0] is None
        if certain or language in COMMA_LANGUAGES:
            candidates.insert(0, european)
    for text in dict.fromkeys(candidates):
        if text:
            yield Fraction(text if text[0] != "." else f"0{text}")


def _chinese(text: str) -> Fraction | None:
    """Return the value of a Chinese numeral such as 三千零五 or 十二点五."""
    if text.startswith("负"):
        value = _chinese(text[1:])
        return None if value is None else -value
    whole, _, decimals = text.partition("点")
    if all(c in _CHINESE_DIGITS for c in whole) and len(whole) > 1:
        total = int("".join(str(_CHINESE_DIGITS[c]) for c in whole))
    else:
        total = _chinese_whole(whole)
    digits = "".join(str(_CHINESE_DIGITS[c]) for c in decimals)
    return Fraction(f"{total}.{digits}") if digits else Fraction(total)


def _chinese_whole(text: str) -> int:
    for sign, unit in (("亿", 10**8), ("億", 10**8), ("万", 10**4), ("萬", 10**4)):
        head, mark, tail = text.rpartition(sign)
        if mark:
            return (_chinese_whole(head) or 1) * unit + _chinese_whole(tail)
    total, digit = 0, 0
    for char in text:
        if char in _CHINESE_UNITS:
            total += (digit or 1) * _CHINESE_UNITS[char]
            digit = 0
        else:
            digit = _CHINESE_DIGITS[char]
    return total + digit
