"""Questions whose steps a program can write and check: chains of operations, from left to right."""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from steiner.core import Grading, Problem

_SIGNS = {"×": "*", "·": "*", "−": "-", "–": "-"}
# Blank space around the signs tells a chain from a date or a range, two operations from an equation.
_CHAIN = re.compile(r"(?<![\w.])\d+(?:\s[-+*×·−–]\s\d+){2,}(?![\w])(?!\s*=)")
_PART = re.compile(r"([-+*×·−–])\s(\d+)")

_WORDINGS = {
    "en": (
        "What is {chain}, working strictly from left to right?",
        "Work out {chain} from left to right, ignoring the usual order of operations. What is the result?",
        "Taking the operations one after another from left to right, what does {chain} come to?",
    ),
    "zh": (
        "从左到右依次计算，不考虑运算的优先级：{chain} 等于多少？",
        "请按照从左到右的顺序逐步计算 {chain} 的结果是多少？",
    ),
}
_LARGEST = 100_000
_SMALLEST_ANSWER = 100


class Operation(NamedTuple):
    """One operation of a chain."""

    sign: str
    """`+`, `-` or `*`."""
    operand: int

    def apply(self, value: int) -> int:
        """Return the result on `value`."""
        if self.sign == "+":
            return value + self.operand
        return value - self.operand if self.sign == "-" else value * self.operand


class Chain(NamedTuple):
    """A start and the operations on it, in order, without precedence."""

    start: int
    operations: tuple[Operation, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The start and the value after each operation."""
        values = [self.start]
        for operation in self.operations:
            values.append(operation.apply(values[-1]))
        return tuple(values)

    def __str__(self) -> str:
        """Write the chain as it stands in questions: `17 + 25 * 3`."""
        return " ".join([str(self.start), *(f"{o.sign} {o.operand}" for o in self.operations)])


def find_chain(text: str) -> Chain | None:
    """Return the first chain of at least two operations in a text, None if there is none."""
    match = _CHAIN.search(text)
    if match is None:
        return None
    parts = _PART.findall(match.group())
    operations = tuple(Operation(_SIGNS.get(sign, sign), int(operand)) for sign, operand in parts)
    start = re.match(r"\d+", match.group())
    assert start is not None
    return Chain(int(start.group()), operations)


def arithmetic_problems(
    count: int, seed: int = 0, *, operations: tuple[int, int] = (3, 6), chinese: float = 0.0
) -> list[Problem]:
    """Make distinct problems that `ArithmeticModel` can answer.

    The digits of an answer occur nowhere in its question, nor in an intermediate result: a test that looks
    for a leaked answer in a request finds only real leaks.

    Args:
        count: how many.
        seed: decides them; the first n of two lists with one seed are the same.
        operations: fewest and most operations of a chain.
        chinese: share of questions in Chinese.
    """
    rng = random.Random(f"{seed}:arithmetic-chains")
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        chain = random_chain(rng, rng.randint(*operations))
        language = "zh" if rng.random() < chinese else "en"
        wording = rng.choice(_WORDINGS[language])
        if _is_clean(chain):
            problem = Problem(
                question=wording.format(chain=chain),
                answer=str(chain.values[-1]),
                grading=Grading.NUMERIC,
                source=f"arithmetic-chains:{seed}",
                language=language,
            )
            problems.setdefault(str(chain), problem)
    return list(problems.values())


def random_chain(rng: random.Random, length: int) -> Chain:
    """Draw a chain of `length` operations whose values stay between 0 and 100,000."""
    start = rng.randint(2, 99)
    operations: list[Operation] = []
    value = start
    while len(operations) < length:
        sign = rng.choice("++-**")
        operation = Operation(sign, rng.randint(2, 9) if sign == "*" else rng.randint(2, 99))
        if 0 < operation.apply(value) <= _LARGEST:
            operations.append(operation)
            value = operation.apply(value)
    return Chain(start, tuple(operations))


def _is_clean(chain: Chain) -> bool:
    *before, last = chain.values
    numbers = [*before, *(operation.operand for operation in chain.operations)]
    return last >= _SMALLEST_ANSWER and not any(str(last) in str(number) for number in numbers)
