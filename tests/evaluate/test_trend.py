"""The verdict on a curve: shapes it finds, what it must not say, and its fits."""

from __future__ import annotations

import sys
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.evaluate.intervals import mcnemar_exact
from steiner.evaluate.trend import Shape, contrasts, falling_fit, peaked_fit, rising_fit, trend
from steiner.evaluate.trend_wording import curve_verdict, curve_warning

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from curve_verdicts import TRUTHS, answers, is_false, run

LABELS = ["1", "2", "4", "8", "16", "32"]
means = st.lists(st.integers(0, 20), min_size=1, max_size=7).map(lambda m: np.array(m) / 20)


def curve(*shares: float, n: int = 200) -> np.ndarray:
    """Return answers of n questions of which the first so many are right under each budget."""
    return np.array([[question < round(share * n) for share in shares] for question in range(n)], dtype=float)


def test_a_clear_rise_is_named_up_to_where_it_is_shown() -> None:
    found = trend(curve(0.2, 0.3, 0.4, 0.5, 0.5, 0.5))
    assert (found.shape, found.at, found.peak_low, found.peak_high) == (Shape.RISES, 3, 3, 5)
    assert found.p_rise < 0.001 < found.p_fall == 1.0
    assert found.fit == pytest.approx((0.2, 0.3, 0.4, 0.5, 0.5, 0.5))
    said = curve_verdict(found, LABELS, "steps allowed", 200)
    assert (
        said == "rises to 8 steps allowed at least: +30.0 points from 1 to 32 steps allowed, n=200, p < 0.001"
    )
    assert curve_warning(found, 200) == ""


def test_a_clear_hump_has_its_peak_and_where_that_may_be() -> None:
    found = trend(curve(0.2, 0.4, 0.6, 0.59, 0.4, 0.3))
    assert (found.shape, found.at, found.peak_low, found.peak_high) == (Shape.HUMP, 2, 2, 3)
    said = curve_verdict(found, LABELS, "steps allowed", 200)
    assert said.startswith("hump at 4 steps allowed (95% sure: between 4 and 8): +10.0 points")
    assert said.endswith("rise p < 0.001, fall p < 0.001")


def test_a_clear_fall_and_an_uneven_curve() -> None:
    falls = trend(curve(0.5, 0.5, 0.4, 0.3, 0.3))
    assert (falls.shape, falls.at) == (Shape.FALLS, 1)
    assert curve_verdict(falls, LABELS[:5], "steps allowed", 200).startswith("falls beyond 2 steps allowed")
    uneven = trend(curve(0.5, 0.3, 0.5, 0.3, 0.5))
    assert (uneven.shape, uneven.at, uneven.peak_low, uneven.peak_high) == (Shape.UNEVEN, None, 0, 4)


def test_a_flat_curve_says_what_it_could_have_missed() -> None:
    found = trend(answers((0.3,) * 6, 30, np.random.default_rng(1)))
    assert found.shape is Shape.FLAT
    assert found.p_value > 0.05
    assert found.detectable > 0.2
    assert "could be missed" in curve_verdict(found, LABELS, "steps allowed", 30)
    said = curve_warning(found, 30)
    assert said.startswith("30 questions cannot tell a flat curve from a change of")
    assert "would be needed" in said


def test_no_difference_at_all_is_flat_with_p_one() -> None:
    found = trend(curve(0.4, 0.4, 0.4, n=10))
    assert (found.shape, found.p_rise, found.p_fall) == (Shape.FLAT, 1.0, 1.0)
    assert found.detectable > 0.2, "ten questions that never differ prove little"


@pytest.mark.parametrize(("gained", "lost"), [(9, 1), (14, 4), (7, 7)])
def test_two_budgets_are_mcnemars_exact_test(gained: int, lost: int) -> None:
    table = np.array([[0.0, 1.0]] * gained + [[1.0, 0.0]] * lost + [[1.0, 1.0]] * 30)
    found = trend(table, draws=20_000)
    # min: where both counts are equal the contrast is zero and no direction has evidence.
    assert found.p_value == pytest.approx(mcnemar_exact(gained, lost), abs=0.01)


def test_windows_are_of_equal_length_and_apart() -> None:
    windows, weights = contrasts(5)
    assert len(windows) == 10 + 3
    assert weights.sum(axis=1) == pytest.approx(np.zeros(len(weights)))
    assert np.abs(weights).sum(axis=1) == pytest.approx(np.full(len(weights), 2.0))
    assert weights[windows.tolist().index([0, 3, 5])] == pytest.approx([-0.5, -0.5, 0, 0.5, 0.5])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_a_mirrored_curve_gets_the_mirrored_verdict(seed: int, budgets: int) -> None:
    values = answers(tuple(np.linspace(0.3, 0.6, budgets)), 80, np.random.default_rng(seed))
    mirror = {Shape.RISES: Shape.FALLS, Shape.FALLS: Shape.RISES}
    forward, backward = trend(values, 1, 400), trend(values[:, ::-1], 1, 400)
    assert backward.shape is mirror.get(forward.shape, forward.shape)
    assert (backward.p_rise, backward.p_fall) == (forward.p_fall, forward.p_rise)
    assert backward.peak_low == budgets - 1 - forward.peak_high
    assert trend(values, 1, 400) == forward


def squares(fit: np.ndarray, target: np.ndarray) -> float:
    return float(((fit - target) ** 2).sum())


@given(means)
def test_rising_fit_is_the_projection_on_rising_curves(target: np.ndarray) -> None:
    fit = rising_fit(target)
    assert all(a <= b + 1e-12 for a, b in pairwise(fit))
    assert fit.sum() == pytest.approx(target.sum())
    # Karush-Kuhn-Tucker: no rising direction reduces the error, and the residual is orthogonal to the fit.
    tails = np.cumsum((target - fit)[::-1])[::-1]
    assert np.all(tails <= 1e-9)
    assert float((target - fit) @ fit) == pytest.approx(0.0, abs=1e-9)
    assert falling_fit(target[::-1]) == pytest.approx(fit[::-1])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=5).map(lambda m: np.array(m, dtype=float)))
def test_peaked_fit_is_better_than_every_peaked_curve_on_a_grid(target: np.ndarray) -> None:
    fit, peak = peaked_fit(target)
    assert all(a <= b + 1e-12 for a, b in pairwise(fit[: peak + 1]))
    assert all(a >= b - 1e-12 for a, b in pairwise(fit[peak:]))
    best = squares(fit, target)
    for shape in product(range(5), repeat=len(target)):
        top = shape.index(max(shape))
        if list(shape[: top + 1]) == sorted(shape[: top + 1]) and list(shape[top:]) == sorted(
            shape[top:], reverse=True
        ):
            assert best <= squares(np.array(shape), target) + 1e-9


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 1)])
def test_what_is_no_curve_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two budgets"):
        trend(np.zeros(shape))


def test_flat_truths_are_rarely_called_anything_else() -> None:
    """A true rate of 5% gives more than 15 of 150 with probability 0.4%; the seed is fixed."""
    _, false = run(TRUTHS["flat at 50%"], 100, 150, 300)
    assert false <= 15


def test_large_effects_are_found() -> None:
    shapes, false = run(TRUTHS["hump of 20 points at budget 3"], 200, 40, 300)
    assert shapes[Shape.HUMP] >= 36
    assert false == 0


def test_the_judge_of_verdicts_knows_a_false_one() -> None:
    rising = trend(curve(0.2, 0.3, 0.4, 0.5, 0.5, 0.5))
    assert is_false((0.5,) * 6, rising)
    assert is_false((0.2, 0.3, 0.4, 0.4, 0.4, 0.4), rising), "rises to 8 where it rises to 4"
    assert not is_false((0.2, 0.3, 0.4, 0.5, 0.6, 0.6), rising), "says too little"


@pytest.mark.slow
@pytest.mark.parametrize("truth", ["flat at 10%", "flat at 50%", "flat at 90%"])
@pytest.mark.parametrize("questions", [30, 100, 500])
def test_false_verdicts_on_flat_truths_stay_below_five_percent(truth: str, questions: int) -> None:
    trials = 1500
    _, false = run(TRUTHS[truth], questions, trials, 500)
    # 5% of 1,500 is 75; 90 is beyond the 95th percentile of what a true rate of 5% gives.
    assert false <= 90
