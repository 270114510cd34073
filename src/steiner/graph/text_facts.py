"""What a step commits itself to, as far as a program can check it, and whether two steps contradict.

Embeddings put «the result is 12» next to «the result is 21», and «this is a theorem» next to «this is not a
theorem». A merge on embeddings alone would join right and wrong reasoning in one node, so each of these facts
can veto it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from steiner.graph.arithmetic import Computation, Token, computations, tokens_of
from steiner.graph.numerals import canonical, digits, plain
from steiner.graph.remainders import remainder_of

_NUMBER = re.compile(
    r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?|(?<=[a-zA-Z])\d+|(?<![\w.])-?\.\d+|(?<=\d)\^\{?-?\d+\}?"
)
_RESULT = re.compile(
    r"(?:=|≈|\\approx|\\equiv|→|\bequals?|\bis|\bare)\s*"
    r"(?:\\?[\s$({\[]|approximately|about|roughly|text\{)*(-?\$?\s*\.?\d[\d,]*(?:\.\d+)?)"
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|unable|impossible|fails?|false|incorrect|wrong|untrue|"
    r"invalid|lacks?|isn't|aren't|doesn't|don't|didn't|can't|won't|wasn't|weren't|hasn't|shouldn't|wouldn't|couldn't)\b"
)
_OPTION = re.compile(
    r"\(([A-J])\)|\b[Oo]ption\s+\(?([A-J])\b|^\s*\(?([A-J])[.):]\s|\b[Ss]tatements?\s+\(?([A-JIVX]+|[0-9])\b"
)
OPPOSITES = tuple(
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
_STEMS = sorted({stem for pair in OPPOSITES for stem in pair}, key=lambda stem: (-len(stem), stem))
_OPPOSITE_STEM = re.compile(rf"\b(?:{'|'.join(_STEMS)})")
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
    """The number its last true equation, or else its last equation or «is», ends with; empty without any."""
    computed: str
    """The result of its last true equation; empty where there is none."""
    free: frozenset[str]
    """Numbers that take no part in a true equation and are not left over."""
    remainder: str
    """The numbers it says are left, sorted; empty where it says nothing of the kind."""
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
    wording: str
    """Its words with their counts, without numbers, signs and negations."""
    marks: str
    """Its numbers and signs with their counts; a true equation counts as its result alone."""
    signs: str
    """Its arithmetic signs in order."""
    numerals: frozenset[str]
    """Its numbers, each with how many times it has occurred so far."""


@lru_cache(maxsize=4096)
def read_facts(text: str) -> Facts:
    """Read the facts out of one step's thought."""
    shown = digits(plain(text))
    lower = shown.lower()
    tokens = tokens_of(shown)
    true = computations(tokens)
    computed = true[-1].result if true else ""
    claims = _RESULT.findall(shown)
    numbers = frozenset(n for n in map(canonical, _NUMBER.findall(shown)) if n)
    remainder = remainder_of(shown)
    used = {n for one in true for n in (one.result, *one.operands)} | set(remainder.split(","))
    wording, marks = _wording_and_marks(tokens, true)
    return Facts(
        numbers=numbers,
        result=computed or (canonical(claims[-1]) if claims else ""),
        computed=computed,
        free=numbers - used,
        remainder=remainder,
        negated=len(_NEGATION.findall(lower)) % 2 == 1,
        options=frozenset(letter for groups in _OPTION.findall(text) for letter in groups if letter),
        opposites=frozenset(_OPPOSITE_STEM.findall(lower)),
        operations=frozenset(name for name, signs in _OPERATIONS.items() if any(s in lower for s in signs)),
        proper=frozenset(_PROPER.findall(shown)),
        right_sides=frozenset(map(_side, _RIGHT_SIDE.findall(shown))) - {""},
        words=frozenset(_WORD.findall(lower)),
        wording=wording,
        marks=marks,
        signs="".join(token.text for token in tokens if token.kind == "o"),
        numerals=_numbered([token.text for token in tokens if token.kind == "n"]),
    )


def _numbered(items: Iterable[str]) -> frozenset[str]:
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for item in items:
        seen[item] += 1
        found.add(f"{item}#{seen[item]}")
    return frozenset(found)


def _wording_and_marks(tokens: tuple[Token, ...], true: tuple[Computation, ...]) -> tuple[str, str]:
    """Count words apart from numbers and signs. With a minus order counts: 5 - 3 is not 3 - 5."""
    words = Counter(
        token.text for token in tokens if token.kind == "w" and not _NEGATION.fullmatch(token.text)
    )
    inside = {i for one in true for i in range(one.first, one.end)}
    signs = [t for i, t in enumerate(tokens) if i not in inside and t.kind in "no" and t.text not in "()"]
    marks = Counter(token.text for token in signs)
    marks.update(one.result for one in true)
    if any(token.text in ("-", "/") for token in signs):
        marks[" ".join(token.text for token in signs)] += 1
    return _counted(words), _counted(marks)


def _counted(items: Counter[str]) -> str:
    return " ".join(f"{item}:{count}" for item, count in sorted(items.items()))


def telling_words(options: Iterable[str]) -> frozenset[str]:
    """Return the words that some of the options hold and others do not."""
    sets = [frozenset(_WORD.findall(option.lower())) for option in options]
    return frozenset().union(*sets) - frozenset.intersection(*sets) if sets else frozenset()


def _side(text: str) -> str:
    """Return one side of an equation without blanks and brackets; only the number if it begins with one."""
    number = _LEADING_NUMBER.match(text)
    if number:
        return canonical(number.group(1))
    return re.sub(r"[^\w+/^-]|x(?=\s)|\.$", "", re.split(r"\.\s|\bwhere\b|\bfor\b", text)[0].lower())
