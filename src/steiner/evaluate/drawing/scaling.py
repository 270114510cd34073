"""Scaling curves with their bands, and what the same tokens buy otherwise, on one pair of axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from steiner.evaluate.baselines import Baseline
from steiner.evaluate.curves import UNITS, ScalingCurve, ScalingPoint
from steiner.evaluate.drawing.accuracy import NARROW, NO_LIMIT_GAP, WIDE, Canvas
from steiner.evaluate.drawing.svg import (
    Point,
    drawing,
    line,
    marker,
    polygon,
    polyline,
    series_class,
    tag,
    text_at,
)
from steiner.evaluate.wording import interval, percent, points

__all__ = ["NARROW", "WIDE", "Series", "axis_place", "baseline_title", "scaling_figure", "series_of"]
INSET = 12.0
"""Room between the plot's edges and its first and last point."""
CHARACTER = 7.2
"""Width of a character of a tick, at most."""


class Series(NamedTuple):
    """One line of the figure and of its legend."""

    title: str
    colour: str
    """Class of its colour."""
    number: int
    """Decides the shape of its marks."""
    curve: ScalingCurve
    baseline: Baseline | None
    """None: the curve itself."""


class _Axes(NamedTuple):
    canvas: Canvas
    low: float
    high: float
    """On the scale of `_place`; equal for a single place."""
    logarithmic: bool
    top: float
    """Accuracy at the upper edge."""
    open_end: float
    """Where no limit stands."""

    def x(self, point: ScalingPoint) -> float:
        return self.across(self.open_end if point.x is None else _place(point.x, self.logarithmic))

    def across(self, place: float) -> float:
        inner = self.canvas.width - self.canvas.left - self.canvas.right - 2 * INSET
        share = (place - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.canvas.left + INSET + inner * share

    def y(self, share: float) -> float:
        canvas = self.canvas
        return canvas.height - canvas.bottom - share / self.top * (canvas.height - canvas.top - canvas.bottom)


def series_of(curves: Sequence[ScalingCurve]) -> list[Series]:
    """Return the lines of a figure: the curves, then the baselines of each."""
    lines = [(curve.title, curve, None) for curve in curves]
    lines += [(baseline_title(b), curve, b) for curve in curves for b in curve.baselines]  # type: ignore[misc]
    return [
        Series(title, series_class(number + 2), number, curve, baseline)
        for number, (title, curve, baseline) in enumerate(lines)
    ]


def baseline_title(baseline: Baseline) -> str:
    """Return a baseline in words."""
    kind = "majority vote" if baseline.metric.value == "maj" else "best of N"
    return f"{kind} of {baseline.title}, same tokens"


def scaling_figure(curves: Sequence[ScalingCurve], canvas: Canvas = WIDE) -> Markup:
    """Draw curves of one axis with their 95% bands; baselines are dashed.

    Budgets above zero stand on a logarithmic axis. A point without limit stands apart at the right.
    """
    axes, series = _axes(curves, canvas), series_of(curves)
    canvas = axes.canvas
    parts = [*_grid(axes, curves), *(_band(axes, one) for one in series if one.baseline is None)]
    parts += [_line(axes, one) for one in series]
    return drawing(
        canvas.width,
        canvas.height,
        parts,
        title=f"Share answered right against {UNITS[curves[0].axis]}",
        text="; ".join(f"{curve.title}: {curve.verdict}" for curve in curves),
        class_=f"fig {'wide' if canvas.labels else 'narrow'}",
    )


def axis_place(curves: Sequence[ScalingCurve], canvas: Canvas, budget: float) -> float:
    """Return where a budget stands in the figure, from the left of the canvas."""
    axes = _axes(curves, canvas)
    return axes.across(_place(budget, axes.logarithmic))


def _place(x: float, logarithmic: bool) -> float:
    return math.log2(x) if logarithmic else x


def _axes(curves: Sequence[ScalingCurve], canvas: Canvas) -> _Axes:
    every = [point for curve in curves for point in curve.points]
    values = [point.x for point in every if point.x is not None]
    logarithmic = all(value > 0 for value in values)
    places = [_place(value, logarithmic) for value in values] or [0.0]
    low, high = min(places), max(places)
    open_end = high + max(NO_LIMIT_GAP, 0.12 * (high - low))
    if any(point.x is None for point in every):
        high = open_end
    best = max(point.high for point in every)
    top = next(edge for edge in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if best <= edge or edge == 1.0)
    canvas = canvas._replace(right=24)  # names stand in the legend
    return _Axes(canvas, low, high, logarithmic, top, open_end)


def _grid(axes: _Axes, curves: Sequence[ScalingCurve]) -> Iterator[Markup]:
    canvas, floor = axes.canvas, axes.canvas.height - axes.canvas.bottom
    right = canvas.width - canvas.right
    for quarter in range(5):
        share = axes.top * quarter / 4
        y = axes.y(share)
        yield line(Point(canvas.left, y), Point(right, y), "grid" if quarter else "axis")
        label = f"{100 * share:.0f}%" if axes.top > 0.1 else f"{100 * share:.1f}%"
        yield text_at(canvas.left - 8, y + 4, label, class_="tick", anchor="end")
    taken = -math.inf
    for x, label in sorted({(axes.x(p), p.label) for curve in curves for p in curve.points}):
        half = CHARACTER * len(label) / 2 + 3
        yield line(Point(x, floor), Point(x, floor + 5), "axis")
        if x - half >= taken:
            yield text_at(x, floor + 20, label, class_="tick", anchor="middle")
            taken = x + half
    name = UNITS[curves[0].axis]
    yield text_at((canvas.left + right) / 2, canvas.height - 6, name, class_="name", anchor="middle")


def _band(axes: _Axes, one: Series) -> Markup:
    places = one.curve.points
    edge = [Point(axes.x(p), axes.y(p.high)) for p in places]
    edge += [Point(axes.x(p), axes.y(p.low)) for p in reversed(places)]
    return polygon(edge, f"band {one.colour}")


def _line(axes: _Axes, one: Series) -> Markup:
    parts: list[Markup] = []
    if one.baseline is None:
        at = [Point(axes.x(p), axes.y(p.accuracy)) for p in one.curve.points]
        parts.append(polyline(at, "line"))
        parts += [
            marker(place, one.number, _tooltip(one, point))
            for place, point in zip(at, one.curve.points, strict=True)
        ]
        return tag("g", *parts, class_=one.colour)
    bought = [
        (Point(axes.x(point), axes.y(other.accuracy)), point, other)
        for point, other in zip(one.curve.points, one.baseline.points, strict=True)
        if other is not None
    ]
    parts.append(polyline([place for place, _, _ in bought], "line dashed"))
    for place, point, other in bought:
        text = (
            f"{one.title}, instead of {point.label} {UNITS[one.curve.axis]}: N = {other.k:.1f}, "
            f"{percent(other.accuracy)} ({interval(other.low, other.high)}); the curve is ahead by "
            f"{points(other.ahead)} points ({points(other.ahead_low)}…{points(other.ahead_high)})"
        )
        parts.append(marker(place, one.number, text))
    return tag("g", *parts, class_=one.colour)


def _tooltip(one: Series, point: ScalingPoint) -> str:
    seconds = "" if point.seconds is None else f", {point.seconds:.3g} s"
    return (
        f"{one.title}, {point.label} {UNITS[one.curve.axis]}: {percent(point.accuracy)} "
        f"({interval(point.low, point.high)}, n={point.n:,}); on average {point.steps:.1f} steps, "
        f"{point.tokens:,.0f} tokens{seconds}"
    )
