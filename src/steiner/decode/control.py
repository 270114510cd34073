"""Step control: which tokens may come next, as a pure function of what was written and of the budget.

All it must know about a completion are a few small numbers (`Facts`), because the grammar's state follows
from the last control token. The decision is one look-up in a table made from the grammar, so a batch is
decided at once. The numbers come from a history read at once, or from a `History` folded on token by token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
from steiner.decode.soft import Biases, biases
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
    "StepControl",
]


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
        fresh = facts.trailing == 0
        state = _STATES[facts.mark, _int(~fresh)]
        enough = facts.steps >= limits.min_steps
        full = facts.steps >= limits.max_steps
        missing = np.maximum(limits.min_steps - facts.steps - _COMING[state], 0)
        slack = limits.max_reasoning_tokens - facts.length - _TO_END[state] - STEP_COST * missing
        in_step = limits.max_step_tokens - facts.in_step - _TO_STEP_END[state]
        slack = np.where(_IN_STEP[state], np.minimum(slack, in_step), slack)
        slack = np.where(state >= State.NEED_ANSWER, limit(self.max_answer_tokens) - facts.trailing, slack)
        room = (slack >= 1).astype(np.int64) + (slack >= STEP_COST)
        banned = facts.repeats & limits.ban_repeats
        table, _ = _table(self.mode)
        index: IntArray = table[facts.mark, _int(fresh), _int(enough), _int(full), room, banned]
        return index

    def biases(self, facts: Facts, limits: Limits) -> Biases:
        """Return, for each row, the addends to the logits of END and BACKTRACK. Strict mode only has any."""
        strict = self.mode is Mode.STRICT
        deciding = (_STATES[facts.mark, _int(facts.trailing > 0)] == State.DECIDE) & strict
        return biases(facts, limits, deciding)

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
    repeats: int
    """1 if repeats are banned and the open thought would be one."""


@cache
def _table(mode: Mode) -> tuple[IntArray, tuple[_Rule, ...]]:
    """Return situation → index of a rule, and the rules."""
    rule_of = {Mode.REPORT: _report_rule, Mode.STRICT: _strict_rule, Mode.OFF: _off_rule}[mode]
    shape = (EOS_MARK + 1, 2, 2, 2, 3, 2)
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
    if at.repeats and Other.TEXT in symbols:  # without room for text the thought is closed all the same
        symbols -= {ControlToken.THOUGHT_END}
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


def _int(flags: npt.NDArray[np.bool_]) -> IntArray:
    return flags.astype(np.int64)


def _states() -> IntArray:
    """Return mark, and whether text follows it → state; shape (16, 2)."""
    states = [State.BEGIN, *(AFTER[token] for token in CONTROL_TOKENS), State.DONE]
    with_text = [TRANSITIONS[state].get(Other.TEXT, state) for state in states]
    return np.array([states, with_text], dtype=np.int64).T


_STATES = _states()
_TO_END = np.array([TOKENS_TO_END[state] for state in State], dtype=np.int64)
_COMING = np.array([state in STEP_COMING for state in State], dtype=np.int64)
_IN_STEP = _COMING.astype(np.bool_) & (_TO_END < STEP_COST)
"""States between STEP_START and STEP_END."""
_TO_STEP_END = _TO_END - TOKENS_TO_END[State.DECIDE]
