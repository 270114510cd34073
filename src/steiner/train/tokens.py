"""Rows of the token tables for tokens that a model has never seen: how many, and where they start.

A row that starts far from all others, as spare and random rows do, has to be moved before it is of use; a
token whose row starts where words of its meaning are is close to what the model can already say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steiner.protocol import CONTROL_TOKENS, ControlToken
from steiner.protocol.encode import TextEncoder
from steiner.train.settings import TokenInit

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DESCRIPTIONS: dict[ControlToken, tuple[str, ...]] = {
    ControlToken.START: ("start", "reasoning", "think"),
    ControlToken.END: ("end", "reasoning", "answer"),
    ControlToken.PROCEED: ("next", "continue", "proceed"),
    ControlToken.BACKTRACK: ("back", "return", "instead"),
    ControlToken.STEP_START: ("start", "step"),
    ControlToken.STEP_END: ("end", "step"),
    ControlToken.NAME_START: ("start", "name", "title"),
    ControlToken.NAME_END: ("end", "name", "title"),
    ControlToken.THOUGHT_START: ("start", "thought", "thinking"),
    ControlToken.THOUGHT_END: ("end", "thought", "thinking"),
    ControlToken.SUMMARY_START: ("start", "summary", "result"),
    ControlToken.SUMMARY_END: ("end", "summary", "result"),
    ControlToken.REFLECTION_START: ("start", "reflection", "check"),
    ControlToken.REFLECTION_END: ("end", "reflection", "check"),
}
"""Words whose rows a token's row starts in the middle of; each set is another one, or two tokens were one."""


def fit_tables(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    fresh: Sequence[int],
    *,
    init: TokenInit,
    row_multiple: int,
    seed: int,
) -> None:
    """Give every token of the tokenizer a row in both token tables, and the `fresh` ones a place to start.

    A model with enough spare rows (Qwen2.5 has them) is not resized. Rows that resizing adds and that belong
    to no token start at the mean of the trained rows.

    Args:
        model: changed in place.
        tokenizer: with the control tokens.
        fresh: ids whose rows the model has not been trained with.
        init: where control tokens among them start; others start at the mean.
        row_multiple: a table that must grow grows to a multiple of it.
        seed: of the draws of `random`.
    """
    rows = table_rows(model)
    if len(tokenizer) > rows:
        with torch.random.fork_rng(devices=[]):  # it draws rows, which are set below
            model.resize_token_embeddings(
                len(tokenizer), pad_to_multiple_of=row_multiple, mean_resizing=False
            )
    added = range(rows, table_rows(model))
    if not fresh and not added:
        return
    unknown = {*fresh, *added}
    known = torch.tensor([row for row in range(min(rows, len(tokenizer))) if row not in unknown])
    control = {
        number: token
        for number, token in zip(
            tokenizer.convert_tokens_to_ids([str(token) for token in CONTROL_TOKENS]),
            CONTROL_TOKENS,
            strict=True,
        )
        if number in unknown
    }
    words = _described(tokenizer, set(known.tolist())) if init == "words" else {}
    with torch.no_grad():
        for place, table in enumerate(token_tables(model)):
            trained = table.weight[known].float()
            mean, deviation = trained.mean(dim=0), trained.std(dim=0, correction=0)
            draws = torch.Generator().manual_seed(seed * 2 + place)
            for number in sorted(unknown):
                start = mean
                token = control.get(number)
                if token is not None and init == "random":
                    noise = torch.randn(len(mean), generator=draws).to(mean.device)
                    start = mean + deviation * noise
                elif token is not None and words.get(token):
                    start = _middle(table, words[token])
                table.weight[number] = start.to(table.weight.dtype)


def fresh_ids(
    tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase | None, rows: int
) -> tuple[int, ...]:
    """Return the ids whose rows a model of `rows` rows has not been trained with.

    These are the control tokens, unless the model's own tokenizer has them, and all ids beyond its rows.

    Args:
        tokenizer: with the control tokens.
        own: the tokenizer in the model's folder as it is; None if there is none.
        rows: of the model's token tables, before they grow.
    """
    known = {} if own is None else own.get_vocab()
    control = [str(token) for token in CONTROL_TOKENS]
    ids: list[int] = tokenizer.convert_tokens_to_ids(control)
    fresh = {number for token, number in zip(control, ids, strict=True) if token not in known}
    return tuple(sorted(fresh | set(range(rows, len(tokenizer)))))


def token_tables(model: PreTrainedModel) -> list[Module]:
    """Return the modules of the embedding and of the output matrix; one if they share their weight."""
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    if tables[1] is None or tables[1].weight is tables[0].weight:
        return tables[:1]
    return tables


def table_rows(model: PreTrainedModel) -> int:
    """Return the rows of the token tables, spare ones included."""
    return int(model.get_input_embeddings().weight.shape[0])


def _described(tokenizer: PreTrainedTokenizerBase, known: set[int]) -> dict[ControlToken, list[list[int]]]:
    """Return the ids of each word that describes a token, words that the model does not know left out.

    Words are read with a blank before them, as they stand in a text.
    """
    vocabulary = sorted({word for words in DESCRIPTIONS.values() for word in words})
    encoded = TextEncoder(tokenizer).encode([f" {word}" for word in vocabulary])
    ids = {
        word: [number for number in row if number in known]
        for word, row in zip(vocabulary, encoded, strict=True)
    }
    return {token: [ids[word] for word in words if ids[word]] for token, words in DESCRIPTIONS.items()}


def _middle(table: Module, words: list[list[int]]) -> torch.Tensor:
    """Return the mean over words of the mean over each word's subwords, in fp32."""
    return torch.stack([table.weight[word].float().mean(dim=0) for word in words]).mean(dim=0)
