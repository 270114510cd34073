"""From measurements to fits and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steiner.probe import fit
from steiner.probe.checks import find_change, unevenness
from steiner.probe.records import Doubt, Estimate, Fits, Measurement, ProbeSettings, Series, Verdict
from steiner.probe.usage import billed_tokens, find_doubts, shown_tokens
from steiner.probe.verdict import decide

SAMPLES = 2000
"""Bootstrap samples."""
LEAST_SHOWN = 20
"""Tokens; the pace of a shorter text is not taken."""
LEAST_PACES = 6
AT_ONCE = 4.0
"""A text that comes so many times faster than tokens are billed was not seen being written."""


def usable(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the replies that count: no warm-up, no failures."""
    return [one for one in measurements if not one.warmup and not one.error and one.total_s > 0]


def make_series(
    label: str,
    base_url: str,
    model: str,
    settings: ProbeSettings,
    measurements: Sequence[Measurement],
    samples: int = SAMPLES,
) -> Series:
    """Fit and judge the measurements of one model."""
    fits, doubts, verdict = analyse(measurements, settings, samples)
    firsts = [one.first_s for one in usable(measurements) if one.first_s is not None]
    costs = [one.cost_usd for one in measurements]
    return Series(
        label=label,
        base_url=base_url,
        model=model,
        settings=settings,
        measurements=tuple(measurements),
        fits=fits,
        doubts=doubts,
        verdict=verdict,
        first_s=float(np.median(firsts)) if firsts else None,
        cost_usd=None if None in costs or not costs else sum(cost or 0.0 for cost in costs),
    )


def analyse(
    measurements: Sequence[Measurement], settings: ProbeSettings, samples: int = SAMPLES
) -> tuple[Fits | None, tuple[Doubt, ...], Verdict]:
    """Return fits (None where there are too few replies), doubts about the usage, and the verdict."""
    kept = usable(measurements)
    doubts = find_doubts(kept, settings.branches)
    if len(kept) < fit.LEAST_FOR_FIT:
        return None, doubts, decide(None, None, doubts)
    tokens_N = np.array([billed_tokens(one) for one in kept])
    seconds_N = np.array([one.total_s for one in kept])
    counts_BN = fit.resamples(len(kept), samples, settings.seed)
    line = fit.fit_curve(tokens_N, seconds_N, counts_BN, np.array([1.0]))
    fits = _fits(kept, tokens_N, seconds_N, counts_BN, line, settings.seed)
    pace = _pace(kept, line.start, counts_BN)
    return fits, doubts, decide(fits, pace, doubts)


def _fits(
    kept: Sequence[Measurement],
    tokens_N: fit.Floats,
    seconds_N: fit.Floats,
    counts_BN: fit.Floats,
    line: fit.Curve,
    seed: int,
) -> Fits:
    n = len(kept)
    power = fit.fit_curve(tokens_N, seconds_N, counts_BN, start=False)
    curve = fit.fit_curve(tokens_N, seconds_N, counts_BN)
    residual_N = fit.relative_residuals(curve, tokens_N, seconds_N)
    number_N = np.array([float(one.number) for one in kept])
    uneven, uneven_p = unevenness(residual_N, tokens_N)
    low, high = np.percentile(tokens_N, [5, 95])
    return Fits(
        n=n,
        line_start=_estimate(line.start, n, 2),
        line_slope=_estimate(line.scale, n, 2),
        power=_estimate(power.power, n, 2),
        curve_start=float(curve.start[0]),
        curve_scale=float(curve.scale[0]),
        curve_power=_estimate(curve.power, n, 3),
        power_limits=_estimate(curve.power, n, 3, 0.9),
        noise=fit.robust_deviation(residual_N),
        decades=float(np.log10(high / low)),
        changes=(
            find_change(residual_N, tokens_N, "tokens", seed),
            find_change(residual_N, number_N, "time", seed),
        ),
        uneven=uneven,
        uneven_p=uneven_p,
    )


def _pace(kept: Sequence[Measurement], start_B: fit.Floats, counts_BN: fit.Floats) -> Estimate | None:
    """Return the time of a billed token by that of one that is seen being written, over the longer replies.

    Within one request both meet the same load, so that it cancels. The number of shown tokens is rather too
    high, and so is the result: it errs towards one sequence.
    """
    middle = float(np.median([billed_tokens(one) for one in kept]))
    paces, places = [], []
    for place, one in enumerate(kept):
        shown, billed = shown_tokens(one), billed_tokens(one)
        if one.first_s is None or one.last_s is None or one.kind != "prose" or one.events < 2:
            continue
        if shown < LEAST_SHOWN or billed < middle or one.last_s <= one.first_s:
            continue
        # The first piece starts the clock, so that it does not count itself.
        seen = (one.last_s - one.first_s) / (shown * (1 - 1 / one.events))
        paces.append((one.total_s - start_B) / billed / seen)
        places.append(place)
    if len(paces) < LEAST_PACES:
        return None
    values = _weighted_medians(np.array(paces).T, counts_BN[:, places])
    if values[0] > AT_ONCE:
        return None
    value, low, high = fit.interval(values, len(paces), 1)
    return Estimate(value=value, low=low, high=high)


def _weighted_medians(values_BK: fit.Floats, counts_BK: fit.Floats) -> fit.Floats:
    """Return the median of each row, each entry counted as often as given."""
    order = np.argsort(values_BK, axis=1)
    sums = np.cumsum(np.take_along_axis(counts_BK, order, 1), axis=1)
    place = (sums >= sums[:, -1:] / 2).argmax(axis=1)
    found: fit.Floats = np.take_along_axis(np.take_along_axis(values_BK, order, 1), place[:, None], 1)[:, 0]
    return found


def _estimate(values_B: fit.Floats, n: int, parameters: int, level: float = 0.95) -> Estimate:
    value, low, high = fit.interval(values_B, n, parameters, level)
    return Estimate(value=value, low=low, high=high)
