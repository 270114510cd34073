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

    Updates come in random order, but that with the longest sequence is the first. (The order of transformers'
    `LengthGroupedSampler` goes from long to short again and again. Short paths are other paths, without a
    backtrack, so a model that has just seen twenty updates of them has unlearnt to search.) It is a function
    of its arguments alone: the same on any number of processes, and after a resumption.

    Args:
        lengths: in tokens.
        update: sequences per update, over all processes.
        seed: of the order.
    """
    rng = random.Random(f"{seed}:like-length")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    together = update * max(1, min(UPDATES, len(lengths) // (4 * update)))
    updates: list[list[int]] = []
    for start in range(0, len(order), together):
        chunk = sorted(order[start : start + together], key=lambda index: -lengths[index])
        whole = [chunk[at : at + update] for at in range(0, len(chunk), update)]
        # What does not fill an update stays at the end of all.
        rest = [whole.pop()] if len(whole[-1]) < update else []
        rng.shuffle(whole)
        updates += whole + rest
    if len(updates) > 1:
        # Too little memory shows at once, not hours later.
        longest = max(range(len(updates)), key=lambda number: lengths[updates[number][0]])
        if len(updates[longest]) == update:
            updates[0], updates[longest] = updates[longest], updates[0]
    return [index for one in updates for index in one]


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
