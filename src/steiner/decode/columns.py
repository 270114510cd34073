"""Allowed sets as addends to a few columns of the logits, on the device of the logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from steiner.decode.control import AllowedSet, Rest
from steiner.decode.soft import Biases
from steiner.protocol import ControlIds, ControlToken

if TYPE_CHECKING:
    from steiner.decode.history import IntArray

_GAP = 256
"""Most text columns between two others that are touched with them: adding 0 is cheaper than a gather."""


class _Span(NamedTuple):
    """Neighbouring columns."""

    begin: int
    end: int
    addends: Tensor
    """0 or minus infinity; shape (allowed sets, columns)."""


class Columns:
    """Lets only allowed tokens through, for scores of one device, type and width.

    Only the columns of control tokens, special tokens and ids without a token are touched, with the few that
    lie between them, and whole rows only where a control token is forced.
    """

    def __init__(self, ids: ControlIds, sets: Sequence[AllowedSet], scores: Tensor) -> None:
        """Make the tables.

        Args:
            ids: the tokenizer's.
            sets: what may be chosen for a row, by number.
            scores: shape (rows, vocabulary); only its device, type and width count.
        """
        vocabulary = scores.shape[1]
        self._like = (scores.device, scores.dtype, vocabulary)
        named = {*ids.control, ids.eos, *ids.special, *range(ids.size, vocabulary)}
        self._spans = [
            _Span(begin, end, _addends(ids, sets, begin, end).to(scores))
            for begin, end in _runs(sorted(number for number in named if number < vocabulary))
        ]
        self._forces = np.array([one.rest is Rest.NOTHING for one in sets])
        bars = [-torch.inf if force else 0.0 for force in self._forces]
        self._bars = torch.tensor(bars, device=scores.device, dtype=scores.dtype)
        """Addends to all other columns; shape (allowed sets,)."""
        moves = [ids[ControlToken.END], ids[ControlToken.BACKTRACK]]
        self._moves = torch.tensor(moves, device=scores.device)

    def fits(self, scores: Tensor) -> bool:
        """Tell whether the tables were made for such scores."""
        return self._like == (scores.device, scores.dtype, scores.shape[1])

    def apply(self, scores: Tensor, chosen: IntArray, rows: IntArray | None = None) -> Tensor:
        """Change scores in place and return them.

        Args:
            scores: shape (all rows, vocabulary).
            chosen: number of a set, for each row that is controlled.
            rows: which rows those are; by default the first ones, in order.
        """
        there = torch.from_numpy(chosen).to(scores.device)
        places: slice | Tensor = slice(0, len(chosen))
        if rows is not None:
            places = torch.from_numpy(rows).to(scores.device)
        for begin, end, addends in self._spans:
            scores[places, begin:end] += addends[there]
        (forced,) = np.nonzero(self._forces[chosen])
        if len(forced):
            where = torch.from_numpy(forced if rows is None else rows[forced]).to(scores.device)
            kept = [scores[where, begin:end] for begin, end, _ in self._spans]
            scores.index_fill_(0, where, -torch.inf)
            for (begin, end, _), values in zip(self._spans, kept, strict=True):
                scores[where, begin:end] = values
        return scores

    def add(self, scores: Tensor, biases: Biases, rows: IntArray | None = None) -> Tensor:
        """Add to the logits of END and BACKTRACK, in place, and return the scores."""
        (found,) = np.nonzero(biases.end + biases.backtrack * 1j)
        if len(found):
            where = torch.from_numpy(found if rows is None else rows[found]).to(scores.device)
            addends = np.stack((biases.end[found], biases.backtrack[found]), axis=1)
            scores[where[:, None], self._moves] += torch.from_numpy(addends).to(scores)
        return scores

    def apply_on_device(self, scores: Tensor, chosen: Tensor) -> Tensor:
        """Change scores in place without asking the device for anything, and return them.

        For graphs and for choices that were made on the device. Costs one pass over the scores in each call,
        as the host does not know which rows are forced.

        Args:
            scores: shape (rows, vocabulary).
            chosen: shape (rows,).
        """
        kept = [scores[:, begin:end] + addends[chosen] for begin, end, addends in self._spans]
        scores += self._bars[chosen, None]
        for (begin, end, _), values in zip(self._spans, kept, strict=True):
            scores[:, begin:end] = values
        return scores

    def add_on_device(self, scores: Tensor, end: Tensor, backtrack: Tensor) -> Tensor:
        """Add to the logits of END and BACKTRACK, in place, and return the scores; shapes (rows,)."""
        scores[:, self._moves] += torch.stack((end, backtrack), dim=1).to(scores.dtype)
        return scores


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut rising numbers into runs without large gaps; yields the begin and the end of each."""
    begin = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] - numbers[place - 1] > _GAP:
            yield numbers[begin], numbers[place - 1] + 1
            begin = place


def _addends(ids: ControlIds, sets: Sequence[AllowedSet], begin: int, end: int) -> Tensor:
    """Return 0 where a set allows a column and minus infinity elsewhere; shape (sets, columns)."""
    text = np.array([ids.is_text(number) for number in range(begin, end)])
    allowed = np.zeros((len(sets), end - begin), dtype=np.bool_)
    for row, one in zip(allowed, sets, strict=True):
        row[:] = {Rest.ALL: True, Rest.TEXT: text, Rest.NOTHING: False}[one.rest]
        row[[number - begin for number in one.ids if begin <= number < end]] = True
    return torch.from_numpy(np.where(allowed, 0.0, -np.inf))
