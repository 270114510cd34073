"""How many slots of each question's list of paths are taken, so that the total comes out exactly.

Every question is asked for the same number of slots (see `sample.PathSampler`); what some cannot fill, a
higher level makes up for in all. The outcome depends on the lists alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from steiner.core import Record

FILLED = "1"
EMPTY = "0"


class Capacity(Record):
    """What is known about one question's list of paths."""

    slots: str
    """One character a slot, `FILLED` or `EMPTY`, as far as the list was looked at."""
    ended: bool
    """Whether the list has no more slots than these."""


class Quotas(NamedTuple):
    """The share of each question."""

    level: int
    """Slots that every question is asked for."""
    slots: list[int]
    """Slots taken of each question: `level`, or one less, parallel to the questions."""
    total: int
    """Paths in all; less than wanted if there are no more."""


def share_out(lists: Sequence[str], wanted: int) -> Quotas:
    """Find the lowest level at which the filled slots reach `wanted`.

    Of the last level only the first questions' slots are taken, as many as are needed.
    """

    def filled(level: int) -> int:
        return sum(slots.count(FILLED, 0, level) for slots in lists)

    low, high = 0, max(map(len, lists), default=0)
    while low < high:
        middle = (low + high) // 2
        if filled(middle) >= wanted:
            high = middle
        else:
            low = middle + 1
    level = low
    spare = max(0, filled(level) - wanted)
    taken = [level] * len(lists)
    for i in reversed(range(len(lists))):
        if not spare:
            break
        if lists[i][level - 1 : level] == FILLED:
            taken[i] -= 1
            spare -= 1
    return Quotas(level, taken, sum(s.count(FILLED, 0, t) for s, t in zip(lists, taken, strict=True)))
