"""The one grammar of a completion, as a table.

    completion = START step { (PROCEED | BACKTRACK) step } END answer EOS
    step       = STEP_START  name  thought  summary  reflection  STEP_END

Rendering, parsing, validation and step control all read `TRANSITIONS`. Each control token leads to the same
state wherever it is allowed, so the state of a well-formed completion follows from the last control token in
it and whether text or the end came after. Step control and error recovery build on that (`AFTER`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple

from steiner.protocol.tokens import CONTROL_TOKENS, ControlToken

T = ControlToken


class Other(StrEnum):
    """A symbol that is no control token."""

    TEXT = "text"
    EOS = "end of text"


Symbol = ControlToken | Other


class State(IntEnum):
    """What has been written so far, as far as it matters for what may follow."""

    BEGIN = 0
    NEED_STEP = 1
    NEED_NAME = 2
    NAME = 3
    NEED_THOUGHT = 4
    THOUGHT = 5
    NEED_SUMMARY = 6
    SUMMARY = 7
    NEED_REFLECTION = 8
    REFLECTION = 9
    NEED_STEP_END = 10
    DECIDE = 11
    NEED_ANSWER = 12
    ANSWER = 13
    DONE = 14


TRANSITIONS: Mapping[State, Mapping[Symbol, State]] = {
    State.BEGIN: {T.START: State.NEED_STEP},
    State.NEED_STEP: {T.STEP_START: State.NEED_NAME},
    State.NEED_NAME: {T.NAME_START: State.NAME},
    State.NAME: {Other.TEXT: State.NAME, T.NAME_END: State.NEED_THOUGHT},
    State.NEED_THOUGHT: {T.THOUGHT_START: State.THOUGHT},
    State.THOUGHT: {Other.TEXT: State.THOUGHT, T.THOUGHT_END: State.NEED_SUMMARY},
    State.NEED_SUMMARY: {T.SUMMARY_START: State.SUMMARY},
    State.SUMMARY: {Other.TEXT: State.SUMMARY, T.SUMMARY_END: State.NEED_REFLECTION},
    State.NEED_REFLECTION: {T.REFLECTION_START: State.REFLECTION},
    State.REFLECTION: {Other.TEXT: State.REFLECTION, T.REFLECTION_END: State.NEED_STEP_END},
    State.NEED_STEP_END: {T.STEP_END: State.DECIDE},
    State.DECIDE: {T.PROCEED: State.NEED_STEP, T.BACKTRACK: State.NEED_STEP, T.END: State.NEED_ANSWER},
    State.NEED_ANSWER: {Other.TEXT: State.ANSWER},
    State.ANSWER: {Other.TEXT: State.ANSWER, Other.EOS: State.DONE},
    State.DONE: {},
}
"""State → symbols that may follow → state they lead to. TEXT is any text; an answer needs some."""


class FieldTokens(NamedTuple):
    """A field of a step: its attribute in `Step` and its delimiters."""

    name: str
    start: ControlToken
    end: ControlToken


FIELDS: tuple[FieldTokens, ...] = (
    FieldTokens("name", T.NAME_START, T.NAME_END),
    FieldTokens("thought", T.THOUGHT_START, T.THOUGHT_END),
    FieldTokens("summary", T.SUMMARY_START, T.SUMMARY_END),
    FieldTokens("reflection", T.REFLECTION_START, T.REFLECTION_END),
)
"""The fields of a step in the order in which they are written."""


def _after() -> dict[ControlToken, State]:
    after: dict[ControlToken, State] = {}
    for row in TRANSITIONS.values():
        for symbol, target in row.items():
            if isinstance(symbol, ControlToken) and after.setdefault(symbol, target) is not target:
                raise AssertionError(f"{symbol} leads to two states")
    return after


AFTER: Mapping[ControlToken, State] = _after()
"""State that a control token leads to, wherever it stands."""


def step_symbols() -> tuple[Symbol, ...]:
    """Return the symbols of one step, each field with text, read off the table."""
    symbols: list[Symbol] = []
    state = State.NEED_STEP
    while state is not State.DECIDE:
        row = TRANSITIONS[state]
        if Other.TEXT in row:
            symbols.append(Other.TEXT)
        (token,) = (symbol for symbol in row if symbol is not Other.TEXT)
        symbols.append(token)
        state = row[token]
    return tuple(symbols)


STEP_SYMBOLS: tuple[Symbol, ...] = step_symbols()
"""STEP_START, NAME_START, TEXT, NAME_END, …, STEP_END."""


def _tokens_to_end() -> dict[State, int]:
    """Breadth-first search backwards from the state after END."""
    distance = {State.NEED_ANSWER: 0, State.ANSWER: 0, State.DONE: 0}
    queue = deque([State.NEED_ANSWER])
    while queue:
        target = queue.popleft()
        for state, row in TRANSITIONS.items():
            if target in row.values() and state not in distance:
                distance[state] = distance[target] + 1
                queue.append(state)
    return distance


TOKENS_TO_END: Mapping[State, int] = _tokens_to_end()
"""Fewest tokens that close what is open and write END; 0 from END on."""

STEP_COST: int = TOKENS_TO_END[State.NEED_STEP]
"""Tokens that one more step costs at least, the move before it included."""

STEP_COMING: frozenset[State] = frozenset(s for s in State if TOKENS_TO_END[s] > TOKENS_TO_END[State.DECIDE])
"""States in which closing ends one more step than was ended so far."""


def least_reasoning_tokens(steps: int) -> int:
    """Return the fewest tokens from START to END, both included, of a completion with so many steps."""
    return 1 + steps * STEP_COST


def state_after(tokens: Iterable[ControlToken | None]) -> State:
    """Return the state of a completion, well-formed or not, from its last control token.

    Args:
        tokens: None stands for a token of text.
    """
    state = State.BEGIN
    for token in tokens:
        state = AFTER[token] if token else TRANSITIONS[state].get(Other.TEXT, state)
    return state


def closing_tokens(state: State) -> tuple[ControlToken, ...]:
    """Return the fewest control tokens that close what is open and write END; none from END on."""
    closing: list[ControlToken] = []
    while TOKENS_TO_END[state]:
        token = next(
            symbol
            for symbol, target in TRANSITIONS[state].items()
            if isinstance(symbol, ControlToken) and TOKENS_TO_END[target] == TOKENS_TO_END[state] - 1
        )
        closing.append(token)
        state = TRANSITIONS[state][token]
    return tuple(closing)


def accepts(symbols: Iterable[Symbol]) -> bool:
    """Tell whether the symbols, end of text included, are one whole completion."""
    state = State.BEGIN
    for symbol in symbols:
        following = TRANSITIONS[state].get(symbol)
        if following is None:
            return False
        state = following
    return state is State.DONE


def expected(state: State) -> str:
    """Say in words what may follow, for messages."""
    symbols = sorted(TRANSITIONS[state], key=lambda s: CONTROL_TOKENS.index(s) if isinstance(s, T) else -1)
    return " or ".join(symbols) or "nothing"
