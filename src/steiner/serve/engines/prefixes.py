"""Keys and values of finished conversations, for the turn that goes on from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from steiner.serve.engines.slots import KeysValues


class Prefix(NamedTuple):
    """What is known of the beginning of a prompt."""

    key: int
    tokens: int
    """Common to both."""
    states: KeysValues


class PrefixStore:
    """Keeps what was used last, up to a number of tokens."""

    def __init__(self, max_tokens: int) -> None:
        self._max = max_tokens
        self._kept: OrderedDict[int, tuple[np.ndarray, KeysValues]] = OrderedDict()
        self._next = 0
        self.tokens = 0

    def find(self, prompt: Sequence[int]) -> Prefix | None:
        """Return the longest beginning of `prompt` that is kept, without its last token.

        The last token is left out because its logits are needed.
        """
        wanted = np.asarray(prompt[:-1], dtype=np.int64)
        best: Prefix | None = None
        for key, (ids, states) in self._kept.items():
            if best and (len(ids) <= best.tokens or len(wanted) <= best.tokens):
                continue
            common = common_prefix(wanted, ids)
            if common > (best.tokens if best else 0):
                best = Prefix(key, common, states)
        if best:
            self._kept.move_to_end(best.key)
        return best

    def add(self, ids: Sequence[int], states: KeysValues, instead: int | None = None) -> None:
        """Keep a conversation; `instead` is the key of the one that it went on from."""
        if not ids or len(ids) > self._max:
            return
        if instead is not None:
            self._drop(instead)
        self._kept[self._next] = (np.asarray(ids, dtype=np.int64), states)
        self._next += 1
        self.tokens += len(ids)
        while self.tokens > self._max:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self.tokens = 0

    def _drop(self, key: int) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.tokens -= len(kept[0])


def common_prefix(left: np.ndarray, right: np.ndarray) -> int:
    """Return how many leading numbers are equal."""
    size = min(len(left), len(right))
    different = np.flatnonzero(left[:size] != right[:size])
    return int(different[0]) if len(different) else size
