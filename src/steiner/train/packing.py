"""Which sequences share a row: best-fit packing, as pure functions on lengths.

A row holds pieces of sequences one after the other. What keeps a piece from attending to its neighbours is
not decided here: positions start anew with each piece, see `steiner.train.batches`.

Best-fit-decreasing: Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv 2404.10830.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """A part of a sequence, tokens `start` to `stop` (excluded)."""

    sequence: int
    """Its number."""
    start: int
    stop: int

    @property
    def tokens(self) -> int:
        """Length."""
        return self.stop - self.start


Row = list[Piece]
LEAST_PIECE = 2
"""A piece of one token has nothing to predict."""


def pack_whole(lengths: Sequence[int], room: int, seed: str) -> list[Row]:
    """Pack sequences without cutting any; rows come in seeded order.

    Args:
        lengths: in tokens, none above `room`.
        room: tokens of a row.
        seed: of the order.
    """
    rows = best_fit([Piece(index, 0, length) for index, length in enumerate(lengths)], room)
    random.Random(seed).shuffle(rows)
    return rows


def pack_full(lengths: Sequence[int], room: int, count: int, whole: Sequence[bool], seed: str) -> list[Row]:
    """Pack sequences to `count` full rows, cutting where nothing fits; rows come in seeded order.

    First all are packed by best fit, the ones longer than a row cut to rows. Then the emptiest rows are taken
    apart to fill the others: their sequences are cut to the gaps. What is left after that is left out. A gap
    of one token stays.

    Args:
        lengths: in tokens; together at least `count` × `room`, else there are fewer rows, with gaps.
        room: tokens of a row.
        count: rows wanted.
        whole: parallel to `lengths`: sequences to take apart last.
        seed: of the order.
    """
    pieces = [piece for index, length in enumerate(lengths) for piece in _slices(index, length, room)]
    rows = _top_up(best_fit(pieces, room), room, count, whole)
    random.Random(seed).shuffle(rows)
    return rows


def best_fit(pieces: Sequence[Piece], room: int) -> list[Row]:
    """Put each piece, longest first, into the row that it fills best. O(n log `room`)."""
    rows: list[Row] = []
    by_space: dict[int, list[int]] = {}
    spaces: list[int] = []
    for piece in sorted(pieces, key=lambda piece: -piece.tokens):
        at = bisect_left(spaces, piece.tokens)
        if at == len(spaces):
            number, space = len(rows), room
            rows.append([])
        else:
            space = spaces[at]
            number = by_space[space].pop()
            if not by_space[space]:
                del by_space[space]
                spaces.pop(at)
        rows[number].append(piece)
        space -= piece.tokens
        if space >= LEAST_PIECE:
            if space not in by_space:
                by_space[space] = []
                insort(spaces, space)
            by_space[space].append(number)
    return rows


def used(row: Row) -> int:
    """Return the tokens of a row."""
    return sum(piece.tokens for piece in row)


def fill(rows: Sequence[Row], room: int) -> float:
    """Return the share of all places that hold a token."""
    return sum(map(used, rows)) / (len(rows) * room) if rows else 0.0


def _slices(index: int, length: int, room: int) -> list[Piece]:
    starts = range(0, length, room)
    return [Piece(index, start, min(start + room, length)) for start in starts]


def _top_up(rows: list[Row], room: int, count: int, whole: Sequence[bool]) -> list[Row]:
    if len(rows) <= count:
        return rows
    ranked = sorted(rows, key=lambda row: (any(whole[piece.sequence] for piece in row), used(row)))
    donors, kept = ranked[: len(rows) - count], ranked[len(rows) - count :]
    # Taken from the end: what may not be cut first, the longest first, while gaps are large.
    spare = sorted(
        (piece for row in donors for piece in row), key=lambda piece: (whole[piece.sequence], piece.tokens)
    )
    for row in sorted(kept, key=used):
        space = room - used(row)
        while spare and space >= LEAST_PIECE:
            piece = spare.pop()
            cut = min(space, piece.tokens)
            row.append(Piece(piece.sequence, piece.start, piece.start + cut))
            space -= cut
            if piece.tokens - cut >= LEAST_PIECE:
                spare.append(Piece(piece.sequence, piece.start + cut, piece.stop))
    return kept
