"""Which nodes of a step graph are drawn, and where: layers by distance from the question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from steiner.core import NodeKind, StepGraph

SWEEPS = 6


class Layout(NamedTuple):
    """The nodes that are drawn."""

    layers: tuple[tuple[int, ...], ...]
    """Indices of nodes, from the question down, each layer from left to right."""
    left_out: int
    """Number of nodes that are not drawn."""


def lay_out(graph: StepGraph, path: Sequence[int], most_nodes: int, most_in_layer: int) -> Layout:
    """Choose nodes and put them into layers by d_s; the right answer gets the last layer.

    The question, the path and a shortest way to the right answer come first, then the nodes that most traces
    pass through, each with a shortest way to it. Within a layer, nodes stand near their neighbours
    (barycentre method, Sugiyama, Tagawa & Toda 1981).

    Args:
        graph: what to draw.
        path: indices of nodes that must be drawn.
        most_nodes: how many others to draw at most.
        most_in_layer: how many nodes a layer holds at most, unless the path needs more.
    """
    layer_of = _layers(graph)
    chosen = _choose(graph, path, layer_of, most_nodes, most_in_layer)
    layers: list[list[int]] = [[] for _ in range(max(layer_of[node] for node in chosen) + 1)]
    for node in sorted(chosen):
        layers[layer_of[node]].append(node)
    return Layout(_untangle(graph, [layer for layer in layers if layer]), len(graph.nodes) - len(chosen))


def _layers(graph: StepGraph) -> dict[int, int]:
    """Return the layer of each reachable node; the right answer is below all steps."""
    layers = {i: facts.d_s for i, facts in enumerate(graph.facts) if facts.d_s is not None}
    if graph.answer_index in layers:
        inner = (NodeKind.QUESTION, NodeKind.STEP)
        layers[graph.answer_index] = 1 + max(
            d for node, d in layers.items() if graph.nodes[node].kind in inner
        )
    return layers


def _choose(
    graph: StepGraph, path: Sequence[int], layer_of: Mapping[int, int], most_nodes: int, most_in_layer: int
) -> set[int]:
    parent = _shortest_parents(graph)
    filled: dict[int, int] = {}
    chosen: set[int] = set()

    def take(nodes: Iterable[int]) -> None:
        for node in nodes:
            if node not in chosen:
                chosen.add(node)
                filled[layer_of[node]] = filled.get(layer_of[node], 0) + 1

    take([0])
    for node in [*path, *([graph.answer_index] if graph.answer_index in layer_of else [])]:
        if node is not None and node in layer_of:
            take(_way(node, parent))
    wanted = sorted(
        layer_of, key=lambda i: (-graph.nodes[i].traces, graph.nodes[i].kind is NodeKind.WRONG, i)
    )
    limit = max(most_nodes, len(chosen))
    for node in wanted:
        new = [other for other in _way(node, parent) if other not in chosen]
        if len(chosen) + len(new) <= limit and all(filled.get(layer_of[i], 0) < most_in_layer for i in new):
            take(new)
    return chosen


def _shortest_parents(graph: StepGraph) -> dict[int, int]:
    """Return for each reachable node its predecessor on a shortest way from the question."""
    parent: dict[int, int] = {}
    for source, edges in enumerate(graph.out_edges):
        depth = graph.facts[source].d_s
        for edge in edges:
            if depth is not None and graph.facts[edge.target].d_s == depth + 1:
                parent.setdefault(edge.target, source)
    return parent


def _way(node: int, parent: Mapping[int, int]) -> list[int]:
    way = [node]
    while way[-1] in parent:
        way.append(parent[way[-1]])
    return way


def _untangle(graph: StepGraph, layers: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    """Order each layer by the mean place of its neighbours above, then below, a few times."""
    drawn = {node for layer in layers for node in layer}
    neighbours: dict[int, list[int]] = {node: [] for node in drawn}
    for edge in graph.edges:
        if edge.source in drawn and edge.target in drawn:
            neighbours[edge.source].append(edge.target)
            neighbours[edge.target].append(edge.source)
    place: dict[int, float] = {}
    for layer in layers:
        _spread(layer, place)
    level = {node: depth for depth, layer in enumerate(layers) for node in layer}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            key: dict[int, float] = {}
            for node in layer:
                near = [
                    place[i]
                    for i in neighbours[node]
                    if (level[i] < level[node]) == down and level[i] != level[node]
                ]
                key[node] = sum(near) / len(near) if near else place[node]
            layer.sort(key=lambda node: (key[node], node))
            _spread(layer, place)
    return tuple(tuple(layer) for layer in layers)


def _spread(layer: Sequence[int], place: dict[int, float]) -> None:
    """Give the nodes of a layer evenly spaced places around the middle, from 0 to 1."""
    for position, node in enumerate(layer):
        place[node] = (position + 0.5) / len(layer)
