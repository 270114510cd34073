"""Which pairs of steps may be one node, for all pairs of a question at once.

Two steps are the same if they read alike and contradict in nothing that can be checked; or if they reach the
same state or the same computed number, which needs little likeness of wording.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from steiner.graph.text_facts import OPPOSITES, Facts

Pairs = NDArray[np.int64]
"""Numbers of steps, one side of many pairs."""
Mask = NDArray[np.bool_]


class FactTable:
    """The facts of a question's steps as arrays, to be compared pair by pair without a Python loop."""

    def __init__(
        self,
        facts: Sequence[Facts],
        known: frozenset[str] = frozenset(),
        telling: frozenset[str] = frozenset(),
    ) -> None:
        """Lay the facts out.

        Args:
            facts: one per step.
            known: numbers of the question; to claim one of them proves nothing.
            telling: words that tell the options of the question apart.
        """
        self._negated = np.array([f.negated for f in facts], dtype=np.bool_)
        self._options = _ids(f.options for f in facts)
        self._remainder = _ids(f.remainder for f in facts)
        self._computed = _ids(f.computed for f in facts)
        self._result = _ids(f.result for f in facts)
        self._wording = _ids(f.wording for f in facts)
        self._marks = _ids(f.marks for f in facts)
        self._signs = _ids(f.signs for f in facts)
        self._numerals = _bits([f.numerals for f in facts])
        self._telling_result = np.array(
            [len(f.result) > 1 and f.result not in known for f in facts], dtype=np.bool_
        )
        self._free = _bits([f.free for f in facts])
        self._proper = _bits([f.proper for f in facts])
        self._telling = _bits([f.words & telling for f in facts])
        self._operations = _bits([f.operations for f in facts])
        self._sides = _bits([f.right_sides for f in facts])
        columns = sorted(frozenset().union(*(f.numbers | {f.result} for f in facts)))
        self._numbers = _bits([f.numbers for f in facts], columns)
        self._results = _bits([frozenset([f.result]) - {""} for f in facts], columns)
        self._left_poles = _bits([f.opposites for f in facts], [one for one, _ in OPPOSITES])
        self._right_poles = _bits([f.opposites for f in facts], [other for _, other in OPPOSITES])

    def compatible(self) -> Mask:
        """Matrix (steps, steps): the pairs that the cheapest checks of `contradict` leave, as a sieve."""
        out: Mask = self._negated[:, None] == self._negated
        out &= self._options[:, None] == self._options
        remainder, computed = self._remainder[:, None], self._computed[:, None]
        same_state = (remainder == self._remainder) & (remainder != 0)
        out &= same_state | (remainder == 0) | (self._remainder == 0)
        out &= same_state | (computed == self._computed) | (computed == 0) | (self._computed == 0)
        return out

    def same_state(self, i: Pairs, j: Pairs) -> Mask:
        """Whether both say that the same numbers are left."""
        return _equal(self._remainder, i, j)

    def same_computed(self, i: Pairs, j: Pairs) -> Mask:
        """Whether both reach the same number by a true equation."""
        return _equal(self._computed, i, j)

    def same_claim(self, i: Pairs, j: Pairs) -> Mask:
        """Whether both come to the same number of several digits that is not in the question."""
        return _equal(self._result, i, j) & self._telling_result[i]

    def contradict(self, i: Pairs, j: Pairs) -> Mask:
        """Whether the two steps of each pair must not be one node, however alike they read."""
        state, computed = self.same_state(i, j), self.same_computed(i, j)
        reached = state | (computed & ~_unequal(self._remainder, i, j))
        out: Mask = self._negated[i] != self._negated[j]
        out |= self._options[i] != self._options[j]
        out |= _unequal(self._remainder, i, j)
        out |= _unequal(self._computed, i, j) & ~state
        worded = self._wording[i] == self._wording[j]
        out |= worded & (self._marks[i] != self._marks[j])
        close = np.flatnonzero(worded & ~out & (self._signs[i] == self._signs[j]))
        out[close] = self._one_number_apart(i[close], j[close])
        open_ = np.flatnonzero(~out)
        i, j, reached, computed = i[open_], j[open_], reached[open_], computed[open_]
        out[open_] = (
            self._opposed(i, j)
            | _each_alone(self._telling, i, j)
            | (computed & _each_alone(self._free, i, j))
            | (~reached & self._at_odds(i, j))
        )
        return out

    def _one_number_apart(self, i: Pairs, j: Pairs) -> Mask:
        """Whether all numbers but one are the same, true equations or not: 24 / 30 = 0.8, 24 / 32 = 0.8."""
        a, b = self._numerals[i], self._numerals[j]
        return _single(a & ~b) & _single(b & ~a)

    def _at_odds(self, i: Pairs, j: Pairs) -> Mask:
        """What keeps apart steps that do not demonstrably reach the same: names, numbers, kinds of sums."""
        out = self._other_numbers(i, j)
        out |= _differ(self._operations, i, j)
        out |= _disjoint(self._sides, i, j)
        out |= _each_alone(self._proper, i, j)
        return out

    def _opposed(self, i: Pairs, j: Pairs) -> Mask:
        """Whether one holds a word where the other holds its opposite and not the word itself."""
        out = np.zeros(len(i), dtype=np.bool_)
        for ours, theirs in ((self._left_poles, self._right_poles), (self._right_poles, self._left_poles)):
            for a, b in ((i, j), (j, i)):
                out |= _any(ours[a] & theirs[b] & ~ours[b])
        return out

    def _other_numbers(self, i: Pairs, j: Pairs) -> Mask:
        """Whether neither's numbers hold the other's, or they come to different results."""
        out = _each_alone(self._numbers, i, j) | _unequal(self._result, i, j)
        for a, b in ((i, j), (j, i)):
            missing = _any(self._results[a] & ~self._numbers[b])
            out |= missing & (self._result[b] == 0)
        return out


def contradicts(a: Facts, b: Facts, telling: frozenset[str] = frozenset()) -> bool:
    """Whether two steps must not be the same node, however alike they read. Symmetric.

    Args:
        a: facts of one step.
        b: facts of the other.
        telling: words that tell the options of the question apart.
    """
    first, second = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    return bool(FactTable([a, b], telling=telling).contradict(first, second)[0])


def _ids(values: Iterable[Hashable]) -> NDArray[np.int32]:
    """Number what occurs; 0 is what is empty."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(v, len(known) + 1) if v else 0 for v in values], dtype=np.int32)


def _bits(sets: Sequence[frozenset[str]], columns: Sequence[str] | None = None) -> NDArray[np.uint64]:
    """Matrix (steps, words of 64 bits): which items each set holds."""
    if columns is None:
        columns = sorted(frozenset().union(*sets))
    place: dict[str, list[int]] = {}
    for column, item in enumerate(columns):
        place.setdefault(item, []).append(column)
    held = np.zeros((len(sets), 64 * max(1, -(-len(columns) // 64))), dtype=np.bool_)
    cells = [(row, at) for row, items in enumerate(sets) for item in items for at in place.get(item, ())]
    if cells:
        rows, filled = zip(*cells, strict=True)
        held[list(rows), list(filled)] = True
    return np.packbits(held, axis=1).view(np.uint64)


def _equal(ids: NDArray[np.int32], i: Pairs, j: Pairs) -> Mask:
    equal: Mask = (ids[i] == ids[j]) & (ids[i] != 0)
    return equal


def _unequal(ids: NDArray[np.int32], i: Pairs, j: Pairs) -> Mask:
    """Whether both say something, and not the same."""
    unequal: Mask = (ids[i] != ids[j]) & (ids[i] != 0) & (ids[j] != 0)
    return unequal


def _each_alone(bits: NDArray[np.uint64], i: Pairs, j: Pairs) -> Mask:
    """Whether each holds something that the other does not."""
    a, b = bits[i], bits[j]
    return _any(a & ~b) & _any(b & ~a)


def _disjoint(bits: NDArray[np.uint64], i: Pairs, j: Pairs) -> Mask:
    """Whether both hold something, and nothing in common."""
    a, b = bits[i], bits[j]
    return _any(a) & _any(b) & ~_any(a & b)


def _differ(bits: NDArray[np.uint64], i: Pairs, j: Pairs) -> Mask:
    """Whether both hold something, and not the same."""
    a, b = bits[i], bits[j]
    return _any(a) & _any(b) & _any(a ^ b)


def _single(bits: NDArray[np.uint64]) -> Mask:
    """Whether exactly one bit of a row is set."""
    power = (bits & (bits - np.uint64(1))) == 0
    single: Mask = power.all(axis=1) & ((bits != 0).sum(axis=1) == 1)
    return single


def _any(bits: NDArray[np.uint64]) -> Mask:
    some: Mask = np.asarray(bits.any(axis=1), dtype=np.bool_)
    return some
