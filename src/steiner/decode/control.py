"""Step control: which tokens may come next, as a pure function of what was written and of the budget.

All it must know about a completion are four small numbers (`Facts`), because the grammar's state follows from
the last control token. The decision is one look-up in a table made from the grammar, so a batch is decided at
once and no state is kept between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from steiner.core import InputError, StepBudget
from steiner.protocol import CONTROL_TOKENS, ControlIds, ControlToken
from steiner.protocol.grammar import (
    AFTER,
    STEP_COMING,
    STEP_COST,
    TOKENS_TO_END,
    TRANSITIONS,
    Other,
    State,
    Symbol,
    least_reasoning_tokens,
)

IntArray = npt.NDArray[np.int64]

NOTHING_YET, EOS_MARK = 0, len(CONTROL_TOKENS) + 1
"""Codes of `Facts.mark` beside 1 to 14, the control tokens in id order."""
UNLIMITED = 2**40
"""Stands for «no limit» in integer arrays."""


class Mode(StrEnum):
    """How strictly the next token is controlled."""

    REPORT = "report"
    """The rules of the Steiner report: START first, a decision after each step, STEP_START after a move."""
    STRICT = "strict"
    """The whole grammar, the token budget and a nonempty answer."""
    OFF = "off"
    """Nothing is touched."""


class Rest(Enum):
    """What is allowed beside the tokens that an `AllowedSet` names."""

    NOTHING = "nothing"
    TEXT = "text"
    """Ordinary text: no control token, no special token, no id without a token."""
    ALL = "all"


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


class Facts(NamedTuple):
    """What step control knows about completions; each array has shape (rows,)."""

    mark: IntArray
    """Last control token or end of text: 0 none yet, 1 to 14 in id order, 15 end of text."""
    trailing: IntArray
    """Tokens after the mark (all tokens where there is none)."""
    steps: IntArray
    """STEP_END tokens so far."""
    length: IntArray
    """Tokens so far."""


class Limits(NamedTuple):
    """Budgets as arrays of shape (rows,); `UNLIMITED` where a budget has no limit."""

    min_steps: IntArray
    max_steps: IntArray
    max_reasoning_tokens: IntArray

    @classmethod
    def of(cls, budgets: Sequence[StepBudget]) -> Limits:
        """Collect the limits of one budget per row."""
        return cls(
            np.array([b.min_steps for b in budgets], dtype=np.int64),
            np.array([_limit(b.max_steps) for b in budgets], dtype=np.int64),
            np.array([_limit(b.max_reasoning_tokens) for b in budgets], dtype=np.int64),
        )


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
        codes = [self.codes.get(number, 0) for number in history_ids]
        last = max((place for place, code in enumerate(codes) if code), default=-1)
        values = (
            codes[last] if codes and last >= 0 else NOTHING_YET,
            len(codes) - 1 - last,
            codes.count(1 + CONTROL_TOKENS.index(ControlToken.STEP_END)),
            len(codes),
        )
        return Facts(*(np.array([value], dtype=np.int64) for value in values))

    def decide(self, facts: Facts, limits: Limits) -> IntArray:
        """Return, for each row, the index of its `AllowedSet` in `sets`."""
        state = _STATES[facts.mark, np.minimum(facts.trailing, 1)]
        enough = facts.steps >= limits.min_steps
        full = facts.steps >= limits.max_steps
        missing = np.maximum(limits.min_steps - facts.steps - _COMING[state], 0)
        slack = limits.max_reasoning_tokens - facts.length - _TO_END[state] - STEP_COST * missing
        slack = np.where(state >= State.NEED_ANSWER, _limit(self.max_answer_tokens) - facts.trailing, slack)
        room = (slack >= 1).astype(np.int64) + (slack >= STEP_COST)
        fresh = (facts.trailing == 0).astype(np.int64)
        table, _ = _table(self.mode)
        index: IntArray = table[facts.mark, fresh, enough.astype(np.int64), full.astype(np.int64), room]
        return index

    def allowed(self, history_ids: Sequence[int], budget: StepBudget) -> AllowedSet:
        """Return what may follow a completion so far, given without its prompt."""
        return self.sets[int(self.decide(self.facts(history_ids), Limits.of([budget]))[0])]

    @cached_property
    def codes(self) -> dict[int, int]:
        """Token id → code as in `Facts.mark`, for the control tokens and the end of text."""
        return {**{number: code for code, number in enumerate(self.ids.control, 1)}, self.ids.eos: EOS_MARK}

    @cached_property
    def sets(self) -> tuple[AllowedSet, ...]:
        """Every `AllowedSet` that this mode knows."""
        _, rules = _table(self.mode)
        return tuple(
            AllowedSet(
                frozenset(
                    self.ids.eos if s is Other.EOS else self.ids[ControlToken(s)] for s in rule.symbols
                ),
                rule.rest,
            )
            for rule in rules
        )


class _Rule(NamedTuple):
    """An `AllowedSet` before ids are known."""

    symbols: frozenset[Symbol]
    rest: Rest


_UNTOUCHED = _Rule(frozenset(), Rest.ALL)


class _Situation(NamedTuple):
    """One cell of a table."""

    mark: int
    fresh: int
    """1 if nothing follows the mark."""
    enough: int
    """1 if min_steps are reached."""
    full: int
    """1 if max_steps are reached."""
    room: int
    """Tokens that may still be spent: 0 none, 1 at least one, 2 at least a whole step."""


@cache
def _table(mode: Mode) -> tuple[IntArray, tuple[_Rule, ...]]:
    """Return situation → index of a rule, and the rules."""
    rule_of = {Mode.REPORT: _report_rule, Mode.STRICT: _strict_rule, Mode.OFF: _off_rule}[mode]
    shape = (EOS_MARK + 1, 2, 2, 2, 3)
    table = np.zeros(shape, dtype=np.int64)
    rules: dict[_Rule, int] = {}
    for cell in product(*map(range, shape)):
        rule = rule_of(_Situation(*cell))
        table[cell] = rules.setdefault(rule, len(rules))
    return table, tuple(rules)


def _off_rule(_: _Situation) -> _Rule:
    return _UNTOUCHED


def _report_rule(at: _Situation) -> _Rule:
    """The report's snippet, to the letter: https://huggingface.co/peakji/steiner-32b-preview."""
    t = ControlToken
    if at.mark == NOTHING_YET and at.fresh:
        return _Rule(frozenset({t.START}), Rest.NOTHING)
    if at.mark in (NOTHING_YET, EOS_MARK) or not at.fresh:
        return _UNTOUCHED
    last = CONTROL_TOKENS[at.mark - 1]
    if last is t.STEP_END:
        if at.full:
            return _Rule(frozenset({t.END}), Rest.NOTHING)
        moves: frozenset[Symbol] = frozenset({t.PROCEED, t.BACKTRACK})
        return _Rule(moves | {t.END} if at.enough else moves, Rest.NOTHING)
    if last in (t.PROCEED, t.BACKTRACK):
        return _Rule(frozenset({t.STEP_START}), Rest.NOTHING)
    return _UNTOUCHED


def _strict_rule(at: _Situation) -> _Rule:
    """The grammar, less what the budget forbids."""
    state = State(_STATES[at.mark, 1 - at.fresh])
    if state is State.DONE:
        return _Rule(frozenset({Other.EOS}), Rest.NOTHING)
    spend = (0, 1, STEP_COST)[at.room]
    symbols = {s for s in TRANSITIONS[state] if _spends(state, s, at) <= spend}
    return _Rule(frozenset(symbols - {Other.TEXT}), Rest.TEXT if Other.TEXT in symbols else Rest.NOTHING)


def _spends(state: State, symbol: Symbol, at: _Situation) -> int:
    """Return the tokens that a symbol takes from the room, beyond what closing needs in any case.

    `UNLIMITED` says that the step limits bar it.
    """
    if state is State.DECIDE:
        if symbol is ControlToken.END:
            return 0 if at.enough else UNLIMITED
        return UNLIMITED if at.full else STEP_COST * at.enough
    return int(symbol is Other.TEXT and state is not State.NEED_ANSWER)


def _limit(value: int | None) -> int:
    return UNLIMITED if value is None else value


def _states() -> IntArray:
    """Return mark, and whether text follows it → state; shape (16, 2)."""
    states = [State.BEGIN, *(AFTER[token] for token in CONTROL_TOKENS), State.DONE]
    with_text = [TRANSITIONS[state].get(Other.TEXT, state) for state in states]
    return np.array([states, with_text], dtype=np.int64).T


_STATES = _states()
_TO_END = np.array([TOKENS_TO_END[state] for state in State], dtype=np.int64)
_COMING = np.array([state in STEP_COMING for state in State], dtype=np.int64)
