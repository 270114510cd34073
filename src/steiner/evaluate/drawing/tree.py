"""The small search tree beside a path: a row for each step as written, a column for each depth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from steiner.core import Move, ReasoningPath
from steiner.evaluate.drawing.svg import Point, drawing, tag, text_at

ROW, COLUMN, MARGIN, LANE = 30.0, 26.0, 16.0, 7.0
KNOT = 9.5
"""Radius of a step."""
QUESTION = -1
MOST_COLUMNS = 12
"""Deeper steps share the last column."""


class Place(NamedTuple):
    """Where a step hangs in the search tree."""

    parent: int | None
    """Index of the step that it continues, `QUESTION`, or None if that cannot be told."""
    depth: int
    """Number of steps from the question to here along parents, this one included."""


def places_of(path: ReasoningPath) -> tuple[Place, ...]:
    """Return parent and depth of each step.

    A path that a model wrote names no parents. A step after a backtrack is then taken for a sibling of the
    latest earlier step of the same name (in Countdown the name is the state that the step starts from).
    Without such a step its parent is unknown and it is shown at the depth of a first step.
    """
    places: list[Place] = []
    for index, step in enumerate(path.steps):
        parent: int | None
        if path.parents:
            parent = path.parents[index]
        elif index == 0:
            parent = QUESTION
        elif path.moves[index - 1] is Move.PROCEED:
            parent = index - 1
        else:
            named = [i for i in range(index) if path.steps[i].name == step.name]
            parent = places[named[-1]].parent if named else None
        depth = 1 if parent is None or parent == QUESTION else places[parent].depth + 1
        places.append(Place(parent, depth))
    return tuple(places)


def tree_figure(path: ReasoningPath, right: bool, dead_ends: tuple[bool, ...] = ()) -> Markup:
    """Draw the steps of a path as a tree; returns are dashed and lead back to where the next step continues.

    Args:
        path: what to draw.
        right: whether its answer is right.
        dead_ends: parallel to the steps, or empty if unknown.
    """
    places, count = places_of(path), len(path.steps)
    columns = min(MOST_COLUMNS, max(place.depth for place in places))
    at = {QUESTION: Point(MARGIN, MARGIN)}
    for index, place in enumerate(places):
        at[index] = Point(MARGIN + COLUMN * min(place.depth, MOST_COLUMNS), MARGIN + ROW * (index + 1))
    end = Point(at[count - 1].x, MARGIN + ROW * (count + 1))
    returns = [
        (index - 1, place.parent)
        for index, place in enumerate(places)
        if index and path.moves[index - 1] is Move.BACKTRACK
    ]
    lanes = _lanes(returns)
    first_lane = MARGIN + COLUMN * columns + 18
    parts = [_branch(at[p.parent], at[index]) for index, p in enumerate(places) if p.parent is not None]
    parts.append(_branch(at[count - 1], end))
    for (start, parent), lane in zip(returns, lanes, strict=True):
        target = at[parent] if parent is not None else None
        parts.append(_return(at[start], target, first_lane + LANE * lane))
    parts.append(_knot(at[QUESTION], "Q", "question", "The question"))
    for index, step in enumerate(path.steps):
        left = index < len(path.moves) and path.moves[index] is Move.BACKTRACK
        kind = "dead" if left or (dead_ends and dead_ends[index]) else "on"
        parts.append(_knot(at[index], str(index + 1), kind, f"Step {index + 1}: {step.name}"))
    mark, word = ("✓", "right") if right else ("✗", "wrong")
    parts.append(_knot(end, mark, word, f"The answer, {word}"))
    return drawing(
        first_lane + LANE * max(lanes, default=-2) + 8,
        end.y + MARGIN,
        parts,
        title=f"Search tree of {count} steps",
        text=f"{path.backtracks} backtracks, the answer is {word}",
        class_="fig tree",
    )


def _lanes(returns: Sequence[tuple[int, int | None]]) -> list[int]:
    """Give each return the innermost lane beside the tree that is free over all rows it passes."""
    lanes: list[int] = []
    for number, (start, parent) in enumerate(returns):
        top = start if parent is None else parent
        taken = {
            lanes[other]
            for other, (low, high) in enumerate(returns[:number])
            if (low if high is None else high) <= start and low >= top
        }
        lanes.append(next(lane for lane in itertools.count() if lane not in taken))
    return lanes


def _branch(parent: Point, child: Point) -> Markup:
    """Return the line from a step down to one that continues it."""
    (x, y), bend = child, min(8.0, child.x - parent.x)
    start = f"M{parent.x:g} {parent.y:g}"
    if bend <= 0:
        route = f"{start}V{y:g}"
    else:
        route = f"{start}V{y - bend:g}Q{parent.x:g} {y:g} {parent.x + bend:g} {y:g}H{x:g}"
    return tag("path", d=route, class_="branch")


def _return(start: Point, target: Point | None, lane: float) -> Markup:
    """Return the dashed way back, right of all steps; where its end is unknown it stops there.

    Each row holds one step, so neither the rows nor the lanes meet another one.
    """
    route = f"M{start.x + KNOT:g} {start.y:g}H{lane - 4:g}"
    if target is not None:
        route += (
            f"Q{lane:g} {start.y:g} {lane:g} {start.y - 4:g}V{target.y + 4:g}"
            f"Q{lane:g} {target.y:g} {lane - 4:g} {target.y:g}H{target.x + KNOT + 1:g}"
            f"m5 -3l-5 3l5 3"
        )
    return tag("path", d=route, class_="return")


def _knot(place: Point, label: str, kind: str, tooltip: str) -> Markup:
    return tag(
        "g",
        tag("title", tooltip),
        tag("circle", cx=place.x, cy=place.y, r=KNOT),
        text_at(place.x, place.y + 3.6, label, anchor="middle"),
        class_=f"knot {kind}",
    )
