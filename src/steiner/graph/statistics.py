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


class NodeNumbers(NamedTuple):
    """All that is known about one node. Distances count edges; docs/graphs.md gives formulas."""

    e_i: int
    """In-degree."""
    e_o: int
    """Out-degree, edges to answers included."""
    d_s: int | None
    """Shortest distance from the question; None (infinite) if it cannot be reached."""
    d_e: int | None
    """Shortest distance to the right answer; None (infinite) in dead ends and at wrong answers."""
    traces: int
    """Traces that touched the node."""
    right: int
    """Those of them that had it on their way to the right answer."""
    value: float | None
    """`right / traces`; None without traces."""
    routes: int
    """Distinct ways from here to the right answer: 1 at the answer itself, 0 in dead ends. Exact."""
    through: int
    """Distinct routes from the question to the right answer that lead through here."""

    @property
    def dead_end(self) -> bool:
        """Whether no trace found a way from here to the right answer."""
        return self.d_e is None


def node_numbers(graph: StepGraph) -> tuple[NodeNumbers, ...]:
    """Return the numbers of each node, parallel to `nodes`; O(edges) additions of integers."""
    routes = Routes(graph)
    return tuple(
        NodeNumbers(*fact, node.traces, node.right, value(node), ways, through)
        for node, fact, ways, through in zip(
            graph.nodes, graph.facts, routes.to_answer, routes.through, strict=True
        )
    )


def value(node: StepNode) -> float | None:
    """Return the share of a node's traces that went on from it to the right answer; None without traces.

    This is the Monte-Carlo estimate of the node's value under whoever wrote the traces (Sutton & Barto,
    Reinforcement Learning, 2nd edition, section 5.1).
    """
    return node.right / node.traces if node.traces else None
