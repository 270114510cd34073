"""Limits as a client of an engine writes them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError, Ramp, SoftEnd
from steiner.decode import Mode
from steiner.decode.request import ANSWER_ROOM, StepRequest, read_request
from steiner.decode.vllm_setup import validate
from steiner.protocol.grammar import least_reasoning_tokens


def test_plain_values_as_an_engine_passes_them_on():
    given = {"min_steps": "2", "max_steps": 8, "ban_repeats": 1, "soft_end": "-4,6,12,exponential"}
    request = read_request({**given, "of_another_plugin": 3})
    soft = SoftEnd(start=-4, stop=6, steps=12, ramp=Ramp.EXPONENTIAL)
    assert request == StepRequest(min_steps=2, max_steps=8, ban_repeats=True, soft_end=soft)


def test_what_is_not_said_is_the_servers_default():
    defaults = StepRequest(min_steps=3, max_answer_tokens=9)
    assert read_request(None, defaults) is defaults
    assert read_request({"max_steps": 4}, defaults) == StepRequest(
        min_steps=3, max_steps=4, max_answer_tokens=9
    )
    off = read_request({"control": "off"}, defaults)
    assert (off.control, off.max_answer_tokens) == (Mode.OFF, None)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"max_step": 3}, "did you mean 'max_steps'"),
        ({"max_reasoning_token": 3}, "did you mean 'max_reasoning_tokens'"),
        ({"min_steps": 5, "max_steps": 2}, "min_steps 5 is more than max_steps 2"),
        ({"min_steps": 9, "max_reasoning_tokens": 50}, "9 steps need at least 100 reasoning tokens"),
        ({"min_steps": "many"}, "'min_steps': Input should be a valid integer"),
        ({"min_steps": [1, 2]}, "'min_steps'"),
        ({"soft_end": "1,2"}, "START,STOP,STEPS"),
        ({"control": "loose"}, "'control'"),
        ({"control": "report", "ban_repeats": 1}, "ban_repeats need control 'strict'"),
    ],
)
def test_bad_values_are_named(given, complaint):
    with pytest.raises(InputError, match=complaint):
        read_request(given)
    params = SimpleNamespace(extra_args=given, max_tokens=None, min_tokens=0)
    with pytest.raises(ValueError, match=complaint):
        validate(params)


def test_a_servers_defaults_know_no_other_names():
    with pytest.raises(InputError, match="unknown argument 'of_another_plugin'"):
        read_request({"of_another_plugin": 3}, others=False)


@given(
    new=st.integers(1, 5000),
    steps=st.integers(1, 20),
    answer=st.none() | st.integers(1, 600),
    asked=st.none() | st.integers(16, 3000),
)
def test_reasoning_leaves_room_for_the_answer(new, steps, answer, asked):
    request = StepRequest(min_steps=steps, max_answer_tokens=answer, max_reasoning_tokens=asked)
    room = answer or min(ANSWER_ROOM, new // 4)
    least = max(least_reasoning_tokens(steps), 16)
    fits = new - room - 1 >= least
    if not fits and steps > 1:
        with pytest.raises(InputError, match="Allow more tokens or ask for fewer steps"):
            request.within(new)
        return
    limit = request.within(new).max_reasoning_tokens
    if fits:
        assert limit == min(new - room - 1, asked or new)
    else:
        assert limit == asked


def test_min_tokens_would_forbid_the_only_token_that_is_allowed():
    with pytest.raises(ValueError, match="use min_steps"):
        validate(SimpleNamespace(extra_args=None, max_tokens=None, min_tokens=5))
    validate(SimpleNamespace(extra_args={"control": "off"}, max_tokens=None, min_tokens=5))
