"""Packed rows as a dataset and as batches in which no sequence attends to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from steiner.train.data import IGNORED, Example, Ids, list_column
from steiner.train.packing import Piece, Row, pack_full, pack_whole

if TYPE_CHECKING:
    from datasets import Dataset


class PackedRow(NamedTuple):
    """A row of T tokens."""

    input_ids: Ids
    """Shape (T,)."""
    labels: Ids
    """Shape (T,): `IGNORED` where there is no loss, also at the first token of each sequence."""
    seq_lengths: Ids
    """Shape (number of sequences,); their sum is T."""


def pack_epochs(epochs: Iterable[Sequence[Example]], room: int, seed: int) -> list[PackedRow]:
    """Pack each epoch by itself, no sequence cut: all are seen before any comes again."""
    packed: list[PackedRow] = []
    for number, examples in enumerate(epochs):
        rows = pack_whole([len(e.ids) for e in examples], room, f"{seed}:rows:{number}")
        packed += (join(row, examples) for row in rows)
    return packed


def pack_mixture(
    paths: Sequence[Example], texts: Sequence[Example], room: int, count: int, seed: int
) -> list[PackedRow]:
    """Pack paths and plain text to `count` full rows; where something must be cut, text comes first."""
    examples = [*paths, *texts]
    whole = [True] * len(paths) + [False] * len(texts)
    rows = pack_full([len(e.ids) for e in examples], room, count, whole, f"{seed}:rows")
    return [join(row, examples) for row in rows]


def join(row: Row, examples: Sequence[Example]) -> PackedRow:
    """Return the tokens of a row. The first of each piece has nothing before it that could predict it."""
    ids = [examples[piece.sequence].ids[piece.start : piece.stop] for piece in row]
    labels = [_labels(examples[piece.sequence], piece) for piece in row]
    lengths = np.array([piece.tokens for piece in row], np.int32)
    return PackedRow(np.concatenate(ids), np.concatenate(labels), lengths)


def _labels(example: Example, piece: Piece) -> Ids:
    labels = example.labels[piece.start : piece.stop].copy()
    labels[0] = IGNORED
    return labels


def rows_to_dataset(rows: Sequence[PackedRow]) -> Dataset:
    """Return a dataset with the columns `input_ids`, `labels` and `seq_lengths`."""
    import datasets

    columns = {name: list_column([getattr(row, name) for row in rows]) for name in PackedRow._fields}
    return datasets.Dataset.from_dict(columns).with_format("numpy")


class PackedCollator:
    """Batch of rows, shape (B, T), with positions that start anew at each sequence and no attention mask.

    transformers builds the mask that keeps sequences apart from the positions (`masking_utils`) if no mask
    is given and no cache is used, as in TRL's trainers: with `use_cache` a token sees all before it.
    Kernels that take the bounds of sequences instead need `flat`: all rows in one, with the bounds in
    `cu_seq_lens_q` and `cu_seq_lens_k`.
    """

    def __init__(self, pad_id: int, *, flat: bool = False) -> None:
        """Pad short rows with `pad_id`, a sequence of its own without loss."""
        self._pad_id = pad_id
        self._flat = flat

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return `input_ids`, `labels` and `position_ids`, and the bounds if flat."""
        lengths = [np.asarray(row["seq_lengths"]) for row in rows]
        if self._flat:
            return self._one_row(rows, np.concatenate(lengths))
        width = max(int(length.sum()) for length in lengths)
        return {
            "input_ids": torch.stack([_padded(row["input_ids"], width, self._pad_id) for row in rows]),
            "labels": torch.stack([_padded(row["labels"], width, IGNORED) for row in rows]),
            "position_ids": torch.stack([_positions(length, width) for length in lengths]),
        }

    def _one_row(self, rows: Sequence[dict[str, Any]], lengths: np.ndarray) -> dict[str, Any]:
        total = int(lengths.sum())
        bounds = torch.from_numpy(np.append(0, lengths.cumsum()).astype(np.int32))
        longest = int(lengths.max())
        return {
            "input_ids": _padded(np.concatenate([row["input_ids"] for row in rows]), total, 0)[None],
            "labels": _padded(np.concatenate([row["labels"] for row in rows]), total, 0)[None],
            "position_ids": _positions(lengths, total)[None],
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": longest,
            "max_length_k": longest,
        }


def _padded(values: np.ndarray, width: int, filler: int) -> torch.Tensor:
    padded = np.full(width, filler, np.int64)
    padded[: len(values)] = values
    return torch.from_numpy(padded)


def _positions(lengths: np.ndarray, width: int) -> torch.Tensor:
    rest = width - int(lengths.sum())
    parts = [np.arange(n) for n in (*lengths, rest)]
    return torch.from_numpy(np.concatenate(parts))


def fill_of(rows: Sequence[PackedRow], room: int) -> float:
    """Return the share of all places that hold a token."""
    return sum(len(row.input_ids) for row in rows) / (len(rows) * room)
