"""From a tokenised dataset and plain text to the sequences that a stage reads, in a seeded order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import InputError
from steiner.protocol import TextEncoder

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label of a token without loss, as in PyTorch's cross entropy."""


class Example(NamedTuple):
    """One training sequence."""

    ids: list[int]
    loss_from: int
    """Tokens before this index carry no loss."""


def path_sequences(rows: Dataset, *, completion_only: bool) -> list[Example]:
    """Return prompt + completion of each sample; loss on the completion only, or on every token."""
    columns = rows.select_columns(["prompt_ids", "completion_ids"])
    return [
        Example(
            [*row["prompt_ids"], *row["completion_ids"]], len(row["prompt_ids"]) if completion_only else 0
        )
        for row in columns
    ]


def read_documents(paths: Sequence[str]) -> Iterator[str]:
    """Yield the documents of plain-text files: what stands between blank lines.

    Raises:
        InputError: if a file is missing, is no UTF-8 text, or all are empty.
    """
    found = False
    for path in paths:
        try:
            with Path(path).open(encoding="utf-8-sig") as file:
                for document in _paragraphs(file):
                    found = True
                    yield document
        except FileNotFoundError:
            raise InputError(f"The text file {path} does not exist.") from None
        except UnicodeDecodeError as error:
            raise InputError(f"The text file {path} is no UTF-8 text: {error}.") from error
    if not found:
        raise InputError(f"There is no text in {', '.join(paths)}.")


def text_sequences(
    documents: Iterator[str], tokenizer: PreTrainedTokenizerBase, block: int, limit: int
) -> list[Example]:
    """Join documents, an end-of-text token after each, to blocks of `block` tokens, `limit` tokens at most.

    What looks like a control or special token in the text stays text.
    """
    encoder = TextEncoder(tokenizer)
    blocks: list[Example] = []
    current: list[int] = []
    total = 0
    for document in documents:
        current += encoder.encode([document])[0]
        current.append(tokenizer.eos_token_id)
        while len(current) >= block and total < limit:
            blocks.append(Example(current[:block], 0))
            total += block
            current = current[block:]
        if total >= limit:
            return blocks
    if current:
        blocks.append(Example(current, 0))
    return blocks


def draw(sequences: Sequence[Example], tokens: int, seed: int) -> list[Example]:
    """Draw in seeded order until there are `tokens` tokens, going through all before repeating any."""
    if not sequences:
        raise InputError("There is nothing to train on: the dataset's training split is empty.")
    drawn: list[Example] = []
    total = epoch = 0
    while total < tokens:
        order = list(range(len(sequences)))
        random.Random(f"{seed}:epoch:{epoch}").shuffle(order)
        for index in order:
            drawn.append(sequences[index])
            total += len(sequences[index].ids)
            if total >= tokens:
                break
        epoch += 1
    return drawn


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


def to_dataset(sequences: Sequence[Example]) -> Dataset:
    """Return a dataset with the columns `input_ids`, `labels` and `length`."""
    import datasets

    return datasets.Dataset.from_dict(
        {
            "input_ids": [s.ids for s in sequences],
            "labels": [[IGNORED] * s.loss_from + s.ids[s.loss_from :] for s in sequences],
            "length": [len(s.ids) for s in sequences],
        }
    )


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
            f"longest has {max(long)}). Make the dataset with a smaller token budget, or raise 'context' if "
            "the model allows."
        )


def _paragraphs(lines: Iterator[str]) -> Iterator[str]:
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line.rstrip("\r\n"))
        elif document:
            yield "\n".join(document)
            document = []
    if document:
        yield "\n".join(document)
