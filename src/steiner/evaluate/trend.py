"""Does accuracy rise with the budget? A verdict on a curve, with its test. Pure functions of arrays.

Every question was answered under every budget, so the test is paired. It looks at all pairs of windows of
budgets of equal length at once: the mean over the later window minus the mean over the earlier one. Windows
of one budget find steps and peaks, long ones slow trends. Each contrast is divided by the root of its sum of
squares, as in McNemar's test, and the largest of all is compared with what it would be if the sign of each
question's differences were a coin's (a sign-flip test; for two budgets it is McNemar's exact test, drawn by
chance). Windows of unequal length would not do: where few answers are right, their differences are skewed,
and a coin's are not. One critical value for all contrasts means that everything the verdict says holds
together with 95% confidence (single-step max-T, Westfall & Young 1993).

Arrays: `_Q` questions, `_B` budgets in rising order, `_C` contrasts, `_R` draws.
"""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steiner.evaluate.intervals import BATCH_CELLS, Floats

Ints: TypeAlias = NDArray[np.int64]
DRAWS = 2_000
LEVEL = 0.955
"""A little more than the 95% that is promised, because a coin's signs are only nearly those of a flat truth:
at 0.95 5.1% of 20,000 flat curves got another verdict (1,000 questions, 10% right)."""
POWER = 0.8


class Shape(StrEnum):
    """What a curve does as the budget grows."""

    RISES = "rises"
    FLAT = "flat"
    """No change beyond noise: not a proof that there is none."""
    HUMP = "hump"
    """Rises, then falls."""
    FALLS = "falls"
    UNEVEN = "uneven"
    """Both rises and falls, but not with one peak."""


class Trend(NamedTuple):
    """The verdict on a curve. Places are indices of budgets."""

    shape: Shape
    at: int | None
    """RISES: the budget that it rises to at least. HUMP: the likeliest peak. FALLS: the last budget before a
    fall is shown. Else None."""
    peak_low: int
    """First budget that may hold the peak, with 95% confidence if there is one peak or none."""
    peak_high: int
    """Last budget that may hold the peak."""
    p_rise: float
    """That there is no rise anywhere, corrected for all contrasts."""
    p_fall: float
    """That there is no fall anywhere, corrected for all contrasts."""
    change: float
    """Mean of the last budget minus that of the first."""
    detectable: float
    """Difference between the first and the last budget that these questions would show with 80% power."""
    fit: tuple[float, ...]
    """Least-squares curve of the verdict's shape (Barlow et al. 1972); the means where it is UNEVEN."""

    @property
    def p_value(self) -> float:
        """That the curve is flat."""
        return min(self.p_rise, self.p_fall)


def trend(values_QB: Floats, seed: int = 0, draws: int = DRAWS, level: float = LEVEL) -> Trend:
    """Judge a curve.

    Args:
        values_QB: share of right completions of each question under each budget; budgets in rising order.
        seed: of the sign flips.
        draws: sign flips; p-values are multiples of 1 / (draws + 1).
        level: confidence.

    Raises:
        ValueError: unless there are at least one question and two budgets, without NaN.
    """
    values = np.asarray(values_QB, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2 or not np.isfinite(values).all():
        raise ValueError(f"a curve needs questions × at least two budgets, got the shape {values.shape}")
    budgets = values.shape[1]
    windows_C, weights_CB = contrasts(budgets)
    sums_C = weights_CB @ values.sum(axis=0)
    scale_C = _scale(values, weights_CB)
    z_C = sums_C / scale_C
    largest_R = np.sort(_flipped(values, weights_CB, scale_C, seed, draws))
    p_C = _exceeding(largest_R, np.abs(z_C))
    shown = p_C <= 1 - level + 1e-12
    rises, falls = shown & (z_C > 0), shown & (z_C < 0)
    low = 1 + max((int(a) for a in windows_C[rises, 0]), default=-1)
    high = min((int(c) for c in windows_C[falls, 2]), default=budgets + 1) - 2
    means_B = values.mean(axis=0)
    one_peak = low <= high and _more_peak_than_dip(means_B)
    shape = _shape(bool(rises.any()), bool(falls.any()), one_peak)
    if shape is Shape.UNEVEN:
        low, high = 0, budgets - 1
    fit, mode = _fitted(means_B, shape)
    peak = None if mode is None else min(max(mode, low), high)
    critical = float(largest_R[min(draws - 1, math.ceil(level * draws))])
    return Trend(
        shape=shape,
        at={Shape.RISES: low, Shape.HUMP: peak, Shape.FALLS: high}.get(shape),
        peak_low=low,
        peak_high=high,
        p_rise=float(p_C[z_C > 0].min(initial=1.0)),
        p_fall=float(p_C[z_C < 0].min(initial=1.0)),
        change=float((values[:, -1] - values[:, 0]).mean()),
        detectable=_detectable(values, critical),
        fit=tuple(fit.tolist()),
    )


def contrasts(budgets: int) -> tuple[Ints, Floats]:
    """Return all pairs of windows of equal length that do not overlap, and their weights, shape (C, B).

    The first array, shape (C, 3), holds the first budget of both windows together, the first of the later
    window, and the one after both.
    """
    windows = np.array(
        [
            (start, later, later + length)
            for length in range(1, budgets // 2 + 1)
            for start in range(budgets - 2 * length + 1)
            for later in range(start + length, budgets - length + 1)
        ]
    )
    place = np.arange(budgets)
    start, later, end = (windows[:, [i]] for i in range(3))
    length = end - later
    before, after = (place >= start) & (place < start + length), (place >= later) & (place < end)
    return windows, (after.astype(np.float64) - before) / length


def _shape(rises: bool, falls: bool, one_peak: bool) -> Shape:
    if rises and falls:
        return Shape.HUMP if one_peak else Shape.UNEVEN
    return Shape.RISES if rises else Shape.FALLS if falls else Shape.FLAT


def _scale(values_QB: Floats, weights_CB: Floats) -> Floats:
    """Return the root of each contrast's sum of squares over questions; 1 where nothing differs."""
    gram_BB = values_QB.T @ values_QB
    squares = np.einsum("cb,bd,cd->c", weights_CB, gram_BB, weights_CB, optimize=True)
    # Below rounding there is no difference at all.
    nothing = squares <= 1e-9 * (np.trace(gram_BB) + 1)
    return np.sqrt(np.where(nothing, np.inf, squares))


def _flipped(values_QB: Floats, weights_CB: Floats, scale_C: Floats, seed: int, draws: int) -> Floats:
    """Return the largest standardised contrast of each sign flip, shape (R,)."""
    generator, n = np.random.default_rng(seed), len(values_QB)
    batch = max(1, BATCH_CELLS // max(n, len(weights_CB)))
    standard_BC = (weights_CB / scale_C[:, None]).T
    largest = []
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        bits = np.unpackbits(
            generator.integers(0, 256, size=(size, (n + 7) // 8), dtype=np.uint8), axis=1, count=n
        )
        sums_RB = 2 * (bits.astype(np.float64) @ values_QB) - values_QB.sum(axis=0)
        largest.append(np.abs(sums_RB @ standard_BC).max(axis=1))
    return np.concatenate(largest)


def _exceeding(sorted_R: Floats, z_C: Floats) -> Floats:
    """Return the share of draws that reach each value, the data itself counted as one of them."""
    # A hair below, so that equal configurations count as equal in spite of rounding.
    reached = len(sorted_R) - np.searchsorted(sorted_R, z_C - 1e-9, side="left")
    return np.asarray((reached + 1) / (len(sorted_R) + 1), dtype=np.float64)


def _detectable(values_QB: Floats, critical: float) -> float:
    """Return the difference of first and last budget that is shown with 80% power, to first order."""
    n, normal = len(values_QB), NormalDist()
    # Never below that of a single test, which it would be where hardly a question differs.
    critical = max(critical, normal.inv_cdf((1 + LEVEL) / 2))
    psi = (float(((values_QB[:, -1] - values_QB[:, 0]) ** 2).sum()) + 1) / (n + 2)
    return min(1.0, (critical + normal.inv_cdf(POWER)) * math.sqrt(psi / n))


def rising_fit(means_B: Floats) -> Floats:
    """Return the least-squares non-decreasing curve (max over a of min over c of the means of a…c)."""
    if means_B.size == 0:
        return means_B
    totals = np.concatenate([[0.0], np.cumsum(means_B)])
    place = np.arange(means_B.size)
    inside = place[None, :] >= place[:, None]
    windows = (totals[None, 1:] - totals[:-1, None]) / np.maximum(place[None, :] - place[:, None] + 1, 1)
    # Smallest over c ≥ i for each a, then largest over a ≤ i.
    smallest = np.minimum.accumulate(np.where(inside, windows, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.where(inside, smallest, -np.inf).max(axis=0), dtype=np.float64)


def falling_fit(means_B: Floats) -> Floats:
    """Return the least-squares non-increasing curve."""
    return rising_fit(means_B[::-1])[::-1]


def peaked_fit(means_B: Floats) -> tuple[Floats, int]:
    """Return the least-squares curve that rises to one budget and then falls, and that budget's index."""
    # Whatever the peak, it ends a rising part or begins a falling one: try all places to cut.
    fits = []
    for cut in range(means_B.size + 1):
        fit = np.concatenate([rising_fit(means_B[:cut]), falling_fit(means_B[cut:])])
        fits.append((_error(fit, means_B), cut, fit))
    fit = min(fits, key=lambda found: found[:2])[2]
    return fit, int(np.argmax(fit))


def _more_peak_than_dip(means_B: Floats) -> bool:
    return _error(peaked_fit(means_B)[0], means_B) <= _error(-peaked_fit(-means_B)[0], means_B)


def _error(fit_B: Floats, means_B: Floats) -> float:
    return float(((fit_B - means_B) ** 2).sum())


def _fitted(means_B: Floats, shape: Shape) -> tuple[Floats, int | None]:
    if shape is Shape.FLAT:
        return np.full_like(means_B, means_B.mean()), None
    if shape is Shape.RISES:
        return rising_fit(means_B), None
    if shape is Shape.FALLS:
        return falling_fit(means_B), None
    return peaked_fit(means_B) if shape is Shape.HUMP else (means_B, None)
