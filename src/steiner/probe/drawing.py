"""Seconds against tokens as SVG: points of each series and the fitted curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from steiner.evaluate.drawing.svg import (
    Point,
    drawing,
    line,
    marker,
    polyline,
    series_class,
    tag,
    text_at,
)
from steiner.probe.analyse import usable
from steiner.probe.records import Series
from steiner.probe.usage import billed_tokens

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 30.0, 48.0
CURVE_POINTS = 60


class _Axis(NamedTuple):
    low: float
    high: float
    logarithmic: bool
    start: float
    end: float

    def at(self, value: float) -> float:
        scale: Callable[[float], float] = math.log10 if self.logarithmic else float
        low, high = scale(self.low), scale(self.high)
        return self.start + (scale(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
            return [step for step in steps if self.low <= step <= self.high]
        step = _round_step((self.high - self.low) / 5)
        return [step * k for k in range(int(self.high / step) + 1)]


def seconds_figure(series: Sequence[Series], logarithmic: bool) -> Markup:
    """Draw all series; on logarithmic axes a power is a straight line, on plain ones a + b·tokens is."""
    points = [
        (billed_tokens(one), one.total_s)
        for each in series
        for one in usable(each.measurements)
    ]  # fmt: skip
    if not points:
        return Markup("")
    x = _axis([tokens for tokens, _ in points], logarithmic, LEFT, WIDTH - RIGHT)
    y = _axis([seconds for _, seconds in points], logarithmic, HEIGHT - BOTTOM, TOP)
    parts = _grid(x, y)
    for number, each in enumerate(series):
        parts += _one(each, number, x, y)
    kind = "logarithmic" if logarithmic else "plain"
    return drawing(
        WIDTH, HEIGHT, parts, title=f"Seconds against completion tokens, {kind} axes",
        text="; ".join(f"{each.label}: {each.verdict.kind.value}" for each in series),
    )  # fmt: skip


def _axis(values: Sequence[float], logarithmic: bool, start: float, end: float) -> _Axis:
    low, high = min(values), max(values)
    if logarithmic:
        return _Axis(max(low, 1e-3) / 1.25, high * 1.25, True, start, end)
    return _Axis(0.0, high * 1.05, False, start, end)


def _round_step(step: float) -> float:
    size = 10.0 ** math.floor(math.log10(step))
    return next(m * size for m in (1, 2, 5, 10) if m * size >= step)


def _grid(x: _Axis, y: _Axis) -> list[Markup]:
    parts: list[Markup] = []
    for tick in y.ticks():
        parts.append(line(Point(x.start, y.at(tick)), Point(x.end, y.at(tick)), "grid"))
        parts.append(text_at(x.start - 8, y.at(tick) + 4, f"{tick:g}", class_="tick", anchor="end"))
    for tick in x.ticks():
        parts.append(line(Point(x.at(tick), y.start), Point(x.at(tick), y.start + 5), "axis"))
        label = f"{tick:,.0f}" if tick >= 1 else f"{tick:g}"
        parts.append(text_at(x.at(tick), y.start + 20, label, class_="tick", anchor="middle"))
    parts.append(line(Point(x.start, y.start), Point(x.end, y.start), "axis"))
    middle = (x.start + x.end) / 2
    parts.append(
        text_at(middle, HEIGHT - 6, "completion tokens, reasoning included", class_="name", anchor="middle")
    )
    parts.append(text_at(4, 14, "seconds", class_="name"))
    return parts


def _one(series: Series, number: int, x: _Axis, y: _Axis) -> list[Markup]:
    kept = usable(series.measurements)
    marks = [
        marker(
            Point(x.at(billed_tokens(one)), y.at(one.total_s)), number,
            f"{series.label}: {billed_tokens(one):,.0f} tokens, {one.total_s:.2f} s", 3.2,
        )
        for one in kept
    ]  # fmt: skip
    curve: list[Markup] = []
    if series.fits is not None:
        curve.append(polyline(_curve(series, [billed_tokens(one) for one in kept], x, y), "line"))
    return [tag("g", *curve, *marks, class_=series_class(number + 1))]


def _curve(series: Series, tokens: Sequence[float], x: _Axis, y: _Axis) -> list[Point]:
    fits, low, high = series.fits, min(tokens), max(tokens)
    if fits is None:
        return []
    places = []
    for step in range(CURVE_POINTS + 1):
        at = low * (high / low) ** (step / CURVE_POINTS)
        seconds = fits.curve_start + fits.curve_scale * at**fits.curve_power.value
        if y.low < seconds < y.high:
            places.append(Point(x.at(at), y.at(seconds)))
    return places
