"""Equations in running text, and which of them are true.

«He pays 13 dollars + 7 dollars = $20» and «7 plus 13 makes 20» both hold the computation 20 from 13 and 7. A
computation that comes out right is the surest thing two steps can share: it was reached, not only claimed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from steiner.graph.numerals import canonical

MAX_TOKENS = 60
"""Longest left side in tokens that is looked at: what is longer is no arithmetic of a reasoning step."""


class Token(NamedTuple):
    """A number, a sign or a word."""

    kind: str
    """`n` number, `o` operator or bracket, `=` equality, `w` word, `.` end of a clause."""
    text: str


class Computation(NamedTuple):
    """A true equation."""

    first: int
    """Index of its first token."""
    end: int
    """Index behind its last token."""
    result: str
    operands: tuple[str, ...]


_TOKEN = re.compile(
    r"(?P<n>\d[\d,]*(?:\.\d+)?|\.\d+)|(?P<eq>[=≈→])|(?P<o>[-+*/^()%])|(?P<w>[^\W\d_]+(?:['-][^\W\d_]+)*)"
    r"|(?P<end>[.;:!?,<>≤≥|])"
)
_EQUALS = frozenset("is equals equal gives makes make yields get gets totals".split())  # noqa: SIM905
_SIGNS = {"plus": "+", "minus": "-", "less": "-", "times": "*", "x": "*", "over": "/"}
_BY = {"multiplied": "*", "divided": "/"}
_VERBS = (
    ("add adding adds sum combine combining", "and to with", "+", False),
    ("subtract subtracting subtracts", "from", "-", True),
    ("take taking takes", "away from", "-", True),
    ("difference", "and", "-", False),
    ("multiply multiplying product", "by and with", "*", False),
    ("divide dividing quotient ratio", "by and", "/", False),
)
_PREFIX = tuple((frozenset(a.split()), frozenset(b.split()), sign, turned) for a, b, sign, turned in _VERBS)
"""Words before the operands, words between them, the operation, whether the operands stand the other way."""


@lru_cache(maxsize=4096)
def tokens_of(text: str) -> tuple[Token, ...]:
    """Split a plain text. A minus before a number that follows no number belongs to it."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = {"eq": "=", "end": "."}.get(str(match.lastgroup), str(match.lastgroup))
        value = match.group(0).lower()
        if kind == "n":
            value = canonical(value.rstrip(","))
            if found and found[-1] == Token("o", "-") and not _ends_operand(found[:-1]):
                found.pop()
                value = canonical(f"-{value}")
        elif kind == "w":
            kind, value = _word(value, found)
        found.append(Token(kind, value))
    return tuple(found)


def _ends_operand(found: Sequence[Token]) -> bool:
    """Whether a minus that follows takes something away: behind a number, a bracket, `%` or a unit."""
    if not found:
        return False
    last = found[-1]
    unit = last.kind == "w" and len(found) > 1 and found[-2].kind == "n"
    return last.kind == "n" or unit or last.text in (")", "%")


def _word(value: str, found: list[Token]) -> tuple[str, str]:
    if value in _SIGNS and found and (found[-1].kind in "nw" or found[-1].text in ")%"):
        # «4 over 2» and «4 less 2», but not «left over: 2» and «he has less».
        plainly = value not in ("less", "over") or found[-1].kind == "n"
        return ("o", _SIGNS[value]) if plainly else ("w", value)
    if value == "by" and found and found[-1].text in _BY:
        return "o", _BY[found.pop().text]
    if value == "of" and found and (found[-1].text == "%" or [t.text for t in found[-2:-1]] == ["/"]):
        return "o", "*"
    return "w", value


def computations(tokens: Sequence[Token]) -> tuple[Computation, ...]:
    """Return the true equations in a text, in order; what overlaps counts once, the longest reading."""
    found: list[Computation] = []
    for place, token in enumerate(tokens):
        if token.kind == "=" or (token.kind == "w" and token.text in _EQUALS):
            right = _right_side(tokens, place)
            if right is not None:
                reading = _infix(tokens, place, right) or _prefix(tokens, place, right)
                if reading is not None:
                    found.append(reading)
    return tuple(found)


def _right_side(tokens: Sequence[Token], place: int) -> int | None:
    """Index of the number an equality leads to, unless a larger expression begins with it."""
    for i in range(place + 1, min(place + 4, len(tokens))):
        if tokens[i].kind == "n":
            after = tokens[i + 1] if i + 1 < len(tokens) else None
            if after is not None and after.kind == "o" and after.text in "*/^+-(":
                follows = tokens[i + 2].kind if i + 2 < len(tokens) else ""
                if follows in ("n", "o"):
                    return None
            return i
        if tokens[i].kind != "w":
            return None
    return None


def _infix(tokens: Sequence[Token], place: int, right: int) -> Computation | None:
    """Read the longest arithmetic right before the equality that comes to its right side."""
    parts: list[tuple[int, Token]] = []
    begin = place
    while begin > 0 and place - begin < MAX_TOKENS and tokens[begin - 1].kind not in ".=":
        begin -= 1
    for i in range(begin, place):
        token = tokens[i]
        if token.kind == "w" and parts and parts[-1][1].text == "/":
            parts.pop()  # «per»: $25/month
        elif token.kind in "no":
            parts.append((i, token))
    while parts and parts[-1][1].kind == "o" and parts[-1][1].text not in (")", "%"):
        parts.pop()  # «15 times = 135»
    for start, (i, token) in enumerate(parts):
        if token.kind == "o" and token.text != "(":
            continue
        expression = [part for _, part in parts[start:]]
        if any(part.text in "+-*/^%" for part in expression) and _comes_to(expression, tokens[right]):
            operands = tuple(part.text for part in expression if part.kind == "n")
            return Computation(i, right + 1, tokens[right].text, operands)
    return None


def _prefix(tokens: Sequence[Token], place: int, right: int) -> Computation | None:
    """Read «adding 3 and 5 gives 8», «take 3 away from 5 to get 2»."""
    begin = place
    while begin > 0 and place - begin < 12 and tokens[begin - 1].kind not in ".=":
        begin -= 1
    numbers = [i for i in range(begin, place) if tokens[i].kind == "n"]
    if len(numbers) != 2:
        return None
    first, second = (tokens[i] for i in numbers)
    between = {tokens[i].text for i in range(numbers[0] + 1, numbers[1])}
    for i in range(begin, numbers[0]):
        for words, joins, sign, turned in _PREFIX:
            if tokens[i].text in words and between & joins:
                a, b = (second, first) if turned else (first, second)
                if _comes_to([a, Token("o", sign), b], tokens[right]):
                    return Computation(i, right + 1, tokens[right].text, (a.text, b.text))
    return None


def _comes_to(expression: Sequence[Token], right: Token) -> bool:
    """Whether the expression has this value, as exactly as the right side is written."""
    value = evaluate(expression)
    if value is None:
        return False
    claimed = Decimal(right.text)
    exponent = claimed.as_tuple().exponent
    places = max(0, -int(exponent)) if isinstance(exponent, int) else 0
    off = abs(value - Fraction(claimed))
    unit = Fraction(1, 10 ** min(places, 6))
    # Rounded to one place or more; cut off only where that leaves at least two.
    return off == 0 or (places > 0 and off <= unit / 2) or (places > 1 and off < unit)


def evaluate(expression: Sequence[Token]) -> Fraction | None:
    """Return the exact value of arithmetic on numbers, None if it is none."""
    reader = _Reader(expression)
    try:
        value = reader.sum()
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if reader.place == len(expression) else None


class _Reader:
    """Recursive descent over tokens; bounded, because expressions are."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.place = 0
        self._tokens = tokens

    def _peek(self) -> str:
        return self._tokens[self.place].text if self.place < len(self._tokens) else ""

    def sum(self) -> Fraction:
        """Read a sum to its end."""
        value = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self.place += 1
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> Fraction:
        value = self._power()
        while (sign := self._peek()) in ("*", "/", "("):
            self.place += sign != "("
            other = self._power()
            value = value / other if sign == "/" else value * other
        return value

    def _power(self) -> Fraction:
        value = self._atom()
        if self._peek() == "^":
            self.place += 1
            exponent = self._atom()
            if exponent.denominator != 1 or abs(exponent) > 64:
                raise ValueError("no power of a reasoning step")
            value = value ** int(exponent)
        while self._peek() == "%":
            self.place += 1
            value /= 100
        return value

    def _atom(self) -> Fraction:
        token = self._tokens[self.place]
        self.place += 1
        if token.kind == "n":
            return Fraction(token.text)
        if token.text == "-":
            return -self._atom()
        if token.text != "(":
            raise ValueError("no number")
        value = self.sum()
        if self._peek() != ")":
            raise ValueError("a bracket is open")
        self.place += 1
        return value
