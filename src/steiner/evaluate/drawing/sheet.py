"""A step graph on a sheet of its own: one SVG file that needs nothing else.

The question stands on top, the right answer at the bottom, each layer is one step further from the question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from steiner.core import Move, NodeKind, Problem, ReasoningPath, StepGraph
from steiner.evaluate.drawing.layers import Layout
from steiner.evaluate.drawing.sheet_layout import Link, Places, place
from steiner.evaluate.drawing.sheet_text import cells, label, tooltip, wrap
from steiner.evaluate.drawing.svg import Point, drawing, number, polygon, shorten, tag, text_at

MARGIN, GUTTER = 28.0, 58.0
"""Blank space around, and more of it on the left for the distances."""
GAP, SLOT, NARROWEST_SLOT, LEAST_WIDTH = 38.0, 122.0, 54.0, 760.0
LINE, LABEL_LINES = 13.0, 3
CHARACTER, NOTE_CHARACTER, QUESTION_CHARACTER = 6.1, 6.3, 9.8
"""Mean widths of a letter in labels, notes and the question; wide fonts have been allowed for."""
SMALLEST, LARGEST = 5.0, 15.0
"""Radii of a node."""


class Subject(NamedTuple):
    """What is drawn."""

    problem: Problem
    graph: StepGraph
    layout: Layout
    """The nodes that are drawn."""
    numbers: Mapping[int, int] = {}
    """Numbers of steps and of wrong answers, by index of their nodes."""
    wordings: Mapping[int, int] = {}
    """Which wording speaks for a node with several, by index of the node; else the first."""
    path: ReasoningPath | None = None
    path_title: str = ""
    links: bool = False
    """Whether each step is a link to `#s` and its number."""


class Visit(NamedTuple):
    """A step of the path: where it is, and what it continues."""

    node: int
    source: int | None
    """The node it continues; None if the graph has no such edge."""
    left: int | None
    """The node that the path came back from; None if it simply went on."""
    goes_back: bool
    """Whether the path goes back from here."""


def sheet(subject: Subject) -> Markup:
    """Draw a step graph as an `svg` element with its own style sheet."""
    graph = subject.graph
    row = 2 * LARGEST + LINE * _label_lines(subject) + 11
    places = place(graph, subject.layout, slot=_slot(subject), row=row, gap=GAP)
    width = max(LEAST_WIDTH, places.width + GUTTER + 2 * MARGIN)
    head = _heading(subject, width)
    left = GUTTER + MARGIN + (width - GUTTER - 2 * MARGIN - places.width) / 2
    moved = _moved(places, left, head.height)
    radii = _radii(graph, moved.at)
    visits = path_visits(subject)
    facts = [facts for i, facts in enumerate(graph.facts) if graph.nodes[i].kind is NodeKind.STEP]
    height = head.height + places.height
    parts = [
        tag("style", Markup(style("sheet.css"))),
        tag("defs", *(_arrow(f"arrow{kind}", f"tip {kind.lstrip('-')}") for kind in ("", "-on", "-back"))),
        tag("rect", width=width, height=height, class_="paper"),
        *head.parts,
        *_guides(graph, moved, width),
        *_edges(subject, moved),
        *_route(moved, visits, graph.answer_index),
        *(
            _node(subject, node, moved.at[node], radii[node])
            for layer in subject.layout.layers
            for node in layer
        ),
        *_badges(moved, radii, visits),
    ]
    return drawing(
        width,
        height,
        parts,
        title=f"Step graph: {shorten(subject.problem.question, 100)}",
        text=f"{len(facts)} steps, {sum(f.d_e is None for f in facts)} of them dead ends, "
        f"{len(graph.edges)} edges, {graph.nodes[0].traces} traces",
        class_="sheet",
    )


def style(name: str) -> str:
    """Return one of our own style sheets."""
    return (Path(__file__).parent.parent / "templates" / name).read_text(encoding="utf-8")


def sheet_file(subject: Subject) -> str:
    """Return the drawing as the text of an SVG file."""
    # XML, unlike HTML, forbids these two wherever they stand.
    svg = str(sheet(subject)).translate(dict.fromkeys((0xFFFE, 0xFFFF), 0xFFFD))
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg}\n'


def path_visits(subject: Subject) -> list[Visit]:
    """Say where each step of the path is drawn; steps outside the drawing are passed over.

    What a step continues is its parent; for a path without parents, the latest step that an edge leads from.
    """
    graph, path = subject.graph, subject.path
    drawn = {node for layer in subject.layout.layers for node in layer}
    edges = {(edge.source, edge.target) for edge in graph.edges}
    nodes = [graph.index_of.get(node) for node in path.nodes] if path else []
    visits: list[Visit] = []
    for index, node in enumerate(nodes):
        if path is None or node is None or node not in drawn:
            continue
        before = [0, *(visit.node for visit in visits)]
        if path.parents:
            parent = path.parents[index]
            source = 0 if parent < 0 else nodes[parent]
        else:
            source = next((i for i in reversed(before) if (i, node) in edges), None)
        if (source, node) not in edges:
            source = None
        left = before[-1] if source is not None and before[-1] != source else None
        goes_back = index < len(path.moves) and path.moves[index] is Move.BACKTRACK
        visits.append(Visit(node, source, left, goes_back))
    return visits


class _Heading(NamedTuple):
    parts: list[Markup]
    height: float


def _heading(subject: Subject, width: float) -> _Heading:
    """Set question, numbers and legend above the drawing."""
    graph, room = subject.graph, int((width - 2 * MARGIN) / QUESTION_CHARACTER)
    y, parts = MARGIN + 8, []
    for line in wrap(subject.problem.question, room, 3):
        parts.append(text_at(MARGIN, y, line, class_="question"))
        y += 21
    steps = [i for i, node in enumerate(graph.nodes) if node.kind is NodeKind.STEP]
    dead = sum(graph.facts[i].d_e is None for i in steps)
    numbers = (
        f"{graph.nodes[0].traces:,} traces, {graph.nodes[0].right:,} right · {len(steps):,} steps, "
        f"{sum(graph.nodes[i].traces > 1 for i in steps):,} shared, {dead:,} dead ends"
    )
    notes = [numbers, subject.path_title] if subject.path else [numbers]
    lost = sum(facts.d_s is None for facts in graph.facts)
    if subject.layout.left_out > lost:
        notes.append(f"{subject.layout.left_out - lost:,} nodes that fewer traces pass through are left out")
    if lost:
        notes.append(f"{lost:,} nodes cannot be reached from the question and are left out")
    for line in [line for note in notes for line in wrap(note, int(room * 1.4), 2)]:
        parts.append(text_at(MARGIN, y, line, class_="note"))
        y += 17
    return _Heading([*parts, *_legend(y + 6, bool(subject.path))], y + 62)


def _legend(y: float, path: bool) -> list[Markup]:
    items = [("on", "leads on to the right answer"), ("dead", "dead end"), ("right", "right answer")]
    items.append(("wrong", "wrong answer"))
    x, parts = MARGIN + 7, []
    for kind, title in items:
        mark = _diamond(Point(x, y), 5.5) if kind == "wrong" else tag("circle", cx=x, cy=y, r=6.0)
        parts += [tag("g", mark, class_=f"key {kind}"), text_at(x + 13, y + 4, title, class_="note")]
        x += 13 + cells(title) * NOTE_CHARACTER + 24
    if path:
        for kind, title in (("route", "the path"), ("return", "goes back")):
            parts.append(tag("path", d=f"M{x:.0f} {y:.0f}h22", class_=kind))
            parts.append(text_at(x + 30, y + 4, title, class_="note"))
            x += 30 + cells(title) * NOTE_CHARACTER + 24
    return parts


def _slot(subject: Subject) -> float:
    """Return the width of a node's label: less where all labels are short."""
    graph = subject.graph
    drawn = (graph.nodes[node] for layer in subject.layout.layers for node in layer)
    longest = max((cells(label(node)) + 4 for node in drawn if node.kind is NodeKind.STEP), default=0)
    return min(SLOT, max(NARROWEST_SLOT, longest * CHARACTER + 14))


def _label_lines(subject: Subject) -> int:
    """Return the most lines that a label takes."""
    drawn = (node for layer in subject.layout.layers for node in layer)
    return max(len(_label_text(subject, node)) for node in drawn)


def _moved(places: Places, x: float, y: float) -> Places:
    return places._replace(
        at={node: Point(p.x + x, p.y + y) for node, p in places.at.items()},
        ways={link: tuple(Point(p.x + x, p.y + y) for p in way) for link, way in places.ways.items()},
        rows=tuple(row + y for row in places.rows),
    )


def _radii(graph: StepGraph, at: Mapping[int, Point]) -> dict[int, float]:
    """Return a radius for each node whose area grows with the traces that pass through."""
    most = max((graph.nodes[node].traces for node in at if node), default=1) or 1
    share = {node: min(1.0, graph.nodes[node].traces / most) if node else 1.0 for node in at}
    return {node: math.sqrt(SMALLEST**2 + (LARGEST**2 - SMALLEST**2) * s) for node, s in share.items()}


def _guides(graph: StepGraph, places: Places, width: float) -> list[Markup]:
    parts = []
    for depth, y in enumerate(places.rows):
        if not depth or not any(
            at.y == y and graph.nodes[i].kind is NodeKind.STEP for i, at in places.at.items()
        ):
            continue
        title = "1 step" if depth == 1 else f"{depth} steps"
        parts.append(tag("path", d=f"M{MARGIN:.0f} {y:.0f}H{width - MARGIN:.0f}", class_="guide"))
        parts.append(text_at(MARGIN, y - 5, title, class_="distance"))
    return parts


def _edges(subject: Subject, places: Places) -> list[Markup]:
    graph = subject.graph
    drawn = [e for e in graph.edges if e.source in places.at and e.target in places.at]
    most = max((edge.traces for edge in drawn), default=1) or 1
    parts = []
    for edge in sorted(drawn, key=lambda e: (graph.facts[e.target].d_e is not None, e.source, e.target)):
        link = (edge.source, edge.target)
        kind = "edge" if graph.facts[edge.target].d_e is not None else "edge dead"
        across = link not in places.ways
        parts.append(
            tag(
                "path",
                d=_way(places, link),
                class_=f"{kind} across" if across else kind,
                stroke_width=1.0 + 3.0 * math.sqrt((edge.traces - 1) / most),
                marker_end="url(#arrow)" if across else None,
            )
        )
    return parts


def _way(places: Places, link: Link) -> str:
    """Return the line of an edge: down from layer to layer, or an arc where it does not lead down."""
    points = places.ways.get(link)
    if points is None:
        return _arc(places.at[link[0]], places.at[link[1]], 18.0)
    parts = [f"M{number(points[0].x)} {number(points[0].y)}"]
    for a, b in pairwise(points):
        lean = (b.y - a.y) * 0.5
        control = (a.x, a.y + lean, b.x, b.y - lean, b.x, b.y)
        parts.append("C" + " ".join(number(float(v)) for v in control))
    return "".join(parts)


def _arc(start: Point, end: Point, gap: float) -> str:
    """Return a bow that ends a little before its target, so that its arrow is seen."""
    dx, dy = end.x - start.x, end.y - start.y
    length = math.hypot(dx, dy) or 1.0
    # Along a row the bow stays flat, so that it does not reach the next one.
    bulge = min(60.0 if abs(dy) < abs(dx) / 2 else 150.0, 14 + 0.2 * length)
    # To the right of the way: two arcs between the same nodes do not meet.
    control = Point((start.x + end.x) / 2 + dy / length * bulge, (start.y + end.y) / 2 - dx / length * bulge)
    ex, ey = end.x - control.x, end.y - control.y
    far = math.hypot(ex, ey) or 1.0
    stop = Point(end.x - ex / far * gap, end.y - ey / far * gap)
    values = (start.x, start.y, control.x, control.y, stop.x, stop.y)
    a, b, c, d, e, f = (number(float(value)) for value in values)
    return f"M{a} {b}Q{c} {d} {e} {f}"


def _route(places: Places, visits: Sequence[Visit], answer: int | None) -> list[Markup]:
    parts = []
    for visit in visits:
        if visit.left is not None and visit.source is not None:
            back = _arc(places.at[visit.left], places.at[visit.source], 19.0)
            parts.append(tag("path", d=back, class_="return", marker_end="url(#arrow-back)"))
        if visit.source is not None:
            link = (visit.source, visit.node)
            tip = None if link in places.ways else "url(#arrow-on)"
            parts.append(tag("path", d=_way(places, link), class_="route", marker_end=tip))
    if visits and answer is not None and (visits[-1].node, answer) in places.ways:
        parts.append(tag("path", d=_way(places, (visits[-1].node, answer)), class_="route"))
    return parts


def _node(subject: Subject, node: int, at: Point, radius: float) -> Markup:
    graph, record = subject.graph, subject.graph.nodes[node]
    kind = record.kind.value
    if record.kind is NodeKind.STEP:
        kind = "dead" if graph.facts[node].d_e is None else "on"
    shape = _diamond(at, radius) if kind == "wrong" else tag("circle", cx=at.x, cy=at.y, r=radius)
    parts = [tag("title", tooltip(graph, node, subject.wordings.get(node, 0))), shape]
    sign = {"question": "?", "right": "✓", "wrong": "✗"}.get(kind)
    if sign and radius >= 7:
        parts.append(text_at(at.x, at.y + 4.5, sign, class_="sign", anchor="middle"))
    elif kind == "dead":
        r = min(4.0, radius * 0.45)
        cross = (
            f"M{at.x - r:.1f} {at.y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m0 {-2 * r:.1f}l{-2 * r:.1f} {2 * r:.1f}"
        )
        parts.append(tag("path", d=cross, class_="cross"))
    parts += _label(subject, node, at, radius)
    group = tag("g", *parts, class_=f"node {kind}", id=f"n{node}")
    if subject.links and node in subject.numbers and record.kind is NodeKind.STEP:
        return tag("a", group, href=f"#s{subject.numbers[node]}")
    return group


def _label(subject: Subject, node: int, at: Point, radius: float) -> list[Markup]:
    y = at.y + radius + LINE
    lines = _label_text(subject, node)
    return [
        text_at(at.x, y + LINE * i, line, class_="label", anchor="middle") for i, line in enumerate(lines)
    ]


def _label_text(subject: Subject, node: int) -> list[str]:
    """Return the lines below a node: its number and name. The question has none."""
    if not node:
        return []
    record = subject.graph.nodes[node]
    text = label(record, subject.wordings.get(node, 0))
    if node in subject.numbers and record.kind is NodeKind.STEP:
        text = f"{subject.numbers[node]}. {text}"
    return wrap(text, int((_slot(subject) - 6) / CHARACTER), LABEL_LINES)


def _badges(places: Places, radii: Mapping[int, float], visits: Sequence[Visit]) -> list[Markup]:
    """Number the nodes of the path in the order in which it visits them."""
    orders: dict[int, list[tuple[int, bool]]] = {}
    for order, visit in enumerate(visits, start=1):
        orders.setdefault(visit.node, []).append((order, visit.goes_back))
    parts = []
    for node, marks in orders.items():
        text = ",".join(f"{order}↩" if back else str(order) for order, back in marks)
        width = 9 + 6.6 * cells(text)
        x, y = places.at[node].x + radii[node] * 0.75 + 2, places.at[node].y - radii[node] * 0.75 - 13
        kind = "badge back" if any(back for _, back in marks) else "badge"
        box = tag("rect", x=x, y=y, width=width, height=15.0, rx=7.5)
        parts.append(tag("g", box, text_at(x + width / 2, y + 11.5, text, anchor="middle"), class_=kind))
    return parts


def _diamond(at: Point, radius: float) -> Markup:
    x, y, d = at.x, at.y, radius * 1.2
    return polygon([Point(x, y - d), Point(x + d, y), Point(x, y + d), Point(x - d, y)], "shape")


def _arrow(name: str, class_: str) -> Markup:
    return tag(
        "marker",
        tag("path", d="M0 0L7 3L0 6z", class_=class_),
        id=name, viewBox="0 0 7 6", refX="5", refY="3", markerWidth="7", markerHeight="6",
        markerUnits="userSpaceOnUse", orient="auto",
    )  # fmt: skip
