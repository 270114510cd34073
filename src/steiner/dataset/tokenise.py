"""From reasoning paths to token ids, with the tokenizer that training will use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from steiner.core import InputError, Problem, ReasoningPath, TokenSample, digest
from steiner.protocol import (
    CONTROL_TOKENS,
    ControlIds,
    Message,
    add_control_tokens,
    encode_paths,
    encode_prompts,
    ensure_chat_template,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer and add the control tokens that it lacks.

    Args:
        name: a folder that holds a tokenizer (or a model with one), or the id of one on the hub.

    Raises:
        InputError: if it cannot be loaded or has no pad token, end token or chat template.
    """
    from transformers import AutoTokenizer

    if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") != 1):
        # Anything else would be looked for on the hub, for which only `owner/name` makes sense.
        raise InputError(
            f"There is no folder '{name}': give the folder of a tokenizer or a hub id, owner/name."
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"The tokenizer '{name}' cannot be loaded: {reason} "
            "Give a folder with tokenizer.json and tokenizer_config.json, or a hub id that can be reached."
        ) from error
    if not tokenizer.is_fast:
        raise InputError(
            f"The tokenizer '{name}' has no tokenizer.json: convert it to a fast tokenizer first."
        )
    ensure_chat_template(tokenizer)
    add_control_tokens(tokenizer)
    ControlIds.from_tokenizer(tokenizer)
    return tokenizer


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return 16 hex digits that are equal for tokenizers that encode every prompt and completion equally.

    Covers the content of `tokenizer.json`, the ids of the control, end and pad tokens, and the chat template.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    # What the last call asked for, not what the tokenizer is.
    content = {key: value for key, value in content.items() if key not in ("truncation", "padding")}
    ids = ControlIds.from_tokenizer(tokenizer)
    return digest(
        [content, [ids[token] for token in CONTROL_TOKENS], ids.eos, ids.pad, tokenizer.chat_template]
    )


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Problem, Sequence[ReasoningPath]]],
    system_prompt: str = "",
) -> list[list[TokenSample]]:
    """Return the samples of each problem's paths, parallel to `items`.

    Args:
        tokenizer: with control tokens.
        items: problems with their paths; many at once go faster, the result is the same.
        system_prompt: opens the prompt where it is not empty.

    Raises:
        InputError: if the tokenizer has no chat template, pad or end token.
    """
    opening = [Message("system", system_prompt)] if system_prompt else []
    prompts = encode_prompts(
        tokenizer, [[*opening, Message("user", problem.blind().prompt)] for problem, _ in items]
    )
    encoded = iter(encode_paths(tokenizer, [path for _, paths in items for path in paths]))
    return [
        [
            TokenSample(
                prompt_ids=tuple(prompt),
                completion_ids=one.ids,
                step_index=one.step_index,
                reasoning_tokens=one.reasoning_tokens,
            )
            for one in islice(encoded, len(paths))
        ]
        for prompt, (_, paths) in zip(prompts, items, strict=True)
    ]
