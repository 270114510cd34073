"""A few helpers to write SVG elements with everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from markupsafe import Markup, escape

from steiner.evaluate.wording import without_controls

Attribute: TypeAlias = str | float | None
SHAPES = 4
"""Number of shapes of `marker`."""
SERIES = 6
"""Number of colours the style sheet knows, as classes `s0` to `s5`."""


class Point(NamedTuple):
    """A place in the drawing, in its own units; y grows downwards."""

    x: float
    y: float


def tag(name: str, *children: str, **attributes: Attribute) -> Markup:
    """Return an element. `class_` becomes `class`, other underscores hyphens; None leaves an attribute out.

    Attributes, and children that are not `Markup`, are escaped and control characters in them replaced.
    """
    written = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), without_controls(number(value)))
        for key, value in attributes.items()
        if value is not None
    ]
    inner = Markup("").join(
        child if isinstance(child, Markup) else escape(without_controls(child)) for child in children
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup("").join(written), inner)


def number(value: Attribute) -> str:
    """Return a coordinate with at most one decimal, so that pages stay small; text as it is."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def drawing(
    width: float, height: float, children: Iterable[str], *, title: str, text: str = "", class_: str = "fig"
) -> Markup:
    """Return an `svg` element that scales with its column and tells screen readers what it shows."""
    described = [tag("title", title)] + ([tag("desc", text)] if text else [])
    return tag(
        "svg",
        *described,
        *children,
        viewBox=f"0 0 {number(float(width))} {number(float(height))}",
        width=width,
        height=height,
        role="img",
        aria_label=f"{title}. {text}" if text else title,
        class_=class_,
    )


def text_at(x: float, y: float, text: str, *, class_: str = "", anchor: str = "start") -> Markup:
    """Return one line of text with its baseline at (x, y)."""
    return tag(
        "text", text, x=x, y=y, class_=class_ or None, text_anchor=None if anchor == "start" else anchor
    )


def line(start: Point, end: Point, class_: str) -> Markup:
    """Return a straight line."""
    return tag("line", x1=start.x, y1=start.y, x2=end.x, y2=end.y, class_=class_)


def polyline(places: Sequence[Point], class_: str) -> Markup:
    """Return connected straight lines."""
    return tag("polyline", points=_points(places), class_=class_)


def polygon(places: Sequence[Point], class_: str) -> Markup:
    """Return a closed area."""
    return tag("polygon", points=_points(places), class_=class_)


def marker(place: Point, series: int, tooltip: str, radius: float = 4.5) -> Markup:
    """Return the mark of a data point, of another shape for each series: colour alone must not tell."""
    x, y, r = place.x, place.y, radius
    shapes = (
        lambda: tag("circle", cx=x, cy=y, r=r),
        lambda: tag("rect", x=x - r + 0.5, y=y - r + 0.5, width=2 * r - 1, height=2 * r - 1),
        lambda: polygon(
            [Point(x, y - r - 1), Point(x + r + 1, y), Point(x, y + r + 1), Point(x - r - 1, y)], ""
        ),
        lambda: polygon([Point(x, y - r - 1), Point(x + r + 0.5, y + r), Point(x - r - 0.5, y + r)], ""),
    )
    target = tag("circle", cx=x, cy=y, r=12.0, class_="target")
    return tag("g", tag("title", tooltip), target, shapes[series % SHAPES](), class_="mark")


def series_class(series: int) -> str:
    """Return the class that gives a series its colour."""
    return f"s{series % SERIES}"


def shorten(text: str, most: int) -> str:
    """Cut text to at most `most` characters on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: max(1, most - 1)].rstrip() + "…"


def _points(places: Sequence[Point]) -> str:
    return " ".join(f"{number(float(x))},{number(float(y))}" for x, y in places)
