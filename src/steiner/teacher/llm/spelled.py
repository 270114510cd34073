"""Whole numbers in words: English, Chinese and Japanese."""

from __future__ import annotations

LARGEST = 9_999
"""Numbers beyond are hardly ever spelled out."""

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_DIGITS = "零一二三四五六七八九"


def spellings(number: int) -> tuple[str, ...]:
    """Return how a number is spelled; none for 1, whose words mean too many other things, and large ones."""
    if not 0 <= number <= LARGEST or number == 1:
        return ()
    english = _english(number)
    chinese = _chinese(number)
    # 一十二 is not said, and 两 stands for 二 before what is counted.
    return tuple(
        dict.fromkeys((english, english.replace(" and ", " "), chinese, chinese.replace("二", "两")))
    )


def _english(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_SMALL[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, size)
    joint = " and " if 0 < rest < 100 else " "
    return f"{_SMALL[head]} {name}" + (f"{joint}{_english(rest)}" if rest else "")


def _chinese(number: int) -> str:
    if number < 10:
        return _DIGITS[number]
    if number < 20:
        return "十" + (_DIGITS[number - 10] if number > 10 else "")
    size, name = next((s, n) for s, n in ((1000, "千"), (100, "百"), (10, "十")) if number >= s)
    head, rest = divmod(number, size)
    if not rest:
        return _DIGITS[head] + name
    gap = "零" if rest < size // 10 else ""
    ten = "一" if 10 <= rest < 20 else ""
    return _DIGITS[head] + name + gap + ten + _chinese(rest)
