"""Requests that an engine is writing: one history each, folded on by what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from steiner.decode.control import Rulebook
from steiner.decode.history import Facts, History, IntArray, Limits, advance, limit_row
from steiner.decode.request import StepRequest
from steiner.decode.rules import Mode
from steiner.decode.soft import Biases

MODES = {mode: place for place, mode in enumerate(Mode)}
"""Numbers of the modes in the tables of the rules."""


class Live:
    """One request. Belongs to the request, not to a row of a batch."""

    __slots__ = ("_last", "history", "limits", "mode")

    def __init__(self, request: StepRequest) -> None:
        """Stand before the first token."""
        self.history = History()
        self.limits = limit_row(request, request.max_answer_tokens)
        self.mode = MODES[request.control]
        self._last = -1

    def follow(self, tokens: Sequence[int], book: Rulebook) -> None:
        """Read the tokens that are new; all of them where the engine took some back.

        Args:
            tokens: the completion so far. Negative numbers at its end stand for tokens not known yet.
            book: knows the control tokens.

        Raises:
            RuntimeError: if more than the last token is not known.
        """
        known = self.history.length
        if known and (len(tokens) < known or tokens[known - 1] != self._last):
            self.history, known = History(), 0
        for place in range(known, len(tokens)):
            number = tokens[place]
            if number < 0:
                if len(tokens) - place > 1:
                    raise RuntimeError(
                        "the engine does not tell its logits processors which tokens it has drawn; start "
                        "vLLM with --no-async-scheduling, or name the processor by --logits-processors"
                    )
                return
            self.history = advance(self.history, book.codes.get(number, 0), number)
            self._last = number


class Verdict(NamedTuple):
    """What may come next in each row of a batch; arrays of shape (rows,)."""

    chosen: IntArray
    """Index into the sets of the rulebook."""
    biases: Biases | None
    """None where no row asks for any."""


class Asked(NamedTuple):
    """The limits of a batch."""

    limits: Limits
    modes: IntArray
    biased: bool

    @classmethod
    def of(cls, batch: Sequence[Live]) -> Asked:
        """Collect those of live requests."""
        limits = Limits.of_rows([one.limits for one in batch])
        return cls(limits, np.array([one.mode for one in batch], dtype=np.int64), limits.biased)

    def judge(self, batch: Sequence[Live], book: Rulebook) -> Verdict:
        """Decide for the same requests, by what they have written by now."""
        facts = Facts.of([one.history for one in batch])
        chosen = book.decide(facts, self.limits, self.modes)
        return Verdict(chosen, book.biases(facts, self.limits, self.modes) if self.biased else None)
