"""The rules of step control as tables: from the situation of a row to what may follow.

Computed with numpy or torch (`xp`), one look-up for a whole batch and, where each row has a mode of its
own, for all modes at once.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from steiner.decode.history import EOS_MARK, NOTHING_YET, UNLIMITED, Facts, IntArray, Limits
from steiner.protocol import CONTROL_TOKENS, ControlToken
from steiner.protocol.grammar import (
    AFTER,
    STEP_COMING,
    STEP_COST,
    TOKENS_TO_END,
    TRANSITIONS,
    Other,
    State,
    Symbol,
)


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


class Rule(NamedTuple):
    """An `AllowedSet` before ids are known."""

    symbols: frozenset[Symbol]
    rest: Rest


class StateTables(NamedTuple):
    """What the rules must know of the grammar's states; arrays or tensors."""

    states: Any
    """Mark, and whether text follows it → state; shape (16, 2)."""
    to_end: Any
    """Fewest tokens from a state to after END; shape (states,), as all below."""
    coming: Any
    """1 where a step must still come."""
    in_step: Any
    """True between STEP_START and STEP_END."""
    to_step_end: Any
    """Fewest tokens from a state in a step to after STEP_END."""


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


_SHAPE = (EOS_MARK + 1, 2, 2, 2, 3, 2)
_UNTOUCHED = Rule(frozenset(), Rest.ALL)


def situation(facts: Facts, limits: Limits, at: StateTables, xp: Any = np) -> tuple[Any, ...]:
    """Return the place of each row in a table of the rules.

    Args:
        facts: what was written; arrays of shape (rows,).
        limits: what is asked for; the same.
        at: the tables of states, of the same kind as the arrays.
        xp: numpy or torch.
    """
    fresh = xp.where(facts.trailing == 0, 1, 0)
    state = at.states[facts.mark, 1 - fresh]
    enough = xp.where(facts.steps >= limits.min_steps, 1, 0)
    full = xp.where(facts.steps >= limits.max_steps, 1, 0)
    missing = (limits.min_steps - facts.steps - at.coming[state]).clip(0)
    slack = limits.max_reasoning_tokens - facts.length - at.to_end[state] - STEP_COST * missing
    in_step = limits.max_step_tokens - facts.in_step - at.to_step_end[state]
    slack = xp.where(at.in_step[state], xp.minimum(slack, in_step), slack)
    slack = xp.where(state >= int(State.NEED_ANSWER), limits.max_answer_tokens - facts.trailing, slack)
    room = xp.where(slack >= 1, 1, 0) + xp.where(slack >= STEP_COST, 1, 0)
    banned = xp.where((facts.repeats > 0) & (limits.ban_repeats > 0), 1, 0)
    return facts.mark, fresh, enough, full, room, banned


def deciding(facts: Facts, at: StateTables, xp: Any = np) -> Any:
    """Tell for each row whether PROCEED, BACKTRACK or END comes next."""
    return at.states[facts.mark, xp.where(facts.trailing > 0, 1, 0)] == int(State.DECIDE)


@cache
def rule_table(mode: Mode) -> tuple[IntArray, tuple[Rule, ...]]:
    """Return situation → index of a rule, and the rules."""
    rule_of = {Mode.REPORT: _report_rule, Mode.STRICT: _strict_rule, Mode.OFF: _off_rule}[mode]
    table = np.zeros(_SHAPE, dtype=np.int64)
    rules: dict[Rule, int] = {}
    for cell in product(*map(range, _SHAPE)):
        rule = rule_of(_Situation(*cell))
        table[cell] = rules.setdefault(rule, len(rules))
    return table, tuple(rules)


@cache
def all_rules() -> tuple[IntArray, tuple[Rule, ...]]:
    """Return (mode, situation) → index of a rule, and the rules. Modes count as in `Mode`.

    Rule 0 touches nothing.
    """
    rules: dict[Rule, int] = {_UNTOUCHED: 0}
    tables = []
    for mode in Mode:
        table, own = rule_table(mode)
        places = np.array([rules.setdefault(rule, len(rules)) for rule in own])
        tables.append(places[table])
    return np.stack(tables), tuple(rules)


def _off_rule(_: _Situation) -> Rule:
    return _UNTOUCHED


def _report_rule(at: _Situation) -> Rule:
    """The report's snippet, to the letter: https://huggingface.co/peakji/steiner-32b-preview."""
    t = ControlToken
    if at.mark == NOTHING_YET and at.fresh:
        return Rule(frozenset({t.START}), Rest.NOTHING)
    if at.mark in (NOTHING_YET, EOS_MARK) or not at.fresh:
        return _UNTOUCHED
    last = CONTROL_TOKENS[at.mark - 1]
    if last is t.STEP_END:
        if at.full:
            return Rule(frozenset({t.END}), Rest.NOTHING)
        moves: frozenset[Symbol] = frozenset({t.PROCEED, t.BACKTRACK})
        return Rule(moves | {t.END} if at.enough else moves, Rest.NOTHING)
    if last in (t.PROCEED, t.BACKTRACK):
        return Rule(frozenset({t.STEP_START}), Rest.NOTHING)
    return _UNTOUCHED


def _strict_rule(at: _Situation) -> Rule:
    """The grammar, less what the budget forbids."""
    state = State(STATES.states[at.mark, 1 - at.fresh])
    if state is State.DONE:
        return Rule(frozenset({Other.EOS}), Rest.NOTHING)
    spend = (0, 1, STEP_COST)[at.room]
    symbols = {s for s in TRANSITIONS[state] if _spends(state, s, at) <= spend}
    if at.repeats and Other.TEXT in symbols:  # without room for text the thought is closed all the same
        symbols -= {ControlToken.THOUGHT_END}
    return Rule(frozenset(symbols - {Other.TEXT}), Rest.TEXT if Other.TEXT in symbols else Rest.NOTHING)


def _spends(state: State, symbol: Symbol, at: _Situation) -> int:
    """Return the tokens that a symbol takes from the room, beyond what closing needs in any case.

    `UNLIMITED` says that the step limits bar it.
    """
    if state is State.DECIDE:
        if symbol is ControlToken.END:
            return 0 if at.enough else UNLIMITED
        return UNLIMITED if at.full else STEP_COST * at.enough
    return int(symbol is Other.TEXT and state is not State.NEED_ANSWER)


def _state_tables() -> StateTables:
    states = [State.BEGIN, *(AFTER[token] for token in CONTROL_TOKENS), State.DONE]
    with_text = [TRANSITIONS[state].get(Other.TEXT, state) for state in states]
    to_end = np.array([TOKENS_TO_END[state] for state in State], dtype=np.int64)
    coming = np.array([state in STEP_COMING for state in State], dtype=np.int64)
    return StateTables(
        states=np.array([states, with_text], dtype=np.int64).T,
        to_end=to_end,
        coming=coming,
        in_step=coming.astype(np.bool_) & (to_end < STEP_COST),
        to_step_end=to_end - TOKENS_TO_END[State.DECIDE],
    )


STATES = _state_tables()
