"""A step graph: the question on top, the right answer below, dead ends marked, a path drawn over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from steiner.core import NodeKind, StepGraph, StepNode
from steiner.evaluate.drawing.layers import Layout, lay_out
from steiner.evaluate.drawing.svg import Point, drawing, polygon, shorten, tag, text_at
from steiner.evaluate.records import GraphExample

WIDTH, ROW, TOP = 860.0, 92.0, 34.0
MOST_NODES, MOST_IN_LAYER = 64, 15
SMALLEST, LARGEST = 5.0, 13.0
"""Radii of a node."""
SHORTEST_LABEL = 4
"""Labels that would have to be cut to fewer characters are left to the tooltip."""
CHARACTER = 6.4
"""Mean width of a character of a label."""


class GraphFigure(NamedTuple):
    """A drawing and what it leaves out."""

    svg: Markup
    drawn: int
    """Number of nodes drawn."""
    left_out: int


class _Picture(NamedTuple):
    graph: StepGraph
    at: dict[int, Point]
    radius: dict[int, float]


def graph_figure(example: GraphExample) -> GraphFigure:
    """Draw a step graph, cropped to a sensible number of nodes, with the example's path over it."""
    graph = example.graph
    visits = [graph.index_of[node] for node in example.path_nodes if node in graph.index_of]
    visits = [node for node in visits if graph.facts[node].d_s is not None]
    layout = lay_out(graph, visits, MOST_NODES, MOST_IN_LAYER)
    picture = _Picture(graph, _places(layout), _radii(graph))
    labels = _label_room(layout)
    drawn = sum(len(layer) for layer in layout.layers)
    parts = [
        *_edges(picture),
        *_route(picture, visits),
        *(_node(picture, node, labels[node]) for layer in layout.layers for node in layer),
        *_badges(picture, visits),
    ]
    facts = graph.facts
    dead = sum(f.d_e is None for f in facts)
    svg = drawing(
        WIDTH,
        TOP * 2 + ROW * (len(layout.layers) - 1) + 14,
        parts,
        title="Step graph",
        text=f"{len(graph.nodes)} nodes, {len(graph.edges)} edges, {dead} of them dead ends",
        class_="fig graph",
    )
    return GraphFigure(svg, drawn, layout.left_out)


def _places(layout: Layout) -> dict[int, Point]:
    return {
        node: Point(WIDTH * (position + 0.5) / len(layer), TOP + ROW * depth)
        for depth, layer in enumerate(layout.layers)
        for position, node in enumerate(layer)
    }


def _label_room(layout: Layout) -> dict[int, int]:
    """Return how many characters of a label fit under each node."""
    return {node: int((WIDTH / len(layer) - 8) / CHARACTER) for layer in layout.layers for node in layer}


def _radii(graph: StepGraph) -> dict[int, float]:
    """Return a radius for each node whose area grows with the traces that pass through."""
    most, grow = max((node.traces for node in graph.nodes[1:]), default=1) or 1, LARGEST - SMALLEST
    radii = {
        i: SMALLEST + grow * math.sqrt(min(node.traces, most) / most) for i, node in enumerate(graph.nodes)
    }
    radii[0] = LARGEST
    return radii


def _edges(picture: _Picture) -> list[Markup]:
    most = max((edge.traces for edge in picture.graph.edges), default=1) or 1
    return [
        tag(
            "path",
            d=_bow(picture.at[edge.source], picture.at[edge.target]),
            class_="edge" if picture.graph.facts[edge.target].d_e is not None else "edge dead",
            stroke_width=0.8 + 2.2 * math.sqrt(edge.traces / most),
        )
        for edge in picture.graph.edges
        if edge.source in picture.at and edge.target in picture.at
    ]


def _route(picture: _Picture, visits: Sequence[int]) -> list[Markup]:
    """Draw the path: each step from the latest earlier one that leads to it; returns are dashed."""
    graph, been, parts = picture.graph, [0], []
    follows = {(edge.source, edge.target) for edge in graph.edges}
    ends = [graph.answer_index] if graph.answer_index in picture.at else []
    for node in [*visits, *ends]:
        source = next((i for i in reversed(been) if (i, node) in follows), None)
        if source is None:
            continue
        if source != been[-1]:
            parts.append(_way_back(picture, been[-1], source))
        parts.append(tag("path", d=_bow(picture.at[source], picture.at[node]), class_="route"))
        been.append(node)
    return parts


def _way_back(picture: _Picture, start: int, end: int) -> Markup:
    a, b = picture.at[start], picture.at[end]
    bulge = 46.0 if a.x >= b.x else -46.0
    middle = (a.y + b.y) / 2
    route = f"M{a.x:.0f} {a.y:.0f}Q{(a.x + b.x) / 2 + bulge:.0f} {middle:.0f} {b.x:.0f} {b.y:.0f}"
    return tag("path", d=route, class_="return")


def _node(picture: _Picture, node: int, room: int) -> Markup:
    record, place, r = picture.graph.nodes[node], picture.at[node], picture.radius[node]
    shape = tag("circle", cx=place.x, cy=place.y, r=r)
    if record.kind is NodeKind.WRONG:
        x, y, d = place.x, place.y, r + 1
        shape = polygon([Point(x, y - d), Point(x + d, y), Point(x, y + d), Point(x - d, y)], "")
    parts = [tag("title", _tooltip(picture.graph, node)), shape]
    if record.kind is not NodeKind.STEP:
        sign = {NodeKind.QUESTION: "Q", NodeKind.RIGHT: "✓", NodeKind.WRONG: "✗"}[record.kind]
        parts.append(text_at(place.x, place.y + 4, sign, class_="sign", anchor="middle"))
    if room >= SHORTEST_LABEL and record.kind is not NodeKind.QUESTION:
        label = shorten(_label(record), room)
        parts.append(text_at(place.x, place.y + r + 13, label, class_="label", anchor="middle"))
    return tag("g", *parts, class_=f"node {_kind(picture.graph, node)}")


def _badges(picture: _Picture, visits: Sequence[int]) -> list[Markup]:
    """Number the nodes of the path in the order in which it visits them."""
    orders: dict[int, list[str]] = {}
    for order, node in enumerate(visits, start=1):
        orders.setdefault(node, []).append(str(order))
    parts = []
    for node, numbers in orders.items():
        x, y = picture.at[node].x + picture.radius[node] + 2, picture.at[node].y - picture.radius[node]
        parts.append(text_at(x, y + 2, ",".join(numbers), class_="badge"))
    return parts


def _bow(start: Point, end: Point) -> str:
    lean = (end.y - start.y) * 0.5
    return (
        f"M{start.x:.0f} {start.y:.0f}C{start.x:.0f} {start.y + lean:.0f} "
        f"{end.x:.0f} {end.y - lean:.0f} {end.x:.0f} {end.y:.0f}"
    )


def _kind(graph: StepGraph, node: int) -> str:
    kind = graph.nodes[node].kind
    if kind is NodeKind.STEP:
        return "dead" if graph.facts[node].d_e is None else "on"
    return kind.value


def _label(node: StepNode) -> str:
    if node.state is not None:
        return node.state.replace(",", " ")
    if node.kind is NodeKind.QUESTION:
        return "question"
    if node.answers:
        return node.answers[0]
    return node.wordings[0].name if node.wordings else ""


def _tooltip(graph: StepGraph, node: int) -> str:
    record, facts = graph.nodes[node], graph.facts[node]
    what = {
        NodeKind.QUESTION: "The question",
        NodeKind.RIGHT: f"Right answer: {shorten(_label(record), 120)}",
        NodeKind.WRONG: f"Wrong answer: {shorten(_label(record), 120)}",
    }.get(record.kind, shorten(_label(record), 120))
    first = record.wordings[0] if record.wordings else None
    said = f"\n{shorten(first.thought, 240)}" if first else ""
    reach = "dead end" if facts.d_e is None else f"{facts.d_e} from the right answer"
    traces = f"{record.traces:,} traces, {record.right:,} of them right"
    return f"{what}{said}\n{facts.d_s} from the question, {reach}; {traces}; {facts.e_i} in, {facts.e_o} out"
