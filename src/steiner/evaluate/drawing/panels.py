"""Small panels: histograms, training curves and bars of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from steiner.evaluate.drawing.svg import Point, drawing, line, polyline, tag, text_at
from steiner.evaluate.records import Histogram, TrainingCurve

WIDTH, HEIGHT = 340.0, 180.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 36.0
MOST_POINTS = 160
"""Longer training curves are averaged down to this many points."""


def histogram_figure(bars: Histogram) -> Markup:
    """Draw counts as bars, with a mark at the mean."""
    low, high, most = bars.edges[0], bars.edges[-1], max([*bars.counts, 1])

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    floor, parts = HEIGHT - BOTTOM, []
    for i, count in enumerate(bars.counts):
        left, right = x(bars.edges[i]), x(bars.edges[i + 1])
        height = count / most * (floor - TOP)
        name = _bin_name(bars.edges[i], bars.edges[i + 1])
        rect = tag(
            "rect", x=left + 0.5, y=floor - height, width=max(1.0, right - left - 1), height=height, rx=1.0
        )
        parts.append(tag("g", tag("title", f"{name} {bars.unit}: {count:,}"), rect, class_="bar"))
    parts += [
        line(Point(LEFT, floor), Point(WIDTH - RIGHT, floor), "axis"),
        line(Point(x(bars.mean), TOP), Point(x(bars.mean), floor), "mean"),
        text_at(LEFT - 6, TOP + 8, f"{most:,}", class_="tick", anchor="end"),
        text_at(LEFT - 6, floor, "0", class_="tick", anchor="end"),
        text_at((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, bars.unit, class_="name", anchor="middle"),
        *_bin_ticks(bars, x),
    ]
    text = f"{sum(bars.counts):,} values, mean {bars.mean:,.1f}"
    return drawing(WIDTH, HEIGHT, parts, title=f"Distribution of {bars.unit}", text=text)


def training_figure(curve: TrainingCurve, series: int = 0) -> Markup:
    """Draw one logged number against training steps; a gap stands where it was not finite."""
    pieces = [piece for piece in _pieces(_thinned(curve)) if piece]
    values = [value for piece in pieces for _, value in piece]
    if not values:
        return drawing(
            WIDTH,
            HEIGHT,
            [text_at(WIDTH / 2, HEIGHT / 2, "no finite value", class_="tick", anchor="middle")],
            title=f"{curve.stage}: {curve.metric}",
        )
    low, high = min(values), max(values)
    pad = (high - low) * 0.06 or max(abs(high), 1.0) * 0.06
    first, last = pieces[0][0][0], pieces[-1][-1][0]
    floor = HEIGHT - BOTTOM

    def at(step: float, value: float) -> Point:
        x = LEFT + (step - first) / ((last - first) or 1.0) * (WIDTH - LEFT - RIGHT)
        return Point(x, floor - (value - low + pad) / (high - low + 2 * pad) * (floor - TOP))

    parts: list[Markup] = [line(Point(LEFT, floor), Point(WIDTH - RIGHT, floor), "axis")]
    for value in (low, high) if high > low else (low,):
        y = at(first, value).y
        parts += [
            line(Point(LEFT, y), Point(WIDTH - RIGHT, y), "grid"),
            text_at(LEFT - 6, y + 4, f"{value:.3g}".replace("-", "−"), class_="tick", anchor="end"),
        ]
    for piece in pieces:
        places = [at(step, value) for step, value in piece]
        parts.append(polyline(places if len(places) > 1 else [places[0], places[0]], "line"))
    parts += [
        text_at(LEFT, floor + 16, f"{first:,.0f}", class_="tick"),
        text_at(WIDTH - RIGHT, floor + 16, f"{last:,.0f}", class_="tick", anchor="end"),
        text_at((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "training step", class_="name", anchor="middle"),
    ]
    text = f"from {values[0]:.3g} at step {first:,.0f} to {values[-1]:.3g} at step {last:,.0f}"
    return drawing(
        WIDTH, HEIGHT, parts, title=f"{curve.stage}: {curve.metric}", text=text, class_=f"fig s{series % 6}"
    )


def time_bar(seconds: float, cpu_seconds: float, longest: float) -> Markup:
    """Draw wall-clock time over processor time, both as a share of `longest` seconds."""
    scale = 200.0 / max(longest, 1e-9)
    return tag(
        "svg",
        tag("rect", x=0.0, y=0.0, width=cpu_seconds * scale, height=12.0, class_="cpu"),
        tag("rect", x=0.0, y=3.0, width=seconds * scale, height=6.0, class_="wall"),
        viewBox="0 0 200 12",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="timebar",
    )


def _bin_name(low: float, high: float) -> str:
    """Name the whole numbers of a bin."""
    first, last = -int(-low // 1), -int(-high // 1) - 1
    return f"{first:,}" if first >= last else f"{first:,}–{last:,}"


def _bin_ticks(bars: Histogram, x: Callable[[float], float]) -> Iterator[Markup]:
    """Label as many bins as there is room for: in the middle of bins of one value, else at their edges."""
    single = bars.edges[1] - bars.edges[0] == 1
    values = [edge + 0.5 for edge in bars.edges[:-1]] if single else list(bars.edges)
    room = max(26.0, 8.0 * len(f"{values[-1]:,.0f}"))
    every = max(1, math.ceil(room / ((WIDTH - LEFT - RIGHT) / len(bars.counts))))
    for value in values[::every]:
        yield text_at(x(value), HEIGHT - BOTTOM + 16, f"{value:,.0f}", class_="tick", anchor="middle")


def _thinned(curve: TrainingCurve) -> Sequence[tuple[float, float | None]]:
    """Average neighbours so that at most `MOST_POINTS` are left; a group without a finite value is a gap."""
    size = -(-len(curve.steps) // MOST_POINTS) or 1
    points: list[tuple[float, float | None]] = []
    for start in range(0, len(curve.steps), size):
        values = [value for value in curve.values[start : start + size] if value is not None]
        step = float(
            curve.steps[start] if size == 1 else curve.steps[min(start + size, len(curve.steps)) - 1]
        )
        points.append((step, sum(values) / len(values) if values else None))
    return points


def _pieces(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    piece: list[tuple[float, float]] = []
    for step, value in points:
        if value is None:
            yield piece
            piece = []
        else:
            piece.append((step, value))
    yield piece
