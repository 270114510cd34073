"""Positions with gaps, so that a model trained on short sequences can read longer ones.

With rotary positions a token sees how far back another is. A model that never saw a distance of 600 tokens
writes nonsense there. Gaps between the positions of a short sequence show it such distances at no cost:
positional skip-wise training, Zhu et al. 2023, "PoSE", arXiv 2309.10400. There a gap may be anywhere; here it
is between steps.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from steiner.train.data import IGNORED, Ids, list_column

if TYPE_CHECKING:
    from datasets import Dataset

WHOLE, AT_FIRST = 0.25, 0.5
"""Shares of sequences without a gap (the distances that are met when the model writes), and with one before
the first step (the question is far, as late in a search, and all steps are as near as they will be). The rest
have it between any two steps. There the step before, which the next one follows from, is far too, as it never
will be: gaps there alone made models that repeat themselves."""


def skipping_positions(length: int, places: Sequence[int], span: int, rng: random.Random) -> Ids:
    """Return rising positions of `length` tokens within `span`, shape (length,), from 0.

    A gap is before a token whose index is among `places`, which rise; it is drawn uniformly from what `span`
    leaves.
    """
    positions = np.arange(length, dtype=np.int32)
    drawn = rng.random()
    if span <= length or not places or drawn < WHOLE:
        return positions
    place = places[0] if drawn < WHOLE + AT_FIRST else rng.choice(places)
    positions[place:] += rng.randint(1, span - length)
    return positions


def add_positions(dataset: Dataset, span: int, step_start: int, seed: int) -> Dataset:
    """Add the column `position_ids` to rows of `input_ids` and `labels`, drawn in seeded order.

    Gaps are between steps only, before tokens `step_start`: what is longer at a longer search is the way back
    to an earlier step, not a step. In a conversation they are between those of the last turn, the one with
    loss: it is the one that is written, and the turns before it are all farther away then.
    """
    rng = random.Random(f"{seed}:skips")
    drawn = []
    for row in dataset.with_format("numpy", columns=["input_ids", "labels"]):
        ids = row["input_ids"]
        asked = int(np.argmax(row["labels"] != IGNORED))
        places = asked + np.flatnonzero(ids[asked:] == step_start)
        drawn.append(skipping_positions(len(ids), places.tolist(), span, rng))
    return dataset.add_column("position_ids", list_column(drawn))


class SkippingCollator:
    """Padded batch, shape (B, T), with an attention mask and the positions of `add_positions`."""

    def __init__(self, pad_id: int) -> None:
        """Pad short rows with `pad_id`, without loss."""
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask`, `labels` and `position_ids`."""
        width = max(len(row["input_ids"]) for row in rows)
        fillers = {"input_ids": self._pad_id, "labels": IGNORED, "position_ids": 0}
        batch = {
            name: torch.tensor([[*row[name], *[filler] * (width - len(row[name]))] for row in rows])
            for name, filler in fillers.items()
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        batch["attention_mask"] = (torch.arange(width)[None] < lengths[:, None]).long()
        return batch
