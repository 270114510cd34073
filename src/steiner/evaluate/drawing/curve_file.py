"""Scaling curves as a file of their own, for a README or a paper: heading, legend and style inside."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from steiner.evaluate.curves import ScalingCurve
from steiner.evaluate.drawing.accuracy import WIDE, Canvas
from steiner.evaluate.drawing.scaling import axis_place, scaling_figure, series_of
from steiner.evaluate.drawing.sheet import style
from steiner.evaluate.drawing.svg import Point, line, marker, polyline, tag, text_at

MARGIN = 16.0
HEADING = 40.0
ROW = 20.0
"""Height of a line of the legend."""


def curve_file(curves: Sequence[ScalingCurve], heading: str, *, trained_to: float | None = None) -> str:
    """Return the text of an SVG file.

    Args:
        curves: all of one axis.
        heading: one line above the figure.
        trained_to: largest budget of the training, marked by a vertical line.
    """
    canvas = WIDE
    series = series_of(curves)
    legend = HEADING + canvas.height + 6
    width, height = canvas.width + 2 * MARGIN, legend + ROW * len(series) + MARGIN
    parts = [
        tag("style", Markup(style("curve_file.css"))),
        tag("rect", width=width, height=height, class_="paper"),
        text_at(MARGIN, 28, heading, class_="heading"),
        tag(
            "g",
            scaling_figure(curves, canvas),
            *([] if trained_to is None else _mark(curves, canvas, trained_to)),
            transform=f"translate({MARGIN:.0f} {HEADING:.0f})",
        ),
    ]
    for row, one in enumerate(series):
        y = legend + ROW * row + 8
        ends = [Point(MARGIN + 8, y), Point(MARGIN + 44, y)]
        sample = polyline(ends, "line" if one.baseline is None else "line dashed")
        shape = marker(Point(MARGIN + 26, y), one.number, one.title)
        parts.append(tag("g", sample, shape, class_=one.colour))
        parts.append(text_at(MARGIN + 54, y + 4, one.title))
    return str(
        tag(
            "svg",
            tag("title", heading),
            *parts,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width:.0f} {height:.0f}",
            role="img",
            class_="figure",
        )
    )


def _mark(curves: Sequence[ScalingCurve], canvas: Canvas, trained_to: float) -> list[Markup]:
    """Draw the line up to which the model was trained."""
    x = axis_place(curves, canvas, trained_to)
    return [
        line(Point(x, canvas.top), Point(x, canvas.height - canvas.bottom), "limit"),
        text_at(x - 6, canvas.top + 12, "trained up to here", anchor="end"),
    ]
