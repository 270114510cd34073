"""What one graph looks like in numbers."""

from __future__ import annotations

from typing import NamedTuple

from steiner.core import NodeKind, StepGraph, StepNode
from steiner.graph.count import Routes


class GraphStatistics(NamedTuple):
    """Size and shape of one graph."""

    traces: int
    nodes: int
    """Step nodes, without the question and the answers."""
    edges: int
    shared: int
    """Step nodes that more than one trace passes through."""
    dead_ends: int
    """Step nodes from which the right answer cannot be reached."""
    wrong_answers: int
    answered: bool
    """Whether a trace ended right."""
    routes: int
    """Distinct routes from the question to the right answer."""


def statistics(graph: StepGraph) -> GraphStatistics:
    """Measure a graph; O(edges)."""
    steps = [
        (node, fact)
        for node, fact in zip(graph.nodes, graph.facts, strict=True)
        if node.kind is NodeKind.STEP
    ]
    return GraphStatistics(
        traces=graph.nodes[0].traces,
        nodes=len(steps),
        edges=len(graph.edges),
        shared=sum(node.traces > 1 for node, _ in steps),
        dead_ends=sum(fact.d_e is None for _, fact in steps),
        wrong_answers=sum(node.kind is NodeKind.WRONG for node in graph.nodes),
        answered=graph.answer_index is not None,
        routes=Routes(graph).count,
    )


def value(node: StepNode) -> float | None:
    """Return the share of a node's traces that went on from it to the right answer; None without traces.

    This is the Monte-Carlo estimate of the node's value under whoever wrote the traces (Sutton & Barto,
    Reinforcement Learning, 2nd edition, section 5.1).
    """
    return node.right / node.traces if node.traces else None
