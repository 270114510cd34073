"""One completion in a running batch, and step control over many."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from steiner.decode.columns import Columns
from steiner.decode.control import Rulebook
from steiner.decode.history import advance
from steiner.decode.live import Asked, Live
from steiner.protocol import ControlIds
from steiner.serve.engines.base import Finish, Generation, TokenLogprob


@dataclass(eq=False)
class Row:
    """A completion that is being written."""

    generation: Generation
    tokens: list[int]
    """Prompt and completion."""
    random: random.Random
    live: Live
    fed: int = 0
    """Tokens whose keys and values are in the cache."""
    cached_tokens: int = 0
    """Tokens of the prompt that were taken from an earlier conversation."""
    prefix_key: int | None = None
    """The earlier conversation."""
    fresh_ids: list[int] = field(default_factory=list)
    """Written and not handed on yet."""
    fresh_logprobs: list[TokenLogprob] = field(default_factory=list)
    started: bool = False
    """Whether anything was handed on."""
    cancelled: bool = False
    """Set from outside; the row leaves before the next token."""
    finish: Finish | None = None

    @classmethod
    def of(cls, generation: Generation) -> Row:
        """Begin a completion. Without a seed its numbers come from the system."""
        generator = random.Random(generation.seed)
        return cls(generation, list(generation.prompt), generator, Live(generation.steps))

    @property
    def written(self) -> int:
        """Tokens of the completion so far."""
        return len(self.tokens) - len(self.generation.prompt)

    @property
    def longest(self) -> int:
        """Most tokens that it can come to, prompt included."""
        return len(self.generation.prompt) + self.generation.max_tokens


class RowControl:
    """Lets only allowed tokens through, for rows with any mix of modes and limits."""

    def __init__(self, ids: ControlIds) -> None:
        self._book = Rulebook(ids)
        self._columns: Columns | None = None
        self._known: tuple[list[Live], Asked] | None = None

    def apply(self, scores: Tensor, rows: Sequence[Row]) -> None:
        """Set what may not come to minus infinity and add biases, in place. Shape (rows, vocabulary)."""
        if self._columns is None or not self._columns.fits(scores):
            self._columns = Columns(self._book.ids, self._book.sets, scores)
        batch = [row.live for row in rows]
        # The limits are collected anew only where rows came or left.
        if self._known is None or self._known[0] != batch:
            self._known = (batch, Asked.of(batch))
        verdict = self._known[1].judge(batch, self._book)
        self._columns.apply(scores, verdict.chosen)
        if verdict.biases is not None:
            self._columns.add(scores, verdict.biases)

    def advance(self, row: Row, number: int) -> None:
        """Take a token that was drawn into a row."""
        row.tokens.append(number)
        row.live.history = advance(row.live.history, self._book.codes.get(number, 0), number)
        row.fresh_ids.append(number)
        if number == self._book.ids.eos:
            row.finish = Finish.STOP
        elif row.written >= row.generation.max_tokens:
            row.finish = Finish.LENGTH
