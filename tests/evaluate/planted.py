"""Wrong completions of known class, on «Make 22 from 3 5 7.»: 3 * 5 = 15, 7 + 15 = 22."""

from __future__ import annotations

from steiner.core import Move, Problem, Step
from steiner.evaluate.failures import Attempt
from steiner.evaluate.records import FailureKind
from steiner.problems.countdown_states import make_problem

PROBLEM = make_problem((3, 5, 7), 22)
WRONG = "(3 + 5) + 7 = 15"
P, B = Move.PROCEED, Move.BACKTRACK


def step(name: str, thought: str, left: str, reflection: str = "go on") -> Step:
    return Step(name=f"From {name}", thought=thought, summary=f"left {left}", reflection=reflection)


def leaf(name: str, thought: str, got: int, off: int | None = None) -> Step:
    off = abs(22 - got) if off is None else off
    return step(name, thought, str(got), f"target 22 , got {got} , off by {off}")


GOOD = step("3 5 7", "3 * 5 = 15", "7 15")
DEAD = step("3 5 7", "3 + 5 = 8", "7 8", "dead end , go back")
SUM = leaf("7 8", "7 + 8 = 15", 15)
PRODUCT = leaf("7 8", "7 * 8 = 56", 56)
HIT = leaf("7 15", "7 + 15 = 22", 22)
LIMIT = "all 8 steps were used"

PLANTED: dict[str, tuple[FailureKind, Attempt]] = {
    "grammar broken": (
        FailureKind.ILL_FORMED,
        Attempt((GOOD, HIT), (P,), WRONG, broken="text where the end of a step must follow"),
    ),
    "no answer": (FailureKind.ILL_FORMED, Attempt((GOOD, HIT), (P,), "")),
    "hit, other answer": (FailureKind.ANSWER_DIFFERS, Attempt((GOOD, HIT), (P,), "(3 * 7) + 5 = 22")),
    "hit at the limit, other answer": (
        FailureKind.ANSWER_DIFFERS,
        Attempt((DEAD, SUM, GOOD, HIT), (P, B, P), WRONG, limit="all 4 steps were used"),
    ),
    "claims a miss as a hit": (
        FailureKind.ACCEPTED_WRONG,
        Attempt((DEAD, leaf("7 8", "7 + 8 = 15", 15, off=0)), (P,), WRONG),
    ),
    "wrong sum, taken for a hit at the limit": (
        FailureKind.ACCEPTED_WRONG,
        Attempt((DEAD, leaf("7 8", "7 + 8 = 22", 22)), (P,), WRONG, limit=LIMIT),
    ),
    "stops at a miss that it sees": (FailureKind.ACCEPTED_WRONG, Attempt((DEAD, SUM), (P,), WRONG)),
    "good branch tried once and left": (
        FailureKind.LEFT_GOOD,
        Attempt((GOOD, leaf("7 15", "7 * 15 = 105", 105), DEAD, SUM), (P, B, P), WRONG, limit=LIMIT),
    ),
    "good branch given up at once": (
        FailureKind.LEFT_GOOD,
        Attempt((GOOD, DEAD, SUM, PRODUCT), (B, P, B), WRONG, limit=LIMIT),
    ),
    "hit misjudged and left": (
        FailureKind.LEFT_GOOD,
        Attempt((GOOD, leaf("7 15", "7 + 15 = 22", 22, off=3), DEAD), (P, B), WRONG, limit=LIMIT),
    ),
    "the same again and again": (
        FailureKind.LOOP,
        Attempt((DEAD, SUM, DEAD, SUM, DEAD, SUM), (P, B, P, B, P), WRONG, limit=LIMIT),
    ),
    "still searching at the limit": (
        FailureKind.OUT_OF_BUDGET,
        Attempt((DEAD, SUM, PRODUCT), (P, B), WRONG, limit=LIMIT),
    ),
    "still in the good branch at the limit": (
        FailureKind.OUT_OF_BUDGET,
        Attempt((DEAD, SUM, GOOD), (P, B), WRONG, limit=LIMIT),
    ),
    "cut off before its answer": (
        FailureKind.OUT_OF_BUDGET,
        Attempt((GOOD, HIT), (P,), "", limit="it was cut off at the limit of tokens", cut=True),
    ),
    "gives up with numbers left": (
        FailureKind.NEVER_FOUND,
        Attempt((DEAD, SUM, PRODUCT, DEAD), (P, B, B), "none"),
    ),
}
"""Name → class and completion."""


def problem() -> Problem:
    return PROBLEM
