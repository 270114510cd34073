import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.protocol import CONTROL_TOKENS, ControlToken
from steiner.protocol.grammar import (
    AFTER,
    FIELDS,
    STEP_SYMBOLS,
    TOKENS_TO_END,
    TRANSITIONS,
    Other,
    State,
    accepts,
    closing_tokens,
    expected,
    least_reasoning_tokens,
    state_after,
)

T = ControlToken
STEP = [symbol for symbol in STEP_SYMBOLS if symbol is not Other.TEXT]


def test_a_step_is_written_as_the_report_says():
    assert STEP == [
        T.STEP_START, T.NAME_START, T.NAME_END, T.THOUGHT_START, T.THOUGHT_END,
        T.SUMMARY_START, T.SUMMARY_END, T.REFLECTION_START, T.REFLECTION_END, T.STEP_END,
    ]  # fmt: skip
    assert [field.name for field in FIELDS] == ["name", "thought", "summary", "reflection"]


@pytest.mark.parametrize(
    ("symbols", "good"),
    [
        ([T.START, *STEP, T.END, Other.TEXT, Other.EOS], True),
        ([T.START, *STEP_SYMBOLS, T.PROCEED, *STEP, T.BACKTRACK, *STEP, T.END, Other.TEXT, Other.EOS], True),
        ([T.START, *STEP, T.END, Other.EOS], False),
        ([T.START, *STEP, T.END, Other.TEXT], False),
        ([T.START, T.END, Other.TEXT, Other.EOS], False),
        ([T.START, *STEP, *STEP, T.END, Other.TEXT, Other.EOS], False),
        ([T.START, *STEP, T.PROCEED, T.END, Other.TEXT, Other.EOS], False),
        ([T.START, Other.TEXT, *STEP, T.END, Other.TEXT, Other.EOS], False),
        ([T.START, *STEP, T.END, Other.TEXT, T.START], False),
        ([T.START, *STEP, T.END, Other.TEXT, Other.EOS, Other.EOS], False),
        ([], False),
    ],
)
def test_completions_that_are_and_are_not_accepted(symbols, good):
    assert accepts(symbols) is good


def test_every_state_is_reached_and_leads_to_the_end():
    reached = {State.BEGIN} | {target for row in TRANSITIONS.values() for target in row.values()}
    assert reached == set(State) == set(TRANSITIONS)
    assert set(TOKENS_TO_END) == set(State)
    assert set(AFTER) == set(CONTROL_TOKENS)


@given(st.lists(st.sampled_from([*CONTROL_TOKENS, Other.TEXT]), max_size=40))
def test_the_last_control_token_gives_the_state_of_whatever_the_table_accepts(symbols):
    state, accepted = State.BEGIN, []
    for symbol in symbols:
        if symbol in TRANSITIONS[state]:
            state = TRANSITIONS[state][symbol]
            accepted.append(symbol)
    tokens = [None if symbol is Other.TEXT else symbol for symbol in accepted]
    assert state_after(tokens) is state


@pytest.mark.parametrize("state", [s for s in State if s < State.NEED_ANSWER])
def test_closing_is_shortest_and_legal(state):
    closing = closing_tokens(state)
    assert len(closing) == TOKENS_TO_END[state]
    for token in closing:
        state = TRANSITIONS[state][token]
    assert state is State.NEED_ANSWER


def test_least_reasoning_tokens_counts_what_empty_steps_need():
    for steps in (1, 2, 5):
        written = [T.START, *itertools.chain(*([*STEP, T.PROCEED] for _ in range(steps)))]
        written[-1] = T.END
        assert accepts([*written, Other.TEXT, Other.EOS])
        assert least_reasoning_tokens(steps) == len(written)


def test_messages_name_what_may_follow():
    assert expected(State.DECIDE) == f"{T.END} or {T.PROCEED} or {T.BACKTRACK}"
    assert expected(State.DONE) == "nothing"
