import random

import pytest
from control_oracle import budgets, report_allows, strict_allowed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steiner.core import InputError, StepBudget
from steiner.decode import AllowedSet, Mode, Rest, StepControl
from steiner.protocol import CONTROL_TOKENS, ControlToken
from steiner.protocol.grammar import Other, accepts

LOOSE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
T = ControlToken


@st.composite
def histories(draw, ids):
    """Half of them well-formed beginnings, half of them any tokens."""
    anything = st.one_of(st.sampled_from(ids.control), st.integers(0, ids.size - 1))
    if draw(st.booleans()):
        return draw(st.lists(anything, max_size=30))
    return random_walk(ids, draw(st.integers(0, 2**32)), draw(budgets()), draw(st.integers(0, 90)))


def random_walk(ids, seed, budget, length, max_answer_tokens=None):
    """Follow strict control for `length` tokens or to the end of text, at random."""
    rng = random.Random(seed)
    control = StepControl(ids, Mode.STRICT, max_answer_tokens)
    history = []
    while len(history) < length and history[-1:] != [ids.eos]:
        allowed = control.allowed(history, budget)
        text = [65] * (2 if allowed.rest is Rest.TEXT else 0)
        history.append(rng.choice([*sorted(allowed.ids), *text]))
    return history


@LOOSE
@given(data=st.data(), budget=budgets())
def test_report_mode_is_the_reports_three_rules(ids, data, budget):
    history = data.draw(histories(ids))
    allowed = StepControl(ids, Mode.REPORT).allowed(history, budget)
    everything = range(ids.size + 5)
    assert [n for n in everything if allowed.allows(n, ids)] == [
        n for n in everything if ids.eos in history or report_allows(ids, history, budget, n)
    ]


@LOOSE
@given(data=st.data(), budget=budgets(), answer=st.one_of(st.none(), st.integers(1, 3)))
def test_strict_mode_is_the_grammar_less_what_the_budget_forbids(ids, data, budget, answer):
    history = data.draw(histories(ids))
    if ids.eos in history:
        history = history[: history.index(ids.eos) + 1]
    allowed = StepControl(ids, Mode.STRICT, answer).allowed(history, budget)
    symbols = {ids.token(n) or Other.EOS for n in allowed.ids}
    symbols |= {Other.TEXT} if allowed.rest is Rest.TEXT else set()
    assert symbols == strict_allowed(ids, history, budget, answer)


@LOOSE
@given(seed=st.integers(0, 2**32), budget=budgets(), answer=st.integers(1, 4))
def test_whatever_is_drawn_the_result_is_whole_and_within_its_budget(ids, seed, budget, answer):
    limit = budget.max_reasoning_tokens
    control = StepControl(ids, Mode.STRICT, answer)
    history = random_walk(ids, seed, budget, 300, answer)
    if limit is None and history[-1] != ids.eos:
        return  # Without a limit nothing makes it end.
    symbols = [ids.token(n) or (Other.EOS if n == ids.eos else Other.TEXT) for n in history]
    assert accepts(symbols)
    end = symbols.index(T.END)
    steps = symbols.count(T.STEP_END)
    assert budget.min_steps <= steps <= (budget.max_steps or steps)
    assert limit is None or end + 1 <= limit
    assert 1 <= len(symbols) - end - 2 <= answer
    if budget.max_step_tokens is not None:
        begins = [place for place, symbol in enumerate(symbols) if symbol is T.STEP_START]
        ends = [place for place, symbol in enumerate(symbols) if symbol is T.STEP_END]
        assert all(b - a + 1 <= budget.max_step_tokens for a, b in zip(begins, ends, strict=True))
    if budget.ban_repeats:
        closes = [place for place, symbol in enumerate(symbols) if symbol is T.THOUGHT_END]
        opens = [place for place, symbol in enumerate(symbols) if symbol is T.THOUGHT_START]
        seen = set()
        for begin, close in zip(opens, closes, strict=True):
            thought = tuple(history[begin + 1 : close])
            forced = control.allowed(history[:close], budget).rest is Rest.NOTHING
            assert forced or thought not in seen  # only for want of room
            seen.add(thought)


@LOOSE
@given(data=st.data(), budget=budgets())
def test_off_mode_touches_nothing(ids, data, budget):
    history = data.draw(histories(ids))
    assert StepControl(ids, Mode.OFF).allowed(history, budget) == AllowedSet(frozenset(), Rest.ALL)


def test_a_field_takes_text_and_its_own_end_only(ids, tokenizer):
    history = [ids[T.START], ids[T.STEP_START], ids[T.NAME_START], 65]
    allowed = StepControl(ids).allowed(history, StepBudget())
    assert [t for t in CONTROL_TOKENS if allowed.allows(ids[t], ids)] == [T.NAME_END]
    assert allowed.allows(65, ids)
    refused = [ids.eos, ids.pad, tokenizer.convert_tokens_to_ids("<|im_start|>"), ids.size, ids.size + 3]
    assert not any(allowed.allows(number, ids) for number in refused)


def test_the_smallest_limit_leaves_empty_fields(ids):
    """Sixteen tokens, four more than one empty step needs."""
    control, budget = StepControl(ids, max_answer_tokens=2), StepBudget(max_reasoning_tokens=16)
    history = []
    while history[-1:] != [ids.eos]:
        allowed = control.allowed(history, budget)
        history.append(65 if allowed.rest is Rest.TEXT else min(allowed.ids))
    names = [ids.token(n) or n for n in history]
    assert names[:7] == [T.START, T.STEP_START, T.NAME_START, 65, 65, 65, 65]
    assert names.index(T.END) == 15
    assert names[16:] == [65, 65, ids.eos]


def test_limits_that_contradict_each_other_are_refused(ids):
    with pytest.raises(InputError, match="2 steps need at least 23 reasoning tokens"):
        StepControl(ids).check(StepBudget(min_steps=2, max_reasoning_tokens=22))
    StepControl(ids).check(StepBudget(min_steps=2, max_reasoning_tokens=23))
    StepControl(ids, Mode.REPORT).check(StepBudget(min_steps=2, max_reasoning_tokens=22))
