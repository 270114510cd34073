"""Keys and values of many completions of different lengths, each in a place of its own.

A completion has a row of one preallocated tensor per layer and writes at its own positions, so nothing is
concatenated or padded when others come and go. What stands behind a row's own length is never attended to:
the mask lets a query see positions up to its own only, and later tokens overwrite it first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

GROWTH = 64
"""Rows and positions are allocated in powers of two from here."""

KeysValues = tuple[tuple[Tensor, Tensor], ...]
"""Per layer, shapes (heads, tokens, width)."""


class Window(NamedTuple):
    """The part of the cache that one forward pass writes and reads."""

    first: int
    last: int
    """Rows `first` to `last`, exclusive."""
    rows: Tensor
    """Shape (rows, 1): the row numbers."""
    positions: Tensor
    """Shape (rows, queries): where each query's key goes."""
    longest: int
    """Positions to read."""


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's rows."""

    is_compileable = False
    is_sliding = False

    def __init__(self, owner: SlotCache) -> None:
        super().__init__()
        self._owner = owner

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate like the first states that come."""
        rows, length = self._owner.rows, self._owner.length
        self.keys = _room(key_states, rows, length)
        self.values = _room(value_states, rows, length)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new states (rows, heads, queries, width) and return all that may be attended to."""
        if self.keys is None or self.values is None:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        window = self._owner.window
        self.keys[window.rows, :, window.positions] = key_states.transpose(1, 2)
        self.values[window.rows, :, window.positions] = value_states.transpose(1, 2)
        part = (slice(window.first, window.last), slice(None), slice(0, window.longest))
        return self.keys[part], self.values[part]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how much is attended to, and from where. Masks are ours, so nothing asks."""
        return self._owner.window.longest, 0

    def get_seq_length(self) -> int:
        """Return the longest row."""
        return self._owner.window.longest

    def get_max_length(self) -> int:
        """Say that there is no limit."""
        return -1

    def resize(self, rows: int, length: int) -> None:
        """Make room, keeping what is there."""
        if self.keys is None or self.values is None:
            return
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = _room(old, rows, length)
            kept_rows, kept = min(rows, old.shape[0]), min(length, old.shape[2])
            new[:kept_rows, :, :kept] = old[:kept_rows, :, :kept]
            setattr(self, name, new)


class SlotCache(Cache):  # type: ignore[misc]
    """The cache of a running batch."""

    def __init__(self, layers: int) -> None:
        self.rows = 0
        self.length = 0
        self.window: Window
        super().__init__(layers=[SlotLayer(self) for _ in range(layers)])

    def ensure(self, rows: int, length: int) -> None:
        """Make room for so many rows of so many tokens."""
        rows, length = max(_grown(rows, 4), self.rows), max(_grown(length, GROWTH), self.length)
        if (rows, length) != (self.rows, self.length):
            for layer in self.layers:
                layer.resize(rows, length)
            self.rows, self.length = rows, length

    def release(self) -> None:
        """Give all memory back; for when nothing is running."""
        self.rows = self.length = 0
        for layer in self.layers:
            layer.keys = layer.values = None
            layer.is_initialized = False

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of a row over those of another."""
        if source == target or not tokens:
            return
        for layer in self.layers:
            if layer.keys is not None:
                layer.keys[target, :, :tokens] = layer.keys[source, :, :tokens]
                layer.values[target, :, :tokens] = layer.values[source, :, :tokens]

    def read(self, row: int, tokens: int) -> KeysValues:
        """Return a copy of the first `tokens` of a row."""
        return tuple(
            (layer.keys[row, :, :tokens].clone(), layer.values[row, :, :tokens].clone())
            for layer in self.layers
        )

    def write(self, row: int, states: KeysValues, tokens: int) -> None:
        """Begin a row with the first `tokens` of what `read` returned."""
        for layer, (keys, values) in zip(self.layers, states, strict=True):
            if layer.keys is None:
                layer.lazy_initialization(keys[None], values[None])
            layer.keys[row, :, :tokens] = keys[:, :tokens]
            layer.values[row, :, :tokens] = values[:, :tokens]


def mask(positions: Tensor, longest: int, dtype: torch.dtype, boolean: bool) -> Tensor:
    """Return which keys each query may see, shape (rows, 1, queries, longest).

    Args:
        positions: of the queries, shape (rows, queries).
        longest: keys.
        dtype: of the model, for an additive mask.
        boolean: whether the attention takes True for "may see".
    """
    seen = torch.arange(longest, device=positions.device) <= positions[:, :, None]
    if boolean:
        return seen[:, None]
    return torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]


def _room(like: Tensor, rows: int, length: int) -> Tensor:
    # Zeros, because attention multiplies what it masks by zero and 0 × NaN is NaN.
    return torch.zeros((rows, like.shape[1], length, like.shape[3]), dtype=like.dtype, device=like.device)


def _grown(size: int, least: int) -> int:
    return max(least, 1 << (size - 1).bit_length())
