"""The order in which padded sequences are read: neighbours are alike in length, so that little is padding."""

from __future__ import annotations

import random
from collections.abc import Sequence

UPDATES = 50
"""Sequences of so many updates are sorted together: lengths still mix, and few updates are mostly padding."""


def like_length(lengths: Sequence[int], update: int, seed: int) -> list[int]:
    """Return an order in which the sequences of an update are of like length; the longest come first.

    It is that of transformers' `LengthGroupedSampler`, but a function of its arguments alone: the same on any
    number of processes, and after a resumption.

    Args:
        lengths: in tokens.
        update: sequences per update, over all processes.
        seed: of the order.
    """
    order = list(range(len(lengths)))
    random.Random(f"{seed}:like-length").shuffle(order)
    together = update * max(1, min(UPDATES, len(lengths) // (4 * update)))
    chunks = [order[start : start + together] for start in range(0, len(order), together)]
    for chunk in chunks:
        chunk.sort(key=lambda index: -lengths[index])
    if chunks:
        # Too little memory shows at once, not hours later.
        longest = max(range(len(chunks)), key=lambda c: lengths[chunks[c][0]])
        chunks[0][0], chunks[longest][0] = chunks[longest][0], chunks[0][0]
    return [index for chunk in chunks for index in chunk]
