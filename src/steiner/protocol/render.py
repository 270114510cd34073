"""A reasoning path as text and as token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import Move, ReasoningPath, Step
from steiner.core.sample import NO_STEP
from steiner.protocol.encode import TextEncoder
from steiner.protocol.escape import escape
from steiner.protocol.grammar import FIELDS, STEP_SYMBOLS
from steiner.protocol.tokens import ControlIds, ControlToken

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOVE_TOKENS = {Move.PROCEED: ControlToken.PROCEED, Move.BACKTRACK: ControlToken.BACKTRACK}


class EncodedPath(NamedTuple):
    """A completion as token ids, from START to the end of text."""

    ids: tuple[int, ...]
    step_index: tuple[int, ...]
    """Parallel to `ids`: the step a token belongs to, its delimiters included; `NO_STEP` outside of steps."""
    reasoning_tokens: int
    """Tokens from START to END, both included."""


def render(path: ReasoningPath) -> str:
    """Return the completion as text, without the end of text. Look-alikes in the fields are escaped."""
    parts: list[str] = [ControlToken.START]
    for index, step in enumerate(path.steps):
        if index:
            parts.append(MOVE_TOKENS[path.moves[index - 1]])
        texts = iter(_fields(step))
        parts += (
            symbol if isinstance(symbol, ControlToken) else escape(next(texts)) for symbol in STEP_SYMBOLS
        )
    return "".join([*parts, ControlToken.END, escape(path.answer)])


def encode_path(tokenizer: PreTrainedTokenizerBase, path: ReasoningPath) -> EncodedPath:
    """Return the completion as token ids; see `encode_paths`."""
    return encode_paths(tokenizer, [path])[0]


def encode_paths(tokenizer: PreTrainedTokenizerBase, paths: Sequence[ReasoningPath]) -> list[EncodedPath]:
    """Return completions as token ids.

    Each field is encoded by itself as plain text, so that no text can become or merge with a delimiter.

    Raises:
        InputError: if the tokenizer lacks control tokens, an end token or a pad token.
    """
    ids = ControlIds.from_tokenizer(tokenizer)
    texts = [escape(text) for path in paths for text in _texts(path)]
    rows = iter(TextEncoder(tokenizer).encode(texts))
    skeleton = tuple(ids[symbol] if isinstance(symbol, ControlToken) else None for symbol in STEP_SYMBOLS)
    moves = {move: ids[token] for move, token in MOVE_TOKENS.items()}
    return [_assemble(path, rows, skeleton, moves, ids) for path in paths]


def _assemble(
    path: ReasoningPath,
    rows: Iterator[list[int]],
    skeleton: tuple[int | None, ...],
    moves: dict[Move, int],
    ids: ControlIds,
) -> EncodedPath:
    """Splice encoded fields, taken from `rows` in reading order, between control tokens."""
    tokens = [ids[ControlToken.START]]
    steps = [NO_STEP]
    for index in range(len(path.steps)):
        if index:
            tokens.append(moves[path.moves[index - 1]])
            steps.append(NO_STEP)
        begin = len(tokens)
        for number in skeleton:
            if number is None:
                tokens += next(rows)
            else:
                tokens.append(number)
        steps += [index] * (len(tokens) - begin)
    tokens.append(ids[ControlToken.END])
    reasoning_tokens = len(tokens)
    tokens += next(rows)
    tokens.append(ids.eos)
    steps += [NO_STEP] * (len(tokens) - len(steps))
    return EncodedPath(tuple(tokens), tuple(steps), reasoning_tokens)


def _fields(step: Step) -> tuple[str, ...]:
    return tuple(getattr(step, field.name) for field in FIELDS)


def _texts(path: ReasoningPath) -> Iterator[str]:
    """Yield all texts of a path in reading order: the fields of each step, then the answer."""
    for step in path.steps:
        yield from _fields(step)
    yield path.answer
