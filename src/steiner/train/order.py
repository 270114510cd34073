"""The order in which sequences are read, the same on any number of processes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steiner.train.data import IGNORED

if TYPE_CHECKING:
    from datasets import Dataset

UPDATES = 50
"""Sequences of so many updates are sorted together: lengths still mix, and few updates are mostly padding."""


def like_length(lengths: Sequence[int], update: int, seed: int) -> list[int]:
    """Return an order in which the sequences of an update are of like length, so that little is padding.

    The longest come first. It is the order of transformers' `LengthGroupedSampler`, but a function of its
    arguments alone: the same on any number of processes, and after a resumption.

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


def fill_up(dataset: Dataset, update: int) -> Dataset:
    """Append copies of the shortest sequence, without loss, until the last update is full.

    Several processes get equally many batches: accelerate would take sequences of the first update once more,
    with their loss.

    Args:
        dataset: with the columns `input_ids` and `labels`.
        update: sequences per update, over all processes.
    """
    import datasets
    import pyarrow.compute as pc

    missing = -len(dataset) % update
    if not missing:
        return dataset
    lengths = pc.list_value_length(dataset.data.column("input_ids"))
    row = dataset.with_format(None)[int(pc.index(lengths, pc.min(lengths)).as_py())]
    row["labels"] = [IGNORED] * len(row["labels"])
    columns = {name: [value] * missing for name, value in row.items()}
    filler = datasets.Dataset.from_dict(columns, features=dataset.features)
    whole = datasets.concatenate_datasets([dataset.with_format(None), filler])
    return whole.with_format(dataset.format["type"])
