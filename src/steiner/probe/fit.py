"""Seconds against tokens: robust fits with bootstrap intervals.

The curve is seconds = a + b·tokens^p with a ≥ 0 and b ≥ 0. For each p of a grid, a and b are a weighted
least-squares solution in closed form, so that all bootstrap samples are fitted at once. Weights are those of
relative errors, 1 / fitted², times Huber's (1964), which take the force out of stalls.

Shapes: `_N` requests, `_B` bootstrap samples (the first is the data itself), `_P` powers of the grid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
POWERS: Floats = np.arange(0.05, 2.01, 0.03)
HUBER = 2.0
"""Residuals beyond so many standard deviations count less."""
ROUNDS = 6
LEAST_FOR_FIT = 8
"""Fewer requests are not fitted."""


class Curve(NamedTuple):
    """Fitted parameters, each `[B]`."""

    start: Floats
    scale: Floats
    power: Floats

    def at(self, tokens_N: Floats) -> Floats:
        """Return the fitted seconds of the data itself."""
        seconds_N: Floats = self.start[0] + self.scale[0] * tokens_N ** self.power[0]
        return seconds_N


def resamples(n: int, samples: int, seed: int) -> Floats:
    """Return how often each request is in each bootstrap sample, `[B, N]`; each once in the first."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    counts[0] = 1
    return counts.astype(np.float64)


def fit_curve(
    tokens_N: Floats, seconds_N: Floats, counts_BN: Floats, powers_P: Floats = POWERS, start: bool = True
) -> Curve:
    """Fit seconds = a + b·tokens^p.

    Args:
        tokens_N: above 0.
        seconds_N: above 0.
        counts_BN: from `resamples`.
        powers_P: what p may be; one entry fixes it.
        start: False fixes a at 0.
    """
    middle = float(np.exp(np.mean(np.log(tokens_N))))
    scaled_N = tokens_N / middle
    weights_N = _robust_weights(scaled_N, seconds_N, powers_P, start)
    power_B = _best_power(scaled_N, seconds_N, weights_N, counts_BN, powers_P, start)
    features_BN = scaled_N[None, :] ** power_B[:, None]
    start_B, scale_B = _solve(features_BN, seconds_N, counts_BN * weights_N, start)
    return Curve(start_B, scale_B / middle**power_B, power_B)


def interval(
    values_B: Floats, n: int, parameters: int = 3, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the value of the data itself and the percentile interval, widened for few requests."""
    value = float(values_B[0])
    low, high = np.percentile(values_B, [50 * (1 - level), 50 * (1 + level)])
    wider = float(np.sqrt(n / max(1, n - parameters)))
    return value, value - (value - float(low)) * wider, value + (float(high) - value) * wider


def relative_residuals(curve: Curve, tokens_N: Floats, seconds_N: Floats) -> Floats:
    """Return (seconds − fitted) / fitted."""
    fitted_N = np.maximum(curve.at(tokens_N), 1e-9)
    return (seconds_N - fitted_N) / fitted_N


def robust_deviation(values: Floats) -> float:
    """Return a standard deviation from the median of absolute deviations."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _robust_weights(scaled_N: Floats, seconds_N: Floats, powers_P: Floats, start: bool) -> Floats:
    weights_N, ones = 1 / seconds_N**2, np.ones((1, len(seconds_N)))
    for _ in range(ROUNDS):
        power_B = _best_power(scaled_N, seconds_N, weights_N, ones, powers_P, start)
        feature_BN = scaled_N[None, :] ** power_B[:, None]
        start_B, scale_B = _solve(feature_BN, seconds_N, weights_N[None, :], start)
        fitted_N = start_B[0] + scale_B[0] * feature_BN[0]
        fitted_N = np.maximum(fitted_N, 0.05 * np.median(seconds_N[seconds_N > 0]) * 1e-2)
        error_N = (seconds_N - fitted_N) / fitted_N
        size = max(robust_deviation(error_N), 1e-6)
        weights_N = np.minimum(1.0, HUBER * size / np.maximum(np.abs(error_N), 1e-12)) / fitted_N**2
    return weights_N


def _best_power(
    scaled_N: Floats,
    seconds_N: Floats,
    weights_N: Floats,
    counts_BN: Floats,
    powers_P: Floats,
    start: bool,
) -> Floats:
    """Return the power with the smallest error for each sample, between grid points by a parabola."""
    if len(powers_P) == 1:
        return np.full(len(counts_BN), powers_P[0])
    feature_NP = scaled_N[:, None] ** powers_P[None, :]
    weight_BN = counts_BN * weights_N
    s0, sy, syy = weight_BN.sum(1), weight_BN @ seconds_N, weight_BN @ seconds_N**2
    s1, s2 = weight_BN @ feature_NP, weight_BN @ feature_NP**2
    sxy = weight_BN @ (feature_NP * seconds_N[:, None])
    a, b = _normal(s0[:, None], s1, s2, sy[:, None], sxy, start)
    error_BP = syy[:, None] - 2 * a * sy[:, None] - 2 * b * sxy
    error_BP = error_BP + a**2 * s0[:, None] + 2 * a * b * s1 + b**2 * s2
    best_B = error_BP.argmin(1)
    inner_B = np.clip(best_B, 1, len(powers_P) - 2)
    rows = np.arange(len(best_B))
    left, here, right = (error_BP[rows, inner_B + k] for k in (-1, 0, 1))
    bend = left - 2 * here + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1.0), 0.0)
    shift = np.where(best_B == inner_B, np.clip(shift, -1, 1), best_B - inner_B)
    power_B: Floats = powers_P[inner_B] + shift * (powers_P[1] - powers_P[0])
    return power_B


def _solve(feature_BN: Floats, seconds_N: Floats, weight_BN: Floats, start: bool) -> tuple[Floats, Floats]:
    s0, s1 = weight_BN.sum(1), (weight_BN * feature_BN).sum(1)
    s2, sy = (weight_BN * feature_BN**2).sum(1), (weight_BN * seconds_N).sum(1)
    sxy = (weight_BN * feature_BN * seconds_N).sum(1)
    return _normal(s0, s1, s2, sy, sxy, start)


def _normal(
    s0: Floats, s1: Floats, s2: Floats, sy: Floats, sxy: Floats, start: bool
) -> tuple[Floats, Floats]:
    """Solve the normal equations with a ≥ 0 and b ≥ 0."""
    through = sxy / s2
    if not start:
        return np.zeros_like(through), through
    determinant = s0 * s2 - s1**2
    safe = np.where(determinant > 1e-12 * s0 * s2, determinant, np.inf)
    slope = (s0 * sxy - s1 * sy) / safe
    offset = (sy - slope * s1) / s0
    slope, offset = np.where(offset < 0, through, slope), np.maximum(offset, 0.0)
    flat = slope < 0
    return np.where(flat, sy / s0, offset), np.where(flat, 0.0, slope)
