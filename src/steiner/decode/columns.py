"""Allowed sets as addends to a few columns of the logits, on the device of the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from steiner.decode.control import AllowedSet, Rest
from steiner.decode.soft import Biases
from steiner.protocol import ControlIds, ControlToken

if TYPE_CHECKING:
    from torch import Tensor

    from steiner.decode.history import IntArray

_RESTS = list(Rest)


class Columns:
    """Lets only allowed tokens through, for scores of one device, type and width.

    Only the columns of control and special tokens are touched, and whole rows only where a control token is
    forced.
    """

    def __init__(self, ids: ControlIds, sets: Sequence[AllowedSet], scores: Tensor) -> None:
        """Make the tables.

        Args:
            ids: the tokenizer's.
            sets: what may be chosen for a row, by number.
            scores: shape (rows, vocabulary); only its device, type and width count.
        """
        vocabulary = scores.shape[1]
        device = scores.device
        self._like = (device, scores.dtype, vocabulary)
        self._tail = min(ids.size, vocabulary)
        named = {*ids.control, ids.eos, *ids.special}
        columns = sorted(number for number in named if number < self._tail)
        self._columns = torch.tensor(columns, device=device)
        self._addends = torch.tensor(
            [[0.0 if one.allows(number, ids) else -torch.inf for number in columns] for one in sets],
            device=device,
            dtype=scores.dtype,
        )
        """Shape (allowed sets, columns)."""
        self._rest = np.array([_RESTS.index(one.rest) for one in sets])
        bars = {Rest.NOTHING: (-torch.inf, -torch.inf), Rest.TEXT: (0.0, -torch.inf), Rest.ALL: (0.0, 0.0)}
        self._bars = torch.tensor([bars[one.rest] for one in sets], device=device, dtype=scores.dtype)
        """Addends to text and to ids without a token; shape (allowed sets, 2)."""
        self._moves = torch.tensor([ids[ControlToken.END], ids[ControlToken.BACKTRACK]], device=device)

    def fits(self, scores: Tensor) -> bool:
        """Tell whether the tables were made for such scores."""
        return self._like == (scores.device, scores.dtype, scores.shape[1])

    def apply(self, scores: Tensor, chosen: IntArray, rows: IntArray | None = None) -> Tensor:
        """Change scores in place and return them.

        Args:
            scores: shape (all rows, vocabulary).
            chosen: number of a set, for each row that is controlled.
            rows: which rows those are; by default the first ones.
        """
        rest = self._rest[chosen]
        for kind in (Rest.NOTHING, Rest.TEXT):
            (found,) = np.nonzero(rest == _RESTS.index(kind))
            if not len(found):
                continue
            where = torch.from_numpy(found if rows is None else rows[found]).to(scores.device)
            cells = (where[:, None], self._columns)
            kept = scores[cells] + self._addends[torch.from_numpy(chosen[found]).to(scores.device)]
            if kind is Rest.NOTHING:
                scores.index_fill_(0, where, -torch.inf)
            elif self._tail < scores.shape[1]:
                scores[where, self._tail :] = -torch.inf
            scores[cells] = kept
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
        kept = scores[:, self._columns] + self._addends[chosen]
        bars = self._bars[chosen]
        scores[:, : self._tail] += bars[:, :1]
        scores[:, self._tail :] += bars[:, 1:]
        scores[:, self._columns] = kept
        return scores

    def add_on_device(self, scores: Tensor, end: Tensor, backtrack: Tensor) -> Tensor:
        """Add to the logits of END and BACKTRACK, in place, and return the scores; shapes (rows,)."""
        scores[:, self._moves] += torch.stack((end, backtrack), dim=1).to(scores.dtype)
        return scores
