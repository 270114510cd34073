"""The plan of requests."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steiner.probe import ProbeSettings
from steiner.probe.prompts import make_plan

plans = st.builds(
    ProbeSettings,
    requests=st.integers(1, 80),
    warmup=st.integers(0, 4),
    repeats=st.integers(1, 4),
    shortest=st.integers(1, 50),
    longest=st.integers(51, 5000),
    prompts=st.sampled_from(["mixed", "prose", "puzzle"]),
    seed=st.integers(0, 9),
)


@given(plans)
def test_a_plan_is_what_the_settings_say(settings):
    asks = make_plan(settings)
    assert asks == make_plan(settings)
    assert [ask.number for ask in asks] == list(range(settings.warmup + settings.requests))
    assert [ask.warmup for ask in asks].count(True) == settings.warmup
    assert len({ask.prompt for ask in asks}) == len(asks), "none can come from a cache of replies"
    assert all(settings.shortest <= ask.target <= settings.longest for ask in asks)
    assert all(ask.max_tokens > ask.target for ask in asks)


def test_lengths_spread_over_two_decades_and_repeat():
    asks = [ask for ask in make_plan(ProbeSettings()) if not ask.warmup]
    targets = Counter(ask.target for ask in asks)
    assert math.log10(max(targets) / min(targets)) == pytest.approx(2)
    assert set(targets.values()) == {2}
    assert {ask.kind for ask in asks} == {"prose", "puzzle"}


def test_exact_lengths_are_cut_off():
    assert all(ask.max_tokens == ask.target for ask in make_plan(ProbeSettings(exact=True)))


def test_the_order_is_shuffled():
    targets = [ask.target for ask in make_plan(ProbeSettings()) if not ask.warmup]
    assert targets != sorted(targets)
    assert make_plan(ProbeSettings(seed=1)) != make_plan(ProbeSettings(seed=2))


def test_lengths_must_be_in_order():
    with pytest.raises(ValidationError, match="longest"):
        ProbeSettings(shortest=50, longest=50)
