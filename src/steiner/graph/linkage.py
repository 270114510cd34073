"""Greedy clustering with complete linkage that keeps the graph of clusters free of cycles.

Two clusters are joined only if every pair of their steps may be one node (complete linkage: no chains), and
if neither leads to the other in any trace.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.bool_]

SURE = 2.0
"""Score of two steps that reach the same, more than any likeness."""
_CHUNK = 4096


def link(
    allowed: Matrix, scores: NDArray[np.float32], ancestors: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    """Return the cluster number of each step, the smallest index of its members.

    Pairs that surely are the same are looked at first: those with most partners, among them those at the same
    depth. Then the pair with the highest score; the order of the steps decides between equal ones.

    Args:
        allowed: whether two steps may be one node; symmetric, shape (steps, steps). Overwritten.
        scores: how alike two steps are, or SURE; same shape, only used above the diagonal.
        ancestors: for each step, the steps before it on its route.
    """
    count = len(allowed)
    owner = np.arange(count)
    members = [[i] for i in range(count)]
    order = _Order(count, ancestors)
    rows, columns = _in_order(allowed, scores, ancestors)
    for begin in range(0, len(rows), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        a, b = owner[rows[chunk]], owner[columns[chunk]]
        live = np.flatnonzero((a != b) & allowed[a, b])
        for first, second in zip(rows[chunk][live].tolist(), columns[chunk][live].tolist(), strict=True):
            x, y = int(owner[first]), int(owner[second])
            if x == y or not allowed[x, y]:
                continue
            kept, gone = min(x, y), max(x, y)
            if order.related(kept, gone):
                allowed[kept, gone] = allowed[gone, kept] = False
                continue
            members[kept] += members[gone]
            owner[members[gone]] = kept
            allowed[kept] &= allowed[gone]
            allowed[:, kept] = allowed[kept]
            order.join(kept, gone)
    return owner


def _in_order(
    allowed: Matrix, scores: NDArray[np.float32], ancestors: Sequence[Sequence[int]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs that may be joined, the first to be joined first."""
    rows, columns = np.nonzero(np.triu(allowed, k=1))
    # Rounding makes ties of what differs only by the order of additions; then the canonical order decides.
    worth = np.round(scores[rows, columns], 5)
    apart = np.zeros(len(rows), dtype=np.int64)
    sure = np.flatnonzero(worth >= SURE)
    partners, depth = allowed.sum(axis=1), np.array([len(above) for above in ancestors])
    a, b = rows[sure], columns[sure]
    worth[sure] += np.minimum(partners[a], partners[b])
    apart[sure] = np.abs(depth[a] - depth[b])
    best = np.lexsort((columns, rows, apart, -worth))
    return rows[best], columns[best]


class _Order:
    """Which clusters lead to which, closed over all joins: rows of bits, 64 steps in a word."""

    def __init__(self, count: int, ancestors: Sequence[Sequence[int]]) -> None:
        before = np.zeros((count, 64 * -(-count // 64)), dtype=np.bool_)
        after = np.zeros_like(before)
        for step, above in enumerate(ancestors):
            before[list(above), step] = True
            after[step, list(above)] = True
        self._count = count
        self._below = _packed(before)
        self._above = _packed(after)
        self._bit = _packed(np.eye(*before.shape, dtype=np.bool_))
        self._grown = -1
        self._joined = np.zeros_like(self._bit[0])

    def related(self, a: int, b: int) -> bool:
        """Whether one leads to the other."""
        if self._grown not in (a, -1):
            if self._grown == b:
                a, b = b, a
            else:
                self._settle(-1)
        word, bit = b >> 6, b & 63
        return bool((int(self._below[a, word]) | int(self._above[a, word])) >> bit & 1)

    def join(self, a: int, b: int) -> None:
        """Let `a` stand for both: what leads to one leads to what follows either.

        The rows of `a` are exact at once; those of its neighbours are brought up to date when another cluster
        grows. Until then only `a` is asked about, so nobody sees them.
        """
        if self._grown != a:
            self._settle(a)
        self._below[a] |= self._below[b]
        self._above[a] |= self._above[b]
        self._joined |= self._bit[b]

    def _settle(self, following: int) -> None:
        """Tell the neighbours of the cluster that grew last; `following` is the next to grow."""
        a = self._grown
        if a >= 0:
            below, above = self._below[a], self._above[a]
            both = self._bit[a] | self._joined
            self._below[self._steps(above)] |= below | both
            self._above[self._steps(below)] |= above | both
        self._grown = following
        self._joined = np.zeros_like(self._bit[0])

    def _steps(self, bits: NDArray[np.uint64]) -> NDArray[np.intp]:
        return np.unpackbits(bits.view(np.uint8), count=self._count, bitorder="little").nonzero()[0]


def _packed(rows: Matrix) -> NDArray[np.uint64]:
    return np.packbits(rows, axis=1, bitorder="little").view(np.uint64)
