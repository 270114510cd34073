"""From a tokenised dataset and plain text to the sequences that a stage reads, in a seeded order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from steiner.core import InputError
from steiner.protocol import ControlIds, ControlToken

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED = -100
"""Label of a token without loss, as in PyTorch's cross entropy."""
ROWS = 1024
"""Rows of a dataset that are looked at together."""

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


class Example(NamedTuple):
    """One training sequence of T tokens."""

    ids: Ids
    """Shape (T,)."""
    loss: Mask
    """Shape (T,): whether the token is to be predicted."""

    @classmethod
    def of(cls, ids: Sequence[int] | Ids, loss_from: int = 0) -> Example:
        """Return a sequence whose tokens before index `loss_from` carry no loss."""
        array = np.asarray(ids, dtype=np.int32)
        return cls(array, np.arange(len(array)) >= loss_from)

    @property
    def labels(self) -> Ids:
        """Ids, `IGNORED` where there is no loss."""
        return np.where(self.loss, self.ids, np.int32(IGNORED))


class StepEnds(NamedTuple):
    """Where completions of more than `max_steps` steps are cut: after the move that follows so many."""

    max_steps: int
    step_end: int

    @classmethod
    def of(cls, max_steps: int | None, ids: ControlIds) -> StepEnds | None:
        """Return where to cut; None for no limit."""
        if max_steps is None:
            return None
        return cls(max_steps, ids[ControlToken.STEP_END])

    def kept(self, completion_ids: Ids) -> int:
        """Return how many tokens of a completion of shape (T,) are kept.

        The move stays, as it is what to do next. A completion that ends in time is kept whole.
        """
        ends = np.flatnonzero(completion_ids == self.step_end)
        if len(ends) <= self.max_steps:
            return len(completion_ids)
        return int(ends[self.max_steps - 1]) + 2


def path_examples(
    rows: Dataset,
    *,
    completion_only: bool,
    masked: ControlIds | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
    ends: StepEnds | None = None,
) -> list[Example]:
    """Return prompt + completion of each sample.

    Args:
        rows: of a dataset.
        completion_only: loss on the completion, not on the prompt.
        masked: the tokenizer's control ids if wrong steps are to carry no loss; see `learned`.
        prompts: parallel to `rows`, instead of the dataset's own prompts.
        ends: where longer completions are cut; None: nowhere.

    Raises:
        InputError: if wrong steps are to be masked and the dataset does not say which are.
    """
    columns = ["prompt_ids", "completion_ids"]
    if masked is not None:
        check_columns(rows, ("dead_ends",), "mask_wrong_steps")
        columns += ["step_index", "dead_ends"]
    examples: list[Example] = []
    for table in rows.select_columns(columns).with_format("arrow").iter(ROWS):
        arrays = {name: _lists(table.column(name)) for name in columns}
        for number, completion in enumerate(arrays["completion_ids"]):
            prompt = arrays["prompt_ids"][number] if prompts is None else np.array(prompts[len(examples)])
            loss = (
                np.ones(len(completion), np.bool_)
                if masked is None
                else learned(completion, arrays["step_index"][number], arrays["dead_ends"][number], masked)
            )
            if ends is not None:
                kept = ends.kept(completion)
                completion, loss = completion[:kept], loss[:kept]
            asked = np.full(len(prompt), not completion_only)
            examples.append(
                Example(np.concatenate([prompt, completion]).astype(np.int32), np.concatenate([asked, loss]))
            )
    return examples


def check_columns(rows: Dataset, names: Iterable[str], setting: str) -> None:
    """Refuse a dataset without columns that a setting needs.

    Raises:
        InputError: names the columns and the setting.
    """
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise InputError(
            f"'{setting}' needs the column {' and '.join(missing)}, which the dataset lacks: it was written "
            "by an earlier version. Make it anew with `steiner dataset --force`."
        )


def learned(completion_ids: Ids, step_index: npt.NDArray[np.int32], dead_ends: Mask, ids: ControlIds) -> Mask:
    """Return which tokens of a completion are to be predicted if wrong steps are not to be learned.

    A step is wrong if the right answer is out of reach from where it leads. It carries no loss, except for
    its reflection where the search goes back right after it: to see the mistake is what is to be learned.

    Args:
        completion_ids: shape (T,).
        step_index: shape (T,), -1 outside of steps.
        dead_ends: shape (S,), whether each step is wrong.
        ids: the tokenizer's.
    """
    wrong: Mask = np.append(dead_ends, False)[step_index]
    keep = ~wrong
    starts = np.flatnonzero(completion_ids == ids[ControlToken.REFLECTION_START])
    ends = np.flatnonzero(completion_ids == ids[ControlToken.STEP_END])
    for start, end in zip(starts, ends, strict=True):
        if wrong[start] and completion_ids[end + 1] == ids[ControlToken.BACKTRACK]:
            keep[start : end + 1] = True
    return keep


def text_blocks(documents: Iterator[list[int]], block: int, limit: int) -> list[Example]:
    """Join encoded documents to blocks of `block` tokens, `limit` tokens at most."""
    blocks: list[Example] = []
    current: list[int] = []
    total = 0
    for document in documents:
        current += document
        while len(current) >= block and total < limit:
            blocks.append(Example.of(current[:block]))
            total += block
            current = current[block:]
        if total >= limit:
            return blocks
    if current:
        blocks.append(Example.of(current))
    return blocks


def text_examples(documents: Iterator[list[int]], limit: int) -> list[Example]:
    """Return encoded documents, each a sequence of its own, until they have `limit` tokens."""
    total = 0

    def counted(ids: list[int]) -> bool:
        nonlocal total
        wanted = total < limit
        total += len(ids)
        return wanted

    return [Example.of(ids) for ids in takewhile(counted, documents)]


def draw(sequences: Sequence[Example], tokens: int, seed: int) -> list[Example]:
    """Draw in seeded order until there are `tokens` tokens, going through all before repeating any."""
    return [example for epoch in draw_epochs(sequences, tokens, seed) for example in epoch]


def draw_epochs(sequences: Sequence[Example], tokens: int, seed: int) -> Iterator[list[Example]]:
    """Yield what `draw` draws, one list for each time it goes through all.

    Raises:
        InputError: if there is nothing to draw from.
    """
    if not sequences:
        raise InputError("There is nothing to train on: the dataset's training split is empty.")
    total = epoch = 0
    while total < tokens:
        order = list(range(len(sequences)))
        random.Random(f"{seed}:epoch:{epoch}").shuffle(order)
        drawn: list[Example] = []
        for index in order:
            drawn.append(sequences[index])
            total += len(sequences[index].ids)
            if total >= tokens:
                break
        yield drawn
        epoch += 1


def mix(
    paths: Sequence[Example],
    texts: Callable[[int], Sequence[Example]],
    *,
    tokens: int,
    text_share: float,
    seed: int,
) -> list[Example]:
    """Return `tokens` tokens of which `text_share` are plain text, in seeded order.

    Args:
        paths: reasoning paths.
        texts: gives plain-text sequences of about so many tokens.
        tokens: how many in all.
        text_share: fraction in [0, 1).
        seed: of the order.
    """
    wanted = round(tokens * text_share)
    mixed = draw(paths, tokens - wanted, seed)
    if wanted:
        mixed += draw(texts(wanted), wanted, seed + 1)
    random.Random(f"{seed}:mix").shuffle(mixed)
    return mixed


def spread(texts: Sequence[Example], epochs: Sequence[Sequence[Example]]) -> list[list[Example]]:
    """Add plain text to epochs, to each by its share of the tokens."""
    ends = np.cumsum([sum(len(path.ids) for path in epoch) for epoch in epochs])
    places = [0, *(round(len(texts) * int(end) / int(ends[-1])) for end in ends)]
    parts = (texts[start:stop] for start, stop in pairwise(places))
    return [[*epoch, *part] for epoch, part in zip(epochs, parts, strict=True)]


def to_dataset(sequences: Sequence[Example]) -> Dataset:
    """Return a dataset with the columns `input_ids`, `labels` and `length`."""
    import datasets

    return datasets.Dataset.from_dict(
        {
            "input_ids": list_column([example.ids for example in sequences]),
            "labels": list_column([example.labels for example in sequences]),
            "length": [len(example.ids) for example in sequences],
        }
    )


def list_column(rows: Sequence[npt.NDArray[np.int32]]) -> pa.ChunkedArray:
    """Return arrays of int32 as a column of lists: 4 bytes a value, where Python's lists take 8 and more."""
    chunks = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        offsets = np.cumsum([0, *map(len, part)], dtype=np.int32)
        chunks.append(pa.ListArray.from_arrays(offsets, np.concatenate(part).astype(np.int32, copy=False)))
    return pa.chunked_array(chunks, pa.list_(pa.int32()))


def check_context(sequences: Sequence[Example], context: int, limit: int | None) -> None:
    """Refuse sequences that the model cannot read whole.

    Raises:
        InputError: names how many are too long and the longest.
    """
    bound = context if limit is None else min(context, limit)
    long = [len(s.ids) for s in sequences if len(s.ids) > bound]
    if long:
        raise InputError(
            f"{len(long)} of {len(sequences)} sequences are longer than the context of {bound} tokens (the "
            f"longest has {max(long)}). Make the dataset with a smaller token budget, or raise 'context' and "
            "'row_tokens' if the model allows."
        )


def _lists(column: pa.ChunkedArray) -> list[npt.NDArray[Any]]:
    """Return the rows of a column of lists as arrays."""
    found: list[npt.NDArray[Any]] = []
    for chunk in column.chunks:
        values = chunk.values.to_numpy(zero_copy_only=False)
        offsets = chunk.offsets.to_numpy()
        found += (values[a:b] for a, b in pairwise(offsets))
    return found
