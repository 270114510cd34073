"""A completion back to a path. Never raises: what is broken becomes a list of violations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steiner.protocol.events import Parsed
from steiner.protocol.stream import StreamParser, TokenStreamParser
from steiner.protocol.tokens import ControlIds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def parse(text: str) -> Parsed:
    """Read a completion given as text, whose end stands for the end of text.

    `parse(render(path))` gives the steps, moves and answer of `path` back, whatever its text holds.
    """
    parser = StreamParser()
    parser.feed(text)
    parser.finish()
    return parser.parsed


def parse_ids(
    tokenizer: PreTrainedTokenizerBase, completion_ids: Sequence[int], ids: ControlIds | None = None
) -> Parsed:
    """Read a completion given as token ids; padding after the end of text is ignored.

    Gives back what `encode_path` was given as far as the tokenizer itself keeps text
    (Qwen2.5, for one, normalises Unicode to NFC).

    Args:
        tokenizer: turns ids into text.
        completion_ids: what follows the prompt.
        ids: the tokenizer's control ids, if they are at hand (saves reading them for every completion).

    Raises:
        InputError: if the tokenizer lacks control tokens, an end token or a pad token.
    """
    parser = TokenStreamParser(tokenizer, ids)
    parser.feed(completion_ids)
    parser.finish()
    return parser.parsed
