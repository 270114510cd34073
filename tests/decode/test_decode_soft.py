"""Addends to END and BACKTRACK."""

import math

import pytest
from control_oracle import soft_ends
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_decode_history import step

from steiner.core import Ramp, SoftEnd, StepBudget
from steiner.decode import Mode, StepControl
from steiner.protocol import ControlToken

T = ControlToken


def after(ids, steps):
    history = [ids[T.START]]
    for number in range(steps):
        history += [ids[T.PROCEED]] * (number > 0) + step(ids, [65] * number)
    return history


def addend(ids, soft, steps):
    history = after(ids, steps)
    return StepControl(ids).decision(history, StepBudget(soft_end=soft)).biases.get(ids[T.END], 0.0)


def test_a_linear_schedule_by_hand(ids):
    soft = SoftEnd(start=-6, stop=2, steps=4)
    assert [addend(ids, soft, n) for n in (1, 2, 3, 4, 9)] == [-4, -2, 0, 2, 2]


def test_an_exponential_schedule_by_hand(ids):
    soft = SoftEnd(stop=10, steps=4, ramp=Ramp.EXPONENTIAL, sharpness=2)
    want = [10 * (math.exp(2 * n / 4) - 1) / (math.exp(2) - 1) for n in (1, 2, 3, 4)]
    assert [addend(ids, soft, n) for n in (1, 2, 3, 4)] == pytest.approx(want)
    assert want[1] < 5  # below the straight line


def test_tokens_use_the_budget_up_as_well(ids):
    soft = SoftEnd(stop=8, steps=100, tokens=2 * len(after(ids, 3)))
    assert addend(ids, soft, 3) == pytest.approx(4)


@settings(deadline=None)
@given(soft=soft_ends(), steps=st.integers(1, 12))
def test_the_addend_goes_from_start_to_stop_and_stays(ids, soft, steps):
    addends = [addend(ids, soft, n) for n in range(1, steps + 1)]
    assert all(min(soft.start, soft.stop) - 1e-9 <= a <= max(soft.start, soft.stop) + 1e-9 for a in addends)
    upwards = sorted(addends, reverse=soft.stop < soft.start)
    assert addends == pytest.approx(upwards)
    if steps >= soft.steps:
        assert addends[-1] == pytest.approx(soft.stop)


def test_backtracking_is_biased_where_a_move_is_decided_and_nowhere_else(ids):
    control, budget = StepControl(ids), StepBudget(backtrack_bias=-1.5, soft_end=SoftEnd(stop=3, steps=1))
    whole = after(ids, 2)
    decided = control.decision(whole, budget)
    assert decided.biases == {ids[T.BACKTRACK]: -1.5, ids[T.END]: 3.0}
    for length in range(len(whole)):
        if whole[length - 1] != ids[T.STEP_END] or not length:
            assert control.decision(whole[:length], budget).biases == {}


@pytest.mark.parametrize("mode", [Mode.REPORT, Mode.OFF])
def test_other_modes_add_nothing(ids, mode):
    budget = StepBudget(backtrack_bias=4, soft_end=SoftEnd(start=5, steps=3))
    assert StepControl(ids, mode).decision(after(ids, 2), budget).biases == {}


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValidationError, match="needs steps or tokens"):
        SoftEnd(stop=3)
    for value in (float("nan"), float("inf"), 101):
        with pytest.raises(ValidationError):
            StepBudget(backtrack_bias=value)
        with pytest.raises(ValidationError):
            SoftEnd(stop=value, steps=1)
