"""The verdict on a curve in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steiner.evaluate.trend import Shape, Trend
from steiner.evaluate.wording import points

WEAK = 0.05
"""Where smaller differences than this cannot be seen, a flat verdict says little."""


def curve_verdict(found: Trend, labels: Sequence[str], unit: str, n: int) -> str:
    """Say what a curve does, with its p-values and number of questions.

    For example `hump at 8 steps allowed (95% sure: between 4 and 16): +2.0 points from 1 to 64 steps
    allowed, n=500, rise p < 0.001, fall p = 0.012`.

    Args:
        found: the verdict.
        labels: places of the budgets in words.
        unit: what they are places of.
        n: number of questions.
    """
    numbers = f"{points(found.change)} points from {labels[0]} to {labels[-1]} {unit}, n={n:,}"
    p_rise, p_fall = _p("p", found.p_rise), _p("p", found.p_fall)
    at = "" if found.at is None else labels[found.at]
    low, high = labels[found.peak_low], labels[found.peak_high]
    if found.shape is Shape.RISES:
        return f"rises to {at} {unit} at least: {numbers}, {p_rise}"
    if found.shape is Shape.FALLS:
        return f"falls beyond {at} {unit} at the latest: {numbers}, {p_fall}"
    if found.shape is Shape.HUMP:
        place = f"between {low} and {high}" if low != high else "nowhere else"
        return (
            f"hump at {at} {unit} (95% sure: {place}): {numbers}, {_p('rise p', found.p_rise)}, "
            f"{_p('fall p', found.p_fall)}"
        )
    if found.shape is Shape.UNEVEN:
        return f"uneven, rises and falls without one peak: {numbers}, {_p('p', found.p_value)}"
    return (
        f"flat within noise: {numbers}, {_p('p', found.p_value)}; "
        f"differences under {100 * found.detectable:.1f} points could be missed"
    )


def curve_warning(found: Trend, n: int) -> str:
    """Say what so few questions do not allow to claim about a curve; empty if nothing."""
    if found.shape is Shape.FLAT and found.detectable > WEAK:
        more = math.ceil(n * (found.detectable / WEAK) ** 2)
        return (
            f"{n:,} questions cannot tell a flat curve from a change of {100 * found.detectable:.0f} points; "
            f"to see {100 * WEAK:.0f} points about {more:,} would be needed."
        )
    if found.shape in (Shape.RISES, Shape.FALLS) and abs(found.change) < found.detectable:
        return (
            f"{n:,} questions show a difference between first and last point from "
            f"{100 * found.detectable:.1f} points on (80% power): the true change is probably smaller than "
            "the one seen here."
        )
    return ""


def _p(name: str, value: float) -> str:
    return f"{name} < 0.001" if value < 0.001 else f"{name} = {value:.3f}"
