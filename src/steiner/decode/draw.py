"""Draw each row's token by a random number that depends on the row's seed and the token's place alone.

What a row becomes then does not depend on who shares its batch, in which order, or on which process: only
rounding does, and it moves the border between two tokens by about 1e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_STEP = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seeds: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each pair of a seed and a place.

    One output of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators",
    doi:10.1145/2660193.2660195) at that place of the seed's stream.
    """
    with np.errstate(over="ignore"):
        z = seeds + (places.astype(np.uint64) + np.uint64(1)) * _STEP
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    numbers: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


class SeededDraw:
    """A logits processor that leaves of each row only the token that was drawn; to be the last one."""

    def __init__(self, seeds: Sequence[int], starts: Sequence[int], temperature: float, top_p: float) -> None:
        """Prepare a batch.

        Args:
            seeds: one per row, in [0, 2^64).
            starts: for each row the number of columns of its `input_ids` that are no completion.
            temperature: above 0.
            top_p: smallest probability mass to draw from.
        """
        self._seeds = np.array(seeds, dtype=np.uint64)
        self._starts = np.array(starts, dtype=np.int64)
        self._temperature = temperature
        self._top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores, overwritten: 0 for the drawn token of each row and minus infinity elsewhere."""
        numbers = uniforms(self._seeds, input_ids.shape[1] - self._starts)
        drawn = draw(scores, numbers, self._temperature, self._top_p)
        return scores.fill_(-torch.inf).scatter_(1, drawn[:, None], 0.0)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with the rows at these places only."""
        places = np.array(rows, dtype=np.int64)
        self._seeds, self._starts = self._seeds[places], self._starts[places]


def draw(scores: Tensor, numbers: NDArray[np.float64], temperature: float, top_p: float) -> Tensor:
    """Return for each row the token to which a number in [0, 1) leads.

    Args:
        scores: shape (rows, vocabulary).
        numbers: shape (rows,).
        temperature: above 0.
        top_p: smallest probability mass to draw from.
    """
    weights = torch.softmax(scores.double() / temperature, dim=-1)
    if top_p < 1:
        weights = _nucleus(weights, top_p)
    mass = weights.cumsum(dim=-1)
    target = torch.from_numpy(numbers).to(mass.device)[:, None] * mass[:, -1:]
    return torch.searchsorted(mass, target, right=True).clamp(max=mass.shape[1] - 1).flatten()


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """Set to 0 what lies outside the smallest set of tokens with at least `top_p` of the mass."""
    ordered, order = weights.sort(dim=-1, descending=True)
    outside = ordered.cumsum(dim=-1) - ordered >= top_p
    return weights.masked_fill(outside.scatter(1, order, outside), 0.0)
