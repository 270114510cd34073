"""Accuracy against allowed steps, and the interval of a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from steiner.evaluate.drawing.svg import (
    Point,
    drawing,
    line,
    marker,
    polygon,
    polyline,
    series_class,
    shorten,
    tag,
    text_at,
)
from steiner.evaluate.records import Comparison, CurvePoint, ModelResult
from steiner.evaluate.wording import interval, percent, steps_allowed

NO_LIMIT_GAP = 1.0
"""How far right of the largest limit «no limit» stands, in doublings."""


class Canvas(NamedTuple):
    """Size of a figure and of the margins around its plot, in its own units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    labels: bool
    """Whether there is room for names at the ends of the lines."""


WIDE = Canvas(860, 420, left=52, right=150, top=14, bottom=48, labels=True)
NARROW = Canvas(360, 300, left=40, right=14, top=12, bottom=46, labels=False)


class _Axes(NamedTuple):
    canvas: Canvas
    places: dict[int | None, float]
    """Limit → x."""
    top: float
    """Accuracy at the upper edge."""

    def at(self, point: CurvePoint, accuracy: float | None = None) -> Point:
        share = point.accuracy if accuracy is None else accuracy
        return Point(self.places[point.max_steps], self.y(share))

    def y(self, share: float) -> float:
        canvas = self.canvas
        return canvas.height - canvas.bottom - share / self.top * (canvas.height - canvas.top - canvas.bottom)


def accuracy_figure(models: Sequence[ModelResult], canvas: Canvas = WIDE) -> Markup:
    """Draw each model's share of solved problems against the steps it is allowed, with its 95% band.

    The horizontal axis is logarithmic (base 2). A point without limit stands apart at the right.
    """
    axes = _axes(models, canvas)
    parts = [*_grid(axes), *(_band(axes, model, k) for k, model in enumerate(models))]
    parts += [_curve(axes, model, k) for k, model in enumerate(models)]
    if canvas.labels:
        parts += _end_labels(axes, models)
    summary = "; ".join(
        f"{model.title}: {percent(model.curve[0].accuracy)} with {steps_allowed(model.curve[0].max_steps)}, "
        f"{percent(model.curve[-1].accuracy)} with {steps_allowed(model.curve[-1].max_steps)}"
        for model in models
        if model.curve
    )
    size = "wide" if canvas.labels else "narrow"
    return drawing(
        canvas.width,
        canvas.height,
        parts,
        title="Share of problems solved against allowed steps",
        text=summary,
        class_=f"fig {size}",
    )


def difference_figure(comparison: Comparison) -> Markup:
    """Draw a difference and its interval around zero, on an axis of round width that holds both."""
    reach = _reach(comparison)
    width, middle, scale = 260.0, 14.0, 120.0 / reach

    def x(share: float) -> float:
        return width / 2 + max(-reach, min(reach, share)) * scale

    tooltip = comparison.verdict
    return drawing(
        width,
        40,
        [
            line(Point(10, middle), Point(width - 10, middle), "axis"),
            line(Point(width / 2, middle - 9), Point(width / 2, middle + 9), "zero"),
            line(Point(x(comparison.low), middle), Point(x(comparison.high), middle), "whisker"),
            marker(Point(x(comparison.difference), middle), 0, tooltip, radius=5),
            text_at(10, 37, f"{-100 * reach:.0f}".replace("-", "−"), class_="tick"),
            text_at(width / 2, 37, "0", class_="tick", anchor="middle"),
            text_at(width - 10, 37, f"+{100 * reach:.0f} points", class_="tick", anchor="end"),
        ],
        title=f"{comparison.after} against {comparison.before}",
        text=tooltip,
        class_=f"fig difference {comparison.outcome.value}",
    )


def _reach(comparison: Comparison) -> float:
    """Return half the width of the axis, as a share."""
    widest = max(abs(comparison.low), abs(comparison.high))
    return next(
        reach for reach in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0) if widest <= reach or reach == 1.0
    )


def _axes(models: Sequence[ModelResult], canvas: Canvas) -> _Axes:
    limits = {point.max_steps for model in models for point in model.curve}
    numbers = sorted(limit for limit in limits if limit is not None)
    ends: dict[int | None, float] = {limit: math.log2(limit) for limit in numbers}
    if None in limits:
        ends[None] = max(ends.values()) + NO_LIMIT_GAP if ends else 0.0
    low, high = (min(ends.values()), max(ends.values())) if ends else (0.0, 0.0)
    span, inner = high - low, canvas.width - canvas.left - canvas.right - 24
    places = {
        limit: canvas.left + 12 + (inner * (value - low) / span if span else inner / 2)
        for limit, value in ends.items()
    }
    best = max((point.high for model in models for point in model.curve), default=1.0)
    top = next(edge for edge in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if best <= edge or edge == 1.0)
    return _Axes(canvas, places, top)


def _grid(axes: _Axes) -> list[Markup]:
    canvas, floor = axes.canvas, axes.canvas.height - axes.canvas.bottom
    right = canvas.width - canvas.right
    parts = []
    for quarter in range(5):
        share = axes.top * quarter / 4
        y = axes.y(share)
        parts.append(line(Point(canvas.left, y), Point(right, y), "grid" if quarter else "axis"))
        label = f"{100 * share:.0f}%" if axes.top > 0.1 else f"{100 * share:.1f}%"
        parts.append(text_at(canvas.left - 8, y + 4, label, class_="tick", anchor="end"))
    taken = -math.inf
    for limit, x in sorted(axes.places.items(), key=lambda item: item[1]):
        label = "no limit" if limit is None else str(limit)
        half = 3.6 * len(label) + 3
        parts.append(line(Point(x, floor), Point(x, floor + 5), "axis"))
        if x - half >= taken:
            parts.append(text_at(x, floor + 20, label, class_="tick", anchor="middle"))
            taken = x + half
    middle = (canvas.left + right) / 2
    parts.append(text_at(middle, canvas.height - 6, "steps allowed", class_="name", anchor="middle"))
    return parts


def _band(axes: _Axes, model: ModelResult, series: int) -> Markup:
    edge = [axes.at(p, p.high) for p in model.curve] + [axes.at(p, p.low) for p in reversed(model.curve)]
    if len(model.curve) == 1:
        return line(edge[0], edge[1], f"whisker {series_class(series)}")
    return polygon(edge, f"band {series_class(series)}") if edge else Markup("")


def _curve(axes: _Axes, model: ModelResult, series: int) -> Markup:
    numbered = [p for p in model.curve if p.max_steps is not None]
    parts = [polyline([axes.at(p) for p in numbered], "line")]
    if numbered and len(numbered) < len(model.curve):
        parts.append(line(axes.at(numbered[-1]), axes.at(model.curve[-1]), "line dashed"))
    for point in model.curve:
        tooltip = (
            f"{model.title}, {steps_allowed(point.max_steps)}: {percent(point.accuracy)} "
            f"({interval(point.low, point.high)}, n={point.n:,}); on average {point.mean_steps:.1f} steps, "
            f"{point.mean_reasoning_tokens:,.0f} reasoning tokens"
        )
        parts.append(marker(axes.at(point), series, tooltip))
    return tag("g", *parts, class_=series_class(series))


def _end_labels(axes: _Axes, models: Sequence[ModelResult]) -> list[Markup]:
    """Name each line at its end; labels that would overlap are pushed apart, in the order of the lines."""
    ends = sorted(
        ((axes.at(m.curve[-1]), m, k) for k, m in enumerate(models) if m.curve), key=lambda end: end[0].y
    )
    gap, floor = 17.0, axes.canvas.height - axes.canvas.bottom
    heights: list[float] = []
    for place, _, _ in ends:
        heights.append(max(place.y + 4, heights[-1] + gap if heights else axes.canvas.top + 8))
    for i in range(len(heights) - 1, -1, -1):
        most = floor + 4 if i == len(heights) - 1 else heights[i + 1] - gap
        heights[i] = min(heights[i], most)
    x = max((place.x for place, _, _ in ends), default=0.0) + 14
    return [
        tag(
            "text",
            shorten(model.title, 17) + " ",
            tag("tspan", percent(model.curve[-1].accuracy), class_="strong"),
            x=x,
            y=y,
            class_=f"end {series_class(k)}",
        )
        for (_, model, k), y in zip(ends, heights, strict=True)
    ]
