"""Intervals and tests against reference values and their invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.evaluate.metrics import (
    bootstrap_mean,
    histogram,
    mcnemar_exact,
    paired_difference,
    smallest_detectable_difference,
    wilson_interval,
)

shares = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
bits = st.lists(st.booleans(), min_size=20, max_size=60)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(shares)
def test_wilson_holds_the_share_and_mirrors(share: tuple[int, int]) -> None:
    successes, n = share
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert high > low
    mirrored = wilson_interval(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(shares, st.integers(2, 5))
def test_wilson_narrows_with_more_questions_and_widens_with_level(share: tuple[int, int], times: int) -> None:
    successes, n = share
    low, high = wilson_interval(successes, n)
    more = wilson_interval(successes * times, n * times)
    surer = wilson_interval(successes, n, level=0.99)
    assert more.high - more.low < high - low < surer.high - surer.low


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_what_is_no_share(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(successes, n)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(0, 0, 1.0), (0, 5, 2 / 32), (5, 0, 2 / 32), (1, 9, 22 / 1024), (4, 4, 1.0)],
)
def test_mcnemar_agrees_with_hand_computed_values(b: int, c: int, p: float) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(p)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_symmetric_and_a_probability(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(mcnemar_exact(c, b))
    assert 0 < mcnemar_exact(b, c) <= 1


def test_bootstrap_agrees_with_the_normal_interval_of_many_values() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=2000)
    mean, low, high = bootstrap_mean(values, seed=7)
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_bootstrap_of_copies_within_a_group_learns_nothing_from_them() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    alone = bootstrap_mean(values, seed=3)
    copied = bootstrap_mean(np.repeat(values, 10), groups=list(np.repeat(np.arange(8), 10)), seed=3)
    ungrouped = bootstrap_mean(np.repeat(values, 10), seed=3)
    assert copied == pytest.approx(alone)
    assert ungrouped.high - ungrouped.low < 0.5 * (alone.high - alone.low)


@settings(max_examples=40)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.integers(0, 5))
def test_bootstrap_holds_the_mean_and_repeats(values: list[float], seed: int) -> None:
    estimate = bootstrap_mean(values, seed=seed, resamples=500)
    assert min(values) - 1e-9 <= estimate.low <= estimate.value <= estimate.high <= max(values) + 1e-9
    assert estimate == bootstrap_mean(values, seed=seed, resamples=500)


def test_bootstrap_refuses_nothing_and_lopsided_groups() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="parallel"):
        bootstrap_mean([1.0, 2.0], groups=["a"])


def test_paired_difference_agrees_with_agresti_and_min() -> None:
    before = np.repeat([1.0, 1.0, 0.0, 0.0], [200, 30, 60, 210])
    after = np.repeat([1.0, 0.0, 1.0, 0.0], [200, 30, 60, 210])
    difference, low, high = paired_difference(before, after, seed=1)
    assert difference == pytest.approx(30 / 500)
    gained, lost, n = 60.5, 30.5, 502
    centre = (gained - lost) / n
    half = 1.96 * math.sqrt((gained + lost) - (gained - lost) ** 2 / n) / n
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=0.002)


def test_paired_difference_is_sharper_than_an_unpaired_one() -> None:
    generator = np.random.default_rng(2)
    before = generator.random(400) < 0.5
    after = before ^ (generator.random(400) < 0.04)
    _, low, high = paired_difference(before.astype(float), after.astype(float))
    unpaired = 2 * 1.96 * math.sqrt(2 * 0.25 / 400)
    assert high - low < 0.4 * unpaired


def test_paired_difference_stays_unsure_when_few_questions_never_disagree() -> None:
    _, low, high = paired_difference([1.0] * 5, [1.0] * 5)
    assert low < -0.1
    assert high > 0.1


@settings(max_examples=40)
@given(bits, st.randoms(use_true_random=False))
def test_paired_difference_holds_its_value_and_mirrors(before: list[bool], random: object) -> None:
    after = list(before)
    random.shuffle(after)  # type: ignore[attr-defined]
    a, b = np.array(before, dtype=float), np.array(after, dtype=float)
    forward, backward = paired_difference(a, b, resamples=2000), paired_difference(b, a, resamples=2000)
    assert -1 <= forward.low <= forward.value <= forward.high <= 1
    assert forward.value == pytest.approx(-backward.value)
    assert forward.low == pytest.approx(-backward.high, abs=0.1)  # one question is up to 0.05


def test_detectable_difference_agrees_with_simulation() -> None:
    n, psi = 500, 0.2
    effect = smallest_detectable_difference(n, 0.5, discordant=psi)
    generator = np.random.default_rng(0)
    up, down = (psi + effect) / 2, (psi - effect) / 2
    tables = generator.multinomial(n, [up, down, 1 - psi], size=20_000)
    change = (tables[:, 0] - tables[:, 1]) / n
    half = 1.96 * np.sqrt((tables[:, 0] + tables[:, 1]) / n - change**2) / math.sqrt(n)
    assert np.mean(change > half) == pytest.approx(0.80, abs=0.02)


@given(st.integers(1, 10_000), st.floats(0.01, 0.99))
def test_detectable_difference_shrinks_with_the_root_of_n(n: int, p: float) -> None:
    few, many = smallest_detectable_difference(n, p), smallest_detectable_difference(4 * n, p)
    assert many <= few <= 1
    if few < 1:
        assert many == pytest.approx(few / 2)


def test_histogram_centres_small_whole_numbers_and_counts_all() -> None:
    bars = histogram([2, 2, 3, 5], "steps per path")
    assert bars.edges == (1.5, 2.5, 3.5, 4.5, 5.5)
    assert bars.counts == (2, 1, 0, 1)
    assert bars.mean == 3.0


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=50))
def test_histogram_loses_no_value_and_stays_small(values: list[int]) -> None:
    bars = histogram(values, "tokens")
    assert sum(bars.counts) == len(values)
    assert bars.edges[0] <= min(values)
    assert max(values) < bars.edges[-1]
    assert len(bars.counts) <= 25
