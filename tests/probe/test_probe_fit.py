"""Fits against data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.probe import fit
from steiner.probe.checks import find_change, unevenness

TOKENS = np.geomspace(20, 3000, 60)


@given(
    start=st.floats(0, 5),
    slope=st.floats(0.002, 0.2),
    power=st.floats(0.35, 1.5),
)
def test_exact_data_gives_back_its_parameters(start, slope, power):
    seconds = start + slope * TOKENS**power
    curve = fit.fit_curve(TOKENS, seconds, np.ones((1, 60)))
    assert curve.power[0] == pytest.approx(power, abs=0.02)
    assert curve.at(TOKENS) == pytest.approx(seconds, rel=0.02)


@given(start=st.floats(0, 5), slope=st.floats(0.002, 0.2))
def test_a_fixed_power_gives_back_the_line(start, slope):
    curve = fit.fit_curve(TOKENS, start + slope * TOKENS, np.ones((1, 60)), np.array([1.0]))
    assert curve.start[0] == pytest.approx(start, abs=1e-6)
    assert curve.scale[0] == pytest.approx(slope, rel=1e-6)


@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_units_of_time_do_not_matter(factor, seed):
    noise = np.random.default_rng(seed).lognormal(0, 0.1, 60)
    seconds = (0.5 + 0.02 * TOKENS) * noise
    counts = fit.resamples(60, 5, seed)
    one, other = (fit.fit_curve(TOKENS, seconds * k, counts) for k in (1.0, factor))
    assert other.power == pytest.approx(one.power, abs=1e-3)
    assert other.start == pytest.approx(factor * one.start, rel=0.02, abs=1e-3 * factor)


def test_parameters_are_never_negative():
    falling = 5 - 0.001 * TOKENS
    curve = fit.fit_curve(TOKENS, falling, fit.resamples(60, 50, 0))
    assert (curve.start >= 0).all()
    assert (curve.scale >= 0).all()


def test_stalls_hardly_move_the_power():
    seconds = 0.4 + 0.02 * TOKENS
    seconds[[3, 11, 30]] += 8
    curve = fit.fit_curve(TOKENS, seconds, np.ones((1, 60)))
    assert curve.power[0] == pytest.approx(1, abs=0.03)


def test_through_the_origin_a_start_looks_like_a_smaller_power():
    seconds = 2 + 0.02 * TOKENS
    with_start, without = (fit.fit_curve(TOKENS, seconds, np.ones((1, 60)), start=s) for s in (True, False))
    assert with_start.power[0] == pytest.approx(1, abs=0.01)
    assert without.power[0] < 0.8


def test_the_first_sample_is_the_data():
    counts = fit.resamples(9, 40, 1)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 9).all()


def test_a_shift_is_found_where_it_is():
    rng = np.random.default_rng(0)
    residual = rng.normal(0, 0.05, 60) + np.where(np.arange(60) >= 40, 0.3, 0)
    change = find_change(residual, np.arange(60.0), "time", 0)
    assert change.p < 0.01
    assert abs(change.at - 40) <= 3
    assert change.after - change.before == pytest.approx(0.3, abs=0.05)


def test_shifts_of_pure_noise_have_even_p_values():
    rng = np.random.default_rng(1)
    found = [find_change(rng.normal(size=30), np.arange(30.0), "time", k).p for k in range(100)]
    assert sum(p < 0.05 for p in found) <= 12
    assert 0.35 < np.mean(found) < 0.65


def test_growing_noise_is_seen():
    rng = np.random.default_rng(0)
    correlation, p = unevenness(rng.normal(size=60) * TOKENS, TOKENS)
    assert p < 0.01
    assert correlation.value > correlation.high
