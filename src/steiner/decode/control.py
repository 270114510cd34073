"""Step control: which tokens may come next, as a pure function of what was written and of the budget.

All it must know about a completion are a few small numbers (`Facts`), because the grammar's state follows
from the last control token. The decision is one look-up in a table made from the grammar, so a batch is
decided at once. The numbers come from a history read at once, or from a `History` folded on token by token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from steiner.core import InputError, StepBudget
from steiner.decode.history import (
    EOS_MARK,
    NOTHING_YET,
    UNLIMITED,
    Facts,
    History,
    IntArray,
    Limits,
    advance,
    fold,
    limit,
)
from steiner.decode.rules import STATES, Mode, Rest, Rule, all_rules, deciding, rule_table, situation
from steiner.decode.soft import Biases, biases
from steiner.protocol import ControlIds, ControlToken
from steiner.protocol.grammar import Other, least_reasoning_tokens

__all__ = [
    "EOS_MARK",
    "NOTHING_YET",
    "UNLIMITED",
    "AllowedSet",
    "Decision",
    "Facts",
    "History",
    "Limits",
    "Mode",
    "Rest",
    "Rulebook",
    "StepControl",
]


class AllowedSet(NamedTuple):
    """The tokens that may come next."""

    ids: frozenset[int]
    """Control tokens and the end of text, by name."""
    rest: Rest

    def allows(self, number: int, ids: ControlIds) -> bool:
        """Tell whether the token with id `number` may come next."""
        if self.rest is Rest.ALL or number in self.ids:
            return True
        return self.rest is Rest.TEXT and ids.is_text(number)


class Decision(NamedTuple):
    """What may come next, and what is added to the logits of some of it."""

    allowed: AllowedSet
    biases: Mapping[int, float]
    """Token id → addend, only where it is not 0. A token that is not allowed stays so."""


@dataclass(frozen=True)
class StepControl:
    """Decides what may come next for one tokenizer and mode."""

    ids: ControlIds
    mode: Mode = Mode.STRICT
    max_answer_tokens: int | None = None
    """Strict mode ends the answer after so many tokens, the end of text not counted."""

    def check(self, budget: StepBudget) -> None:
        """Make sure that a budget can be kept.

        Raises:
            InputError: if not even empty steps fit into the token limit.
        """
        least = least_reasoning_tokens(budget.min_steps)
        limit = budget.max_reasoning_tokens
        if self.mode is Mode.STRICT and limit is not None and limit < least:
            raise InputError(
                f"{budget.min_steps} steps need at least {least} reasoning tokens, but max_reasoning_tokens "
                f"is {limit}. Allow more tokens or ask for fewer steps."
            )

    def facts(self, history_ids: Sequence[int]) -> Facts:
        """Read the facts of one completion, as arrays of one row."""
        return Facts.of([self.fold(history_ids)])

    def fold(self, history_ids: Sequence[int], history: History | None = None) -> History:
        """Read tokens of a completion, from its beginning or on from a `history`."""
        return fold(history_ids, self.codes, history)

    def advance(self, history: History, number: int) -> History:
        """Return the history with one token more, in constant time."""
        return advance(history, self.codes.get(number, 0), number)

    def decide(self, facts: Facts, limits: Limits) -> IntArray:
        """Return, for each row, the index of its `AllowedSet` in `sets`."""
        table, _ = rule_table(self.mode)
        answer = np.minimum(limits.max_answer_tokens, limit(self.max_answer_tokens))
        index: IntArray = table[situation(facts, limits._replace(max_answer_tokens=answer), STATES)]
        return index

    def biases(self, facts: Facts, limits: Limits) -> Biases:
        """Return, for each row, the addends to the logits of END and BACKTRACK. Strict mode only has any."""
        return biases(facts, limits, deciding(facts, STATES) & (self.mode is Mode.STRICT))

    def decision(self, history: History | Sequence[int], budget: StepBudget) -> Decision:
        """Return what may follow a completion so far (without its prompt), and what is added to logits."""
        if not isinstance(history, History):
            history = self.fold(history)
        facts, limits = Facts.of([history]), Limits.of([budget])
        end, backtrack = self.biases(facts, limits)
        addends = {ControlToken.END: float(end[0]), ControlToken.BACKTRACK: float(backtrack[0])}
        return Decision(
            self.sets[int(self.decide(facts, limits)[0])],
            {self.ids[token]: addend for token, addend in addends.items() if addend},
        )

    def allowed(self, history_ids: Sequence[int], budget: StepBudget) -> AllowedSet:
        """Return what may follow a completion so far, given without its prompt."""
        return self.decision(self.fold(history_ids), budget).allowed

    @cached_property
    def codes(self) -> dict[int, int]:
        """Token id → code as in `Facts.mark`, for the control tokens and the end of text."""
        return {**{number: code for code, number in enumerate(self.ids.control, 1)}, self.ids.eos: EOS_MARK}

    @cached_property
    def sets(self) -> tuple[AllowedSet, ...]:
        """Every `AllowedSet` that this mode knows."""
        _, rules = rule_table(self.mode)
        return tuple(_with_ids(rule, self.ids) for rule in rules)


class Rulebook:
    """Step control of one tokenizer for batches in which each row has its own mode."""

    def __init__(self, ids: ControlIds) -> None:
        """Take the ids of a tokenizer."""
        self.ids = ids
        self.codes = StepControl(ids).codes
        self.table, rules = all_rules()
        """(mode, situation) → index of a set."""
        self.sets = tuple(_with_ids(rule, ids) for rule in rules)
        """Every `AllowedSet`; number 0 touches nothing."""

    def decide(self, facts: Facts, limits: Limits, modes: IntArray) -> IntArray:
        """Return, for each row, the index of its `AllowedSet` in `sets`; `modes` count as in `Mode`."""
        index: IntArray = self.table[(modes, *situation(facts, limits, STATES))]
        return index

    def biases(self, facts: Facts, limits: Limits, modes: IntArray) -> Biases:
        """Return, for each row, the addends to the logits of END and BACKTRACK."""
        return biases(facts, limits, deciding(facts, STATES) & (modes == list(Mode).index(Mode.STRICT)))


def _with_ids(rule: Rule, ids: ControlIds) -> AllowedSet:
    named = (ids.eos if s is Other.EOS else ids[ControlToken(s)] for s in rule.symbols)
    return AllowedSet(frozenset(named), rule.rest)
