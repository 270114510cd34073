"""What a step commits itself to, as far as a program can check it, and whether two steps contradict.

Embeddings put «the result is 12» next to «the result is 21», and «this is a theorem» next to «this is not a
theorem». A merge on embeddings alone would join right and wrong reasoning in one node, so each of these facts
can veto it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

_NUMBER = re.compile(
    r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?|(?<=[a-zA-Z])\d+|(?<![\w.])-?\.\d+|(?<=\d)\^\{?-?\d+\}?"
)
_RESULT = re.compile(
    r"(?:=|≈|\\approx|\\equiv|→|\bequals?|\bis|\bare)\s*"
    r"(?:\\?[\s$({\[]|approximately|about|roughly|text\{)*(-?\$?\s*\.?\d[\d,]*(?:\.\d+)?)"
)
_COUNTS = "two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
_WORDS_AS_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTS, start=2)}
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|unable|impossible|fails?|false|incorrect|wrong|untrue|"
    r"invalid|lacks?|isn't|aren't|doesn't|don't|didn't|can't|won't|wasn't|weren't|hasn't|shouldn't|wouldn't|couldn't)\b"
)
_OPTION = re.compile(
    r"\(([A-J])\)|\b[Oo]ption\s+\(?([A-J])\b|^\s*\(?([A-J])[.):]\s|\b[Ss]tatements?\s+\(?([A-JIVX]+|[0-9])\b"
)
_OPPOSITES = tuple(
    (pair.partition("/")[0], pair.partition("/")[2])
    for pair in """
    increas/decreas higher/lower greater/less more/fewer more/less larger/smaller positive/negative
    maxim/minim above/below before/after true/false correct/incorrect valid/invalid legal/illegal
    always/never all/some inside/outside internal/external buy/sell supply/demand rise/fall gain/lose
    gains/losses upper/lower left/right clockwise/counterclockwise odd/even convex/concave elastic/inelastic
    endothermic/exothermic oxidiz/reduc acid/base cation/anion anode/cathode expand/contract faster/slower
    best/worst strong/weak high/low import/export guilty/innocent hot/cold parent/child
    constitutional/unconstitutional necessary/sufficient aerobic/anaerobic debit/credit cis/trans
    asset/liabilit active/passive direct/indirect dominant/recessive proximal/distal anterior/posterior
    """.split()  # noqa: SIM905
)
"""Begins of words; a step that holds the one where the other holds its opposite says something else."""
_OPPOSITE = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}
_OPPOSITE_STEM = re.compile(rf"\b(?:{'|'.join(sorted(_OPPOSITE, key=len, reverse=True))})")
_OPERATIONS = {
    "multiply": ("multipl", "product of", "times the"),
    "divide": ("divid", "quotient", "ratio of"),
    "add": ("adding", " add ", "added", "sum of", "plus"),
    "subtract": ("subtract", "difference between", "minus"),
}
_PROPER = re.compile(r"(?<=[a-z,;:] )[A-Z][\w-]+")
_RIGHT_SIDE = re.compile(r"[=≈]\s*([^=≈<>≤≥,;:]+)")
_LEADING_NUMBER = re.compile(r"[\s$(]*(-?\s*\$?\s*\.?\d[\d,]*(?:\.\d+)?)(?![\d.]*\s*[-+*/^(])")
_WORD = re.compile(r"[^\W\d_]{3,}")


class Facts(NamedTuple):
    """What one step commits itself to."""

    numbers: frozenset[str]
    """All numbers in it, in one spelling each."""
    result: str
    """The number its last equation or «is» ends with; empty where there is none."""
    negated: bool
    """Whether it holds an odd number of negations."""
    options: frozenset[str]
    """Letters of the options and numbers of the statements that it talks about."""
    opposites: frozenset[str]
    """Which members of pairs of opposites occur in it."""
    operations: frozenset[str]
    """Arithmetic that it describes in words."""
    proper: frozenset[str]
    """Names within sentences."""
    right_sides: frozenset[str]
    """What its equations say their left sides are, without blanks, brackets and units."""
    words: frozenset[str]
    """All its words, in lower case."""


@lru_cache(maxsize=4096)
def read_facts(text: str) -> Facts:
    """Read the facts out of one step's thought."""
    plain = _plain(text)
    lower = plain.lower()
    numbers = frozenset(n for n in map(_canonical, _NUMBER.findall(plain)) if n) | frozenset(
        _WORDS_AS_NUMBERS[word] for word in re.findall(r"[a-z]+", lower) if word in _WORDS_AS_NUMBERS
    )
    results = _RESULT.findall(plain)
    return Facts(
        numbers=numbers,
        result=_canonical(results[-1]) if results else "",
        negated=len(_NEGATION.findall(lower)) % 2 == 1,
        options=frozenset(letter for groups in _OPTION.findall(text) for letter in groups if letter),
        opposites=frozenset(_OPPOSITE_STEM.findall(lower)),
        operations=frozenset(name for name, signs in _OPERATIONS.items() if any(s in lower for s in signs)),
        proper=frozenset(_PROPER.findall(plain)),
        right_sides=frozenset(map(_side, _RIGHT_SIDE.findall(plain))) - {""},
        words=frozenset(_WORD.findall(lower)),
    )


def contradicts(a: Facts, b: Facts, telling: frozenset[str] = frozenset()) -> bool:
    """Whether two steps must not be the same node, however alike they read. Symmetric.

    Args:
        a: facts of one step.
        b: facts of the other.
        telling: words that tell the options of the question apart.
    """
    return (
        a.options != b.options
        or a.negated != b.negated
        or _other_numbers(a, b)
        or any(_OPPOSITE[x] in b.opposites and x not in b.opposites for x in a.opposites - b.opposites)
        or bool(a.operations and b.operations and a.operations != b.operations)
        or bool(a.right_sides and b.right_sides and not a.right_sides & b.right_sides)
        or _each_alone(a.proper, b.proper)
        or _each_alone(a.words & telling, b.words & telling)
    )


def same_result(a: Facts, b: Facts, known: frozenset[str]) -> bool:
    """Whether two steps compute the same new number from the same numbers, whatever words they use.

    Args:
        a: facts of one step.
        b: facts of the other.
        known: numbers of the question; to come to one of them proves nothing.
    """
    return bool(a.result) and a.result == b.result and a.result not in known and len(a.result) > 1


def telling_words(options: Iterable[str]) -> frozenset[str]:
    """Return the words that some of the options hold and others do not."""
    sets = [frozenset(_WORD.findall(option.lower())) for option in options]
    return frozenset().union(*sets) - frozenset.intersection(*sets) if sets else frozenset()


def _other_numbers(a: Facts, b: Facts) -> bool:
    """Whether neither's numbers hold the other's, or they come to different results."""
    if not (a.numbers <= b.numbers or b.numbers <= a.numbers):
        return True
    if a.result and b.result:
        return a.result != b.result
    return bool(a.result and a.result not in b.numbers) or bool(b.result and b.result not in a.numbers)


def _each_alone(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether each holds something that the other does not."""
    return bool(a - b and b - a)


def _side(text: str) -> str:
    """Return one side of an equation without blanks and brackets; only the number if it begins with one."""
    number = _LEADING_NUMBER.match(text)
    if number:
        return _canonical(number.group(1))
    return re.sub(r"[^\w+/^-]|x(?=\s)|\.$", "", re.split(r"\.\s|\bwhere\b|\bfor\b", text)[0].lower())


def _plain(text: str) -> str:
    """Replace LaTeX that stands between numbers and signs by what it shows."""
    text = text.replace("−", "-").replace("–", "-").replace("’", "'").replace("×", "*").replace("·", "*")
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)", text)
    text = re.sub(r"\\(?:times|cdot)\b", "*", text)
    text = re.sub(r"\\(?:approx|simeq)\b", "≈", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|left|right|quad|displaystyle|,|;|!|\(|\)|\[|\])", " ", text)
    return re.sub(r"[$\\{}]", " ", text)


def _canonical(number: str) -> str:
    """One spelling per number: `1,000.0`, `$1000` and `1000` are equal. Empty for what is no number."""
    bare = re.sub(r"[,$\s^{}]", "", number)
    try:
        value = Decimal(bare)
    except InvalidOperation:
        return ""
    return format(value.normalize(), "f") if value else "0"
