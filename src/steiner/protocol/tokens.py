"""The 14 control tokens of the Steiner report and their ids in a tokenizer.

Ids are always read from the tokenizer. On Qwen2.5, whose own ids end at 151,664, the report's ids
151,665 to 151,678 come out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from steiner.core import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKUP = frozenset("<>[]{}|")
"""An added token with one of these is a delimiter to us, even if its tokenizer does not call it special."""


class ControlToken(StrEnum):
    """A delimiter of the protocol, in the order of its id."""

    START = "<|reasoning_start|>"
    END = "<|reasoning_end|>"
    PROCEED = "<|reasoning_proceed|>"
    BACKTRACK = "<|reasoning_backtrack|>"
    STEP_START = "<|reasoning_step_start|>"
    STEP_END = "<|reasoning_step_end|>"
    NAME_START = "<|reasoning_step_name_start|>"
    NAME_END = "<|reasoning_step_name_end|>"
    THOUGHT_START = "<|reasoning_step_thought_start|>"
    THOUGHT_END = "<|reasoning_step_thought_end|>"
    SUMMARY_START = "<|reasoning_step_summary_start|>"
    SUMMARY_END = "<|reasoning_step_summary_end|>"
    REFLECTION_START = "<|reasoning_step_reflection_start|>"
    REFLECTION_END = "<|reasoning_step_reflection_end|>"


CONTROL_TOKENS: tuple[ControlToken, ...] = tuple(ControlToken)
"""All 14, in id order."""


def add_control_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """Append the control tokens that `tokenizer` lacks, as special tokens, in id order.

    Calling it again changes nothing. A model whose embedding matrix is smaller than `len(tokenizer)`
    afterwards has to be resized (`check_vocabulary` tells).

    Returns:
        How many tokens were added.
    """
    known = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    wanted = [str(token) for token in CONTROL_TOKENS if token not in known or token not in special]
    if not wanted:
        return 0
    size = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": wanted}, replace_extra_special_tokens=False)
    return len(tokenizer) - size


@dataclass(frozen=True)
class ControlIds:
    """What step control and parsing must know about a tokenizer, as plain numbers."""

    control: tuple[int, ...]
    """Ids of the control tokens, parallel to `CONTROL_TOKENS`."""
    eos: int
    pad: int
    """May be equal to `eos`."""
    special: frozenset[int]
    """Every other id that is a delimiter of the tokenizer and no text: its special tokens, `eos` and `pad`
    included, and its added tokens with markup such as `<tool_call>`."""
    size: int
    """Ids from here on belong to no token of the tokenizer (spare rows of a model's embedding matrix)."""
    _tokens: dict[int, ControlToken] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tokens", dict(zip(self.control, CONTROL_TOKENS, strict=True)))

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase) -> ControlIds:
        """Read the ids from a tokenizer.

        Raises:
            InputError: if it lacks control tokens, an end token or a pad token.
        """
        specials = special_ids(tokenizer)
        ids = tokenizer.convert_tokens_to_ids([str(token) for token in CONTROL_TOKENS])
        missing = [
            str(token)
            for token, number in zip(CONTROL_TOKENS, ids, strict=True)
            if number is None or tokenizer.convert_ids_to_tokens(number) != token
        ]
        if missing:
            raise InputError(
                f"the tokenizer '{tokenizer.name_or_path}' lacks {len(missing)} of the {len(ids)} control "
                f"tokens (first: {missing[0]}). `steiner train` adds them; in Python call "
                "steiner.protocol.add_control_tokens(tokenizer) and resize the model's embeddings."
            )
        for name in ("eos", "pad"):
            if getattr(tokenizer, f"{name}_token_id") is None:
                raise InputError(
                    f"the tokenizer '{tokenizer.name_or_path}' has no {name} token. Set "
                    f"tokenizer.{name}_token to a token of its vocabulary and save it."
                )
        return cls(
            control=tuple(int(number) for number in ids),
            eos=int(tokenizer.eos_token_id),
            pad=int(tokenizer.pad_token_id),
            special=specials - set(ids),
            size=max(len(tokenizer), *(1 + number for number in (*ids, *specials))),
        )

    def __getitem__(self, token: ControlToken) -> int:
        """Return the id of a control token."""
        return self.control[CONTROL_TOKENS.index(token)]

    def token(self, number: int) -> ControlToken | None:
        """Return the control token with this id, None for any other id."""
        return self._tokens.get(number)

    def is_text(self, number: int) -> bool:
        """Tell whether an id is ordinary text: no control or special token and known to the tokenizer."""
        return 0 <= number < self.size and number not in self._tokens and number not in self.special


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids that text must never turn into: special tokens and added tokens with markup.

    The unknown token is none of them, for text does turn into it, unless it is the end or pad token too.
    """
    special = set(tokenizer.all_special_ids)
    special.update(n for n, added in tokenizer.added_tokens_decoder.items() if is_delimiter(added))
    if tokenizer.unk_token_id not in (tokenizer.eos_token_id, tokenizer.pad_token_id):
        special.discard(tokenizer.unk_token_id)
    return frozenset(special)


def is_delimiter(added: object) -> bool:
    """Tell whether an `AddedToken` is a delimiter rather than a word or a run of blanks."""
    return bool(getattr(added, "special", False)) or not MARKUP.isdisjoint(
        str(getattr(added, "content", added))
    )


def check_vocabulary(ids: ControlIds | Iterable[int], rows: int) -> None:
    """Make sure that a model has an embedding row for each id.

    Args:
        ids: the ids that will be used.
        rows: rows of the model's embedding matrix.

    Raises:
        InputError: if an id is not below `rows`.
    """
    numbers = (*ids.control, ids.eos, ids.pad) if isinstance(ids, ControlIds) else tuple(ids)
    largest = max(numbers, default=-1)
    if largest >= rows:
        raise InputError(
            f"the model's vocabulary is too small: {rows:,} rows, and the tokenizer uses id {largest:,}. "
            "`steiner train` resizes it; in Python call model.resize_token_embeddings(len(tokenizer)). "
            "If the model was trained before, it does not belong to this tokenizer."
        )
