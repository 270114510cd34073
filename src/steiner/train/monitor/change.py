"""How a figure has changed: the last window of updates against two earlier ones, for every moment of a run.

All moments are computed at once from prefix sums, so that judging a run again after every update stays cheap,
and a test can judge thousands of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW = 10
"""Updates in a window."""

Values = NDArray[np.float64]


class Change(NamedTuple):
    """The last window against an earlier one, at each of `n - 2 * WINDOW + 1` moments."""

    before: Values
    """Mean of the earlier window."""
    now: Values
    """Mean of the last window."""
    z: Values
    """(now − before) / (2 · the larger variance of the two / WINDOW)^½; 0 where nothing differs at all.

    The larger one for both, because ten values of a rare event are often all 0 and then have no variance.
    """

    @property
    def rise(self) -> Values:
        """The difference of the means."""
        return self.now - self.before


class Moments(NamedTuple):
    """Means and variances of all windows; entry i is the window of values i to i + WINDOW − 1."""

    mean: Values
    variance: Values


def moments(values: Values, window: int = WINDOW) -> Moments:
    """Return mean and sample variance of every run of `window` neighbours; empty if there are too few."""
    if len(values) < window:
        return Moments(np.zeros(0), np.zeros(0))
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    return Moments(windows.mean(axis=1), windows.var(axis=1, ddof=1))


def changes(values: Sequence[float] | Values) -> tuple[Change, Change]:
    """Return the last window against the first of the run, and against the one right before it.

    The first shows what creeps, the second what jumps. Entry i of each belongs to value 2 · WINDOW − 1 + i.
    """
    all_windows = moments(np.asarray(values, dtype=np.float64))
    count = len(all_windows.mean) - WINDOW
    if count <= 0:
        empty = Change(np.zeros(0), np.zeros(0), np.zeros(0))
        return empty, empty
    now = Moments(all_windows.mean[WINDOW:], all_windows.variance[WINDOW:])
    first = Moments(np.full(count, all_windows.mean[0]), np.full(count, all_windows.variance[0]))
    previous = Moments(all_windows.mean[:count], all_windows.variance[:count])
    return _change(first, now), _change(previous, now)


def above_lowest(values: Sequence[float] | Values) -> Change:
    """Return the last window against the one with the lowest mean among those that ended before it began."""
    every = moments(np.asarray(values, dtype=np.float64))
    count = len(every.mean) - WINDOW
    if count <= 0:
        return Change(np.zeros(0), np.zeros(0), np.zeros(0))
    earlier = np.arange(count)
    falls = every.mean[:count] <= np.minimum.accumulate(every.mean[:count])
    lowest = np.maximum.accumulate(np.where(falls, earlier, 0))
    before = Moments(every.mean[lowest], every.variance[lowest])
    return _change(before, Moments(every.mean[WINDOW:], every.variance[WINDOW:]))


def _change(before: Moments, now: Moments) -> Change:
    rise = now.mean - before.mean
    error = np.sqrt(2.0 * np.maximum(before.variance, now.variance) / WINDOW)
    # Rounding leaves differences of 1e-17 between equal windows without any variance.
    real = np.abs(rise) > 1e-12 * (1.0 + np.abs(before.mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(real, rise / error, 0.0)
    return Change(before.mean, now.mean, z)
