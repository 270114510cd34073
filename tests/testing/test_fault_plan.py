"""Which fault hits: a function of seed, body and count."""

from __future__ import annotations

import statistics
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steiner.testing import CONTENT_FAULTS, Fault, FaultPlan, Faults


def bodies(count: int) -> list[bytes]:
    return [index.to_bytes(8, "big") for index in range(count)]


@given(st.integers(), st.binary(min_size=1, max_size=32), st.integers(0, 2**31))
def test_a_fate_depends_on_nothing_else(seed, body, seen):
    faults = Faults.everything(0.9, latency="lognormal", latency_s=1.0)
    assert FaultPlan(faults, seed).fate(body, seen) == FaultPlan(faults, seed).fate(body, seen)


@given(st.integers(), st.binary(min_size=1, max_size=32), st.integers(0, 5))
def test_a_body_meets_at_most_so_many_faults(seed, body, most):
    plan = FaultPlan(Faults.transport(1.0, max_faults_per_request=most), seed)
    hits = [plan.fate(body, seen).fault is not None for seen in range(8)]
    assert hits == [seen < most for seen in range(8)]


def test_seeds_and_counts_have_draws_of_their_own():
    def pattern(seed: int, seen: int) -> list[Fault | None]:
        plan = FaultPlan(Faults.everything(0.5), seed)
        return [plan.fate(body, seen).fault for body in bodies(50)]

    assert len({tuple(pattern(seed, seen)) for seed in (0, 1) for seen in (0, 1)}) == 4


def test_rates_are_met():
    faults = Faults(rate_limit=0.3, drop_inside=0.1, refusal=0.05)
    plan = FaultPlan(faults, 7)
    met = Counter(plan.fate(body, 0).fault for body in bodies(20_000))
    assert met.keys() == {None, Fault.RATE_LIMIT, Fault.DROP_INSIDE, Fault.REFUSAL}
    for fault, rate in ((Fault.RATE_LIMIT, 0.3), (Fault.DROP_INSIDE, 0.1), (Fault.REFUSAL, 0.05)):
        # Five standard deviations of a binomial count.
        assert abs(met[fault] - 20_000 * rate) < 5 * (20_000 * rate * (1 - rate)) ** 0.5


def test_every_fault_has_a_rate():
    assert Faults().rates == dict.fromkeys(Fault, 0.0)


def test_presets_share_the_rate():
    transport, everything = Faults.transport(0.3), Faults.everything(0.3)
    assert sum(transport.rates.values()) == pytest.approx(0.3)
    assert sum(everything.rates.values()) == pytest.approx(0.3)
    assert {fault for fault, rate in transport.rates.items() if not rate} == CONTENT_FAULTS
    assert all(everything.rates.values())


def test_a_preset_takes_other_settings():
    faults = Faults.transport(0.1, drip_s=0.5, html=0.0)
    assert (faults.drip_s, faults.html) == (0.5, 0.0)
    assert Faults.only("html", 0.25) == Faults(html=0.25)


def test_rates_beyond_one_are_refused():
    with pytest.raises(ValidationError, match=r"add up to 1\.2;"):
        Faults(html=0.6, drip=0.6)


def test_a_storm_longer_than_its_stretch_is_refused():
    with pytest.raises(ValidationError, match="does not fit"):
        Faults(storm_every_s=1.0, storm_s=2.0)


@given(st.integers(), st.integers(0, 1_000))
def test_each_stretch_has_one_storm_of_the_asked_length(seed, stretch):
    plan = FaultPlan(Faults(storm_every_s=10.0, storm_s=2.0), seed)
    stormy = [plan.in_storm(stretch * 10 + tick / 100) for tick in range(1_000)]
    assert abs(sum(stormy) - 200) <= 1
    changes = sum(a != b for a, b in pairwise(stormy))
    assert changes <= 2


def test_lognormal_latencies_have_the_median_and_spread_asked_for():
    plan = FaultPlan(Faults(latency="lognormal", latency_s=0.2, latency_sigma=0.5), 3)
    drawn = sorted(plan.fate(body, 0).latency_s for body in bodies(4_000))
    assert statistics.median(drawn) == pytest.approx(0.2, rel=0.05)
    # One standard deviation above the median.
    assert drawn[int(4_000 * 0.8413)] == pytest.approx(0.2 * 2.718**0.5, rel=0.08)


def test_fixed_latency_without_faults_needs_no_counting():
    assert FaultPlan(Faults(latency_s=0.05), 0).is_constant
    assert not FaultPlan(Faults(html=0.01), 0).is_constant
