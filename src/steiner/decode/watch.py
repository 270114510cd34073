"""Seeing a completion while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from steiner.core import InputError

if TYPE_CHECKING:
    from torch import Tensor

Watch = Callable[[Sequence[int]], None]
"""Is told the new token ids, in order. What it raises ends the writing."""


class TokenStreamer:
    """Hands the tokens of a single completion on; what transformers calls a streamer."""

    def __init__(self, watch: Watch) -> None:
        """Tell `watch` each token."""
        self._watch = watch

    def put(self, value: Tensor) -> None:
        """Take what `generate` hands out: the whole input, shape (rows, columns), then tokens, shape (rows,).

        Raises:
            InputError: for more than one row.
        """
        if value.shape[0] != 1:
            raise InputError("only one completion at a time can be watched; ask one question a call")
        if value.ndim == 1:
            self._watch(value.tolist())

    def end(self) -> None:
        """Do nothing: generation goes on in further calls."""
