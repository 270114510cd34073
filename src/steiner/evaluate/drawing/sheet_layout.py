"""Places for a step graph that is drawn on a sheet of its own: few crossings, room for a label at each node.

The method of Sugiyama, Tagawa & Toda (1981). Layers are distances from the question; wrong answers move below
all steps that lead to them, the right answer comes last. An edge that passes layers gets a waypoint in each.
The order within the layers is by barycentres; the one with fewest crossings is kept. Places along a layer are
then drawn towards the neighbours' (pool adjacent violators): chains become straight.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from steiner.core import NodeKind, StepGraph
from steiner.evaluate.drawing.layers import Layout
from steiner.evaluate.drawing.svg import Point

SWEEPS = 16
WAYPOINT = 13.0
"""Width of a waypoint."""
WIDEST_ROW = 14
"""A layer with more nodes is set in several rows, each node below and beside the one before."""
MOST_ROWS = 6
STRAIGHT = 8.0
"""How much more a line between two waypoints wants to be straight than one at a node."""

Link = tuple[int, int]


class Places(NamedTuple):
    """Where everything is."""

    at: dict[int, Point]
    """Centre of each node that is drawn."""
    ways: dict[Link, tuple[Point, ...]]
    """Points of each edge that leads down, by source and target, both ends included."""
    sideways: tuple[Link, ...]
    """Edges that do not lead down: to a node that is as near to the question, or nearer."""
    rows: tuple[float, ...]
    """Height of the first row of each layer."""
    width: float
    height: float


class _Layers(NamedTuple):
    """Nodes and waypoints; waypoints are negative."""

    layers: list[list[int]]
    chains: dict[Link, tuple[int, ...]]
    """Items of each edge that leads down."""


def place(graph: StepGraph, layout: Layout, *, slot: float, row: float, gap: float) -> Places:
    """Place nodes and edges.

    Args:
        graph: what is drawn.
        layout: its nodes, by layers.
        slot: width of a node with its label.
        row: height of a row.
        gap: blank space between two layers.
    """
    drawn = {node for layer in layout.layers for node in layer}
    links = [(e.source, e.target) for e in graph.edges if e.source in drawn and e.target in drawn]
    depth = _depths(graph, layout, links)
    layered = _with_waypoints(depth, [link for link in links if depth[link[0]] < depth[link[1]]])
    order = _untangled(layered, _from_the_top(graph, layered))
    rows_of = [min(MOST_ROWS, -(-sum(i >= 0 for i in layer) // WIDEST_ROW)) or 1 for layer in order]
    x = _drawn_together(order, layered.chains, [slot / rows for rows in rows_of])
    left = min(x.values()) - slot / 2
    at: dict[int, Point] = {}
    heights: list[float] = []
    y = 0.0
    for layer, rows in zip(order, rows_of, strict=True):
        heights.append(y)
        nodes = [item for item in layer if item >= 0]
        for item in layer:
            step = nodes.index(item) % rows if item >= 0 else 0
            at[item] = Point(x[item] - left, y + row * step)
        y += row * rows + gap
    return Places(
        {item: point for item, point in at.items() if item >= 0},
        {link: tuple(at[item] for item in chain) for link, chain in layered.chains.items()},
        tuple(link for link in links if link not in layered.chains),
        tuple(heights),
        max(x.values()) - left + slot / 2,
        y - gap,
    )


def crossings(upper: Sequence[int], lower: Sequence[int], links: Sequence[Link]) -> int:
    """Count the pairs of links between two layers that cross: inversions, in O(links · log links)."""
    above = {item: i for i, item in enumerate(upper)}
    below = {item: i for i, item in enumerate(lower)}
    seen: list[int] = []
    count = 0
    for _, end in sorted((above[a], below[b]) for a, b in links):
        count += len(seen) - bisect.bisect_right(seen, end)
        bisect.insort(seen, end)
    return count


def _depths(graph: StepGraph, layout: Layout, links: Sequence[Link]) -> dict[int, int]:
    """Return the layer of each node: a wrong answer moves down below every step that leads to it."""
    depth = {node: i for i, layer in enumerate(layout.layers) for node in layer}
    for source, target in links:
        if graph.nodes[target].kind is NodeKind.WRONG:
            depth[target] = max(depth[target], depth[source] + 1)
    return depth


def _with_waypoints(depth: Mapping[int, int], down: Sequence[Link]) -> _Layers:
    layers: list[list[int]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in sorted(depth):
        layers[depth[node]].append(node)
    chains: dict[Link, tuple[int, ...]] = {}
    last = 0
    for source, target in down:
        chain = [source]
        for layer in range(depth[source] + 1, depth[target]):
            last -= 1
            chain.append(last)
            layers[layer].append(last)
        chains[source, target] = (*chain, target)
    return _Layers(layers, chains)


def _from_the_top(graph: StepGraph, layered: _Layers) -> list[list[int]]:
    """Order each layer as a walk from the question meets its items, the most travelled branches first."""
    below: dict[int, list[int]] = {}
    heaviest = {(e.source, e.target): e.traces for e in graph.edges}
    by_weight = sorted(
        layered.chains.items(), key=lambda c: (_is_answer(graph, c[0][1]), -heaviest[c[0]], c[0])
    )
    for _, chain in by_weight:
        for a, b in pairwise(chain):
            below.setdefault(a, []).append(b)
    met: dict[int, int] = {}
    stack = [0]
    while stack:
        item = stack.pop()
        if item not in met:
            met[item] = len(met)
            stack += reversed(below.get(item, []))
    return [sorted(layer, key=lambda item: (met.get(item, len(met)), item)) for layer in layered.layers]


def _is_answer(graph: StepGraph, node: int) -> bool:
    return graph.nodes[node].kind is not NodeKind.STEP


def _untangled(layered: _Layers, start: list[list[int]]) -> list[list[int]]:
    between: list[list[Link]] = [[] for _ in layered.layers]
    depth = {item: i for i, layer in enumerate(layered.layers) for item in layer}
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for chain in layered.chains.values():
        for a, b in pairwise(chain):
            between[depth[a]].append((a, b))
            below.setdefault(a, []).append(b)
            above.setdefault(b, []).append(a)

    def tangles(order: Sequence[Sequence[int]]) -> int:
        return sum(crossings(order[i], order[i + 1], between[i]) for i in range(len(order) - 1))

    order = [list(layer) for layer in start]
    best, fewest = [list(layer) for layer in order], tangles(order)
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        indices = range(len(order) - 2, -1, -1) if sweep % 2 else range(1, len(order))
        for i in indices:
            fixed = {item: place for place, item in enumerate(order[i + 1 if sweep % 2 else i - 1])}
            order[i] = _by_barycentre(order[i], near, fixed)
        count = tangles(order)
        if count < fewest:
            best, fewest = [list(layer) for layer in order], count
    return best


def _by_barycentre(
    layer: Sequence[int], near: Mapping[int, Sequence[int]], fixed: Mapping[int, int]
) -> list[int]:
    """Sort by the mean place of the neighbours; items without any keep their place."""
    means = {item: sum(fixed[i] for i in near[item]) / len(near[item]) for item in layer if near.get(item)}
    movable = iter(sorted(means, key=lambda item: (means[item], layer.index(item))))
    return [next(movable) if item in means else item for item in layer]


def _drawn_together(
    order: Sequence[Sequence[int]], chains: Mapping[Link, Sequence[int]], slots: Sequence[float]
) -> dict[int, float]:
    near: dict[int, list[tuple[int, float]]] = {}
    for chain in chains.values():
        for a, b in pairwise(chain):
            weight = STRAIGHT if a < 0 and b < 0 else 1.0
            near.setdefault(a, []).append((b, weight))
            near.setdefault(b, []).append((a, weight))
    x: dict[int, float] = {}
    offsets = [_offsets(layer, slot) for layer, slot in zip(order, slots, strict=True)]
    for layer, offset in zip(order, offsets, strict=True):
        middle = (offset[0] + offset[-1]) / 2
        x.update({item: place - middle for item, place in zip(layer, offset, strict=True)})
    depth = {item: i for i, layer in enumerate(order) for item in layer}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for i in range(len(order)) if down else reversed(range(len(order))):
            wishes, weights = [], []
            for item in order[i]:
                pulls = [(x[n], w) for n, w in near.get(item, []) if (depth[n] < i) == down]
                weight = sum(w for _, w in pulls)
                wishes.append(sum(p * w for p, w in pulls) / weight if pulls else x[item])
                weights.append(weight if pulls else 0.1)
            x.update(zip(order[i], _apart(wishes, weights, offsets[i]), strict=True))
    return x


def _offsets(layer: Sequence[int], slot: float) -> list[float]:
    """Return places of a layer's items that are set side by side."""
    offsets = [0.0]
    for a, b in pairwise(layer):
        widths = [slot if item >= 0 else WAYPOINT for item in (a, b)]
        offsets.append(offsets[-1] + sum(widths) / 2)
    return offsets


def _apart(wishes: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return the places nearest to the wishes (least squares) that keep the order and the distances."""
    blocks: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        mean, mass, size = wish - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, other_mass, other_size = blocks.pop()
            mean = (mean * mass + other * other_mass) / (mass + other_mass)
            mass, size = mass + other_mass, size + other_size
        blocks.append((mean, mass, size))
    starts = [mean for mean, _, size in blocks for _ in range(size)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
