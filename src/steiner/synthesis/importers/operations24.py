"""Operations of the Game of 24 as language models write them: read, checked against the numbers left, worded.

A model writes `7 / 3 = 2.33 (left: 2.33 4)`. Here numbers are exact: `2.33` is recognised as the 7/3 that is
left. What is no allowed operation (numbers that are not there, a wrong result, other numbers left) is kept as
its author wrote it, and its reflection says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from steiner.core import Step
from steiner.problems.countdown_words import comparison
from steiner.problems.game24 import TARGET
from steiner.teacher.countdown_text import GO_ON

Pool = tuple[Fraction, ...]
"""Numbers left, ascending."""

_NUMBER = r"\d+(?:\.\d+)?"
_LINE = re.compile(r"^(?P<work>[-\d.\s()+*/×÷x]*[-+*/×÷x][-\d.\s()+*/×÷x]*?)\s*(?:=|≈)\s*(?P<result>.*)$")
_RESULT = re.compile(rf"^(?:approx(?:imately|\.)?|about|≈|=|~|\s)*(?P<value>\(?-?{_NUMBER}(?:\s*/\s*\d+)?)")
_LEFT = re.compile(r"left:?\s*(?P<left>[^)]*)", re.IGNORECASE)
_LEFT_NUMBER = re.compile(rf"(?<![\d.])-?{_NUMBER}(?:/\d+)?")
_TOKEN = re.compile(rf"{_NUMBER}/{_NUMBER}|{_NUMBER}|[-+*/()]")
_PLAIN_TOKEN = re.compile(rf"{_NUMBER}|[-+*/()]")
_SIGNS = str.maketrans({"×": "*", "x": "*", "÷": "/", "−": "-", "–": "-"})
_ROUNDING = Fraction(1, 200)
"""Share by which a decimal result may be off: it may have been made of rounded numbers."""
_MAX_LINE = 200
_NOTHING: Mapping[Fraction, Sequence[str]] = MappingProxyType({})


class Written(NamedTuple):
    """A number as it was written."""

    value: Fraction
    slack: Fraction
    """How far off it may be: one unit of its last decimal; 0 for whole numbers and fractions."""


class Operation(NamedTuple):
    """One line of a model, taken apart."""

    work: str
    result: Written | None
    left: tuple[Written, ...] | None
    """The numbers it says are left; None if it says nothing of them."""
    text: str


class Done(NamedTuple):
    """An allowed operation on the numbers left."""

    work: str
    """In exact numbers: `7 / 3`."""
    value: Fraction
    left: Pool

    @property
    def text(self) -> str:
        """The equation, `7 / 3 = 7/3`."""
        return f"{self.work} = {number(self.value)}"


class Refused(NamedTuple):
    """Why something is no operation on the numbers left."""

    reason: str


def read_operation(line: str) -> Operation | None:
    """Take a line apart; None if it is no operation."""
    line = " ".join(line.split())
    found = _LINE.match(line.replace("−", "-")) if len(line) <= _MAX_LINE else None
    if found is None or len(re.findall(_NUMBER, found.group("work"))) < 2:
        return None
    value = _RESULT.match(found.group("result"))
    left = _LEFT.search(found.group("result"))
    return Operation(
        work=found.group("work").translate(_SIGNS).strip(),
        result=_written(value.group("value")) if value else None,
        left=tuple(_written(n) for n in _LEFT_NUMBER.findall(left.group("left"))) if left else None,
        text=line,
    )


def _written(text: str) -> Written:
    text = text.strip("( ").replace(" ", "")
    over, _, under = text.partition("/")
    decimals = len(over.partition(".")[2])
    value = Fraction(Decimal(over))
    if under:
        return Written(value / Fraction(under) if Fraction(under) else value, Fraction(0))
    return Written(value, Fraction(1, 10**decimals) if decimals else Fraction(0))


def perform(
    pool: Pool, operation: Operation, made: Mapping[Fraction, Sequence[str]] = _NOTHING
) -> Done | Refused:
    """Do an operation on the numbers left, or say why it cannot be done.

    Args:
        pool: numbers left.
        operation: what to do.
        made: expressions that stand for numbers in the pool that earlier operations have made; they are
            written in their place.
    """
    outcome: _Value | Refused = Refused("no operation")
    rest: list[Fraction] = []
    for token in (_TOKEN, _PLAIN_TOKEN):  # 5/3 is a number if it is left, else a division
        rest = list(pool)
        outcome = _Parser(token.findall(operation.work), rest, made).whole()
        if isinstance(outcome, _Value):
            break
    if isinstance(outcome, Refused):
        return outcome
    left = tuple(sorted([*rest, outcome.value]))
    claimed = operation.result
    if claimed is None or not _close(outcome.value, claimed, _ROUNDING):
        said = operation.work if claimed is None else f"not {number(claimed.value)}"
        return Refused(f"{outcome.text} is {number(outcome.value)} , {said}")
    if operation.left is not None and not _same(left, operation.left):
        return Refused(f"left is {numbers(left)} , not {numbers(w.value for w in operation.left)}")
    return Done(outcome.text, outcome.value, left)


class _Value(NamedTuple):
    value: Fraction
    text: str
    operands: int


class _Error(Exception):
    """The work is no operation on the numbers left."""


class _Parser:
    """Recursive descent over + - * / and brackets; takes each number it meets out of those left."""

    def __init__(
        self, tokens: list[str], rest: list[Fraction], made: Mapping[Fraction, Sequence[str]]
    ) -> None:
        self._tokens = [*tokens, ""]
        self._at = 0
        self._rest = rest
        self._made = {value: list(texts) for value, texts in made.items()}

    def whole(self) -> _Value | Refused:
        try:
            value = self._chain(("+", "-"))
            if self._tokens[self._at]:
                raise _Error("not a well-formed operation")
        except (_Error, RecursionError) as error:
            return Refused(str(error))
        if value.operands < 2:
            return Refused("no operation on two numbers")
        return value

    def _chain(self, signs: tuple[str, ...]) -> _Value:
        low = "+" in signs
        value = self._chain(("*", "/")) if low else self._operand()
        while self._tokens[self._at] in signs:
            sign = self._tokens[self._at]
            self._at += 1
            other = self._chain(("*", "/")) if low else self._operand()
            value = _Value(
                _applied(sign, value.value, other.value),
                f"{value.text} {sign} {other.text}",
                value.operands + other.operands,
            )
        return value

    def _operand(self) -> _Value:
        token = self._tokens[self._at]
        self._at += 1
        if token == "(":
            value = self._chain(("+", "-"))
            if self._tokens[self._at] != ")":
                raise _Error("a bracket is not closed")
            self._at += 1
            return value if value.operands == 1 else value._replace(text=f"({value.text})")
        negative = token == "-"
        if negative:
            token = self._tokens[self._at]
            self._at += 1
        if not token[:1].isdigit():
            raise _Error("not a well-formed operation")
        written = _written(token)
        return self._taken(written._replace(value=-written.value) if negative else written)

    def _taken(self, written: Written) -> _Value:
        near = [value for value in self._rest if _close(value, written)]
        if not near:
            raise _Error(f"{number(written.value)} is not left")
        value = min(near, key=lambda v: (abs(v - written.value), v))
        self._rest.remove(value)
        made = self._made.get(value)
        plain = value >= 0 and value.denominator == 1 and not made
        text = made.pop() if made else number(value)
        return _Value(value, text if plain else f"({text})", 1)


def _applied(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if not right:
        raise _Error("divides by zero")
    return left / right


def _close(value: Fraction, written: Written, share: Fraction = Fraction(0)) -> bool:
    slack = max(written.slack, share * abs(value)) if written.slack else Fraction(0)
    return abs(value - written.value) <= slack


def _same(pool: Pool, written: tuple[Written, ...]) -> bool:
    if len(pool) != len(written):
        return False
    ordered = sorted(written, key=lambda w: w.value)
    return all(_close(value, w, _ROUNDING) for value, w in zip(pool, ordered, strict=True))


def number(value: Fraction) -> str:
    """Write a number: `7`, `-3`, `7/3`; a long decimal as it is nearest."""
    return str(value) if value.denominator < 10**4 else f"{float(value):g}"


def numbers(values: Iterable[Fraction]) -> str:
    """Write numbers, blanks between."""
    return " ".join(map(number, values)) or "nothing"


def state_of(pool: Pool) -> str:
    """Return the exact key of the numbers left."""
    return ",".join(map(str, pool))


def done_step(pool: Pool, done: Done) -> Step:
    """Word an allowed operation, as the Countdown teacher does (see "Countdown text" in docs/design.md)."""
    reflection = GO_ON
    if len(done.left) == 1:
        got = done.left[0]
        off = abs(TARGET - got)
        exact = comparison(TARGET, int(got)) if got.denominator == 1 else ""
        reflection = exact or f"target {TARGET} , got {number(got)} , off by {number(off)}"
    return Step(
        name=f"From {numbers(pool)}",
        thought=done.text,
        summary=f"left {numbers(done.left)}",
        reflection=reflection,
    )


def refused_step(pool: Pool | None, operation: Operation, refused: Refused) -> Step:
    """Word what its author took for an operation; the reflection says why it is none."""
    said = "nothing" if operation.left is None else numbers(w.value for w in operation.left)
    return Step(
        name=f"From {numbers(pool)}" if pool else "From what is not there",
        thought=operation.text,
        summary=f"left {said} , it says",
        reflection=f"not allowed , {refused.reason}",
    )
