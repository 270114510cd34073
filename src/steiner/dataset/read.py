"""Read a dataset for training, with the checks that keep a run from learning the wrong ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from steiner.core import InputError
from steiner.dataset.statistics import load_statistics
from steiner.dataset.tokenise import tokenizer_digest

__all__ = ["load_samples", "load_statistics"]

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def load_samples(
    folder: Path | str,
    split: str,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int | None = None,
) -> Dataset:
    """Open one split of a dataset, memory-mapped, with the columns that the card lists.

    Args:
        folder: what `steiner dataset` wrote.
        split: `train` or `validation`.
        tokenizer: the one that the model will have, control tokens added.
        max_tokens: context length of the model; None for no check.

    Raises:
        InputError: if the dataset or the split is missing, holds ids of another tokenizer, or has samples of
            more than `max_tokens` tokens; training would cut off their answers.
    """
    import datasets

    statistics = load_statistics(folder)
    if split not in statistics.splits:
        raise InputError(f"{folder} has no split '{split}'; it has: {', '.join(statistics.splits)}.")
    expected, found = statistics.tokenizer, tokenizer_digest(tokenizer)
    if found != expected.digest:
        raise InputError(
            f"{folder} holds token ids of the tokenizer '{expected.name}' (digest {expected.digest}), the "
            f"model's is '{tokenizer.name_or_path}' (digest {found}): train with that tokenizer, or make the "
            "dataset anew with this one."
        )
    rows = datasets.load_dataset(str(folder), split=split)
    if max_tokens is not None:
        _check_lengths(rows, folder, max_tokens)
    return rows


def _check_lengths(rows: Dataset, folder: Path | str, max_tokens: int) -> None:
    table = rows.data
    lengths = pc.add(
        pc.list_value_length(table.column("prompt_ids")), pc.list_value_length(table.column("completion_ids"))
    )
    too_long = pc.sum(pc.greater(lengths, max_tokens)).as_py()
    if too_long:
        raise InputError(
            f"{too_long:,} of {len(rows):,} samples of {folder} are longer than the {max_tokens:,} tokens of "
            f"the context (the longest: {pc.max(lengths).as_py():,}): raise the context length, or make the "
            f"dataset anew with --max-total-tokens {max_tokens + 1}."
        )
