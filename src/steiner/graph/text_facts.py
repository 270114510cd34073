"""What a step commits itself to, as far as a program can check it, and whether two steps contradict.

Embeddings put «the result is 12» next to «the result is 21», and «this is a theorem» next to «this is not a
theorem». A merge on embeddings alone would join right and wrong reasoning in one node, so each of these facts
can veto it.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

_NUMBER = re.compile(
    r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?|(?<=[a-zA-Z])\d+|(?<![\w.])-?\.\d+|(?<=\d)\^\{?-?\d+\}?"
)
_RESULT = re.compile(
    r"(?:=|≈|\\approx|\\equiv|→|\bequals?|\bis|\bare)\s*(?:\\?[\s$({\[]|approximately|about|roughly|text\{)*(-?\$?\s*\.?\d[\d,]*(?:\.\d+)?)"
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
_PROPER = re.compile(r"(?<=[a-z,;:] )[A-Z][\w-]+")
_SYMBOL_EQUATION = re.compile(r"[\w^/*+\-().]+(?:\s*[=<>≤≥]\s*[\w^/*+\-().]+)+")


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
    stems: frozenset[str]
    """Which members of pairs of opposites occur in it."""
    proper: frozenset[str]
    """Names within sentences."""
    equations: frozenset[str]
    """Equations and inequalities, without blanks and LaTeX."""


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
        stems=frozenset(stem for pair in _OPPOSITES for stem in pair if re.search(rf"\b{stem}", lower)),
        proper=frozenset(_PROPER.findall(plain)),
        equations=frozenset(
            re.sub(r"\s+|[.()]+$", "", found) for found in _SYMBOL_EQUATION.findall(plain) if len(found) > 4
        ),
    )


def contradicts(a: Facts, b: Facts) -> bool:
    """Whether two steps must not be the same node, however alike they read. Symmetric."""
    if a.options != b.options or a.negated != b.negated:
        return True
    if a.result != b.result and (
        a.result not in b.numbers or b.result not in a.numbers or (a.result and b.result)
    ):
        return True
    if not (a.numbers <= b.numbers or b.numbers <= a.numbers):
        return True
    if any(
        (one in a.stems) != (one in b.stems) and (other in a.stems) != (other in b.stems)
        for one, other in _OPPOSITES
    ):
        return True
    if a.proper - b.proper and b.proper - a.proper:
        return True
    return bool(a.equations and b.equations and not a.numbers and not a.equations & b.equations)


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
