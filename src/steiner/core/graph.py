"""The DAG of one problem's steps.

Nodes are stored in a topological order and every edge points forward, so that acyclicity is visible in the
data and checked in O(edges) whenever a graph is built or loaded.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from pydantic import model_validator

from steiner.core.record import Record
from steiner.core.step import Step


class NodeKind(StrEnum):
    """What a node stands for."""

    QUESTION = "question"
    """The source: always node 0, exactly one."""
    STEP = "step"
    """A cluster of steps that say the same thing."""
    RIGHT = "right"
    """The sink of all equivalent correct answers; at most one."""
    WRONG = "wrong"
    """A wrong answer; terminal, one node per distinct answer."""


class StepNode(Record):
    """A cluster of equal steps, or a terminal answer."""

    id: str
    """Stable hash: adding a trace later changes no id of a node that it does not merge with."""
    kind: NodeKind
    wordings: tuple[Step, ...] = ()
    """The distinct steps of the cluster; empty for question and answers."""
    answers: tuple[str, ...] = ()
    """The distinct texts of an answer node; empty otherwise."""
    state: str | None = None
    """Exact search state, where the task has one."""
    traces: int = 0
    """Number of traces that pass through."""
    right: int = 0
    """How many of them came to the right answer from here; `right / traces` is a Monte-Carlo value.

    A trace that ended right counts only at nodes on the way to its answer, not at those it went back from.
    """


class StepEdge(Record):
    """«`source` was followed by `target`», with the wordings that were used for exactly this transition."""

    source: int
    target: int
    wordings: tuple[int, ...]
    """Indices into the target's `wordings` (`answers` for an answer node)."""
    traces: int = 1


class NodeFacts(NamedTuple):
    """Where a node stands in its graph. Distances count edges."""

    e_i: int
    """In-degree."""
    e_o: int
    """Out-degree."""
    d_s: int | None
    """Shortest distance from the question; None if unreachable."""
    d_e: int | None
    """Shortest distance to the correct answer; None (infinite) in dead ends and at wrong answers."""


class StepGraph(Record):
    """All steps of one problem. Node 0 is the question; each edge points to a later node."""

    problem_id: str
    nodes: tuple[StepNode, ...]
    edges: tuple[StepEdge, ...]

    @model_validator(mode="after")
    def _check(self) -> StepGraph:
        if not self.nodes or self.nodes[0].kind is not NodeKind.QUESTION:
            raise ValueError("node 0 must be the question")
        kinds = [node.kind for node in self.nodes]
        if kinds.count(NodeKind.QUESTION) > 1 or kinds.count(NodeKind.RIGHT) > 1:
            raise ValueError("a graph has one question and at most one correct answer")
        if len({node.id for node in self.nodes}) != len(self.nodes):
            raise ValueError("two nodes have the same id")
        seen: set[tuple[int, int]] = set()
        for edge in self.edges:
            if not 0 <= edge.source < edge.target < len(self.nodes):
                raise ValueError(
                    f"edge {edge.source} → {edge.target} does not point forward: the graph has a cycle"
                )
            if (edge.source, edge.target) in seen:
                raise ValueError(f"edge {edge.source} → {edge.target} is given twice")
            seen.add((edge.source, edge.target))
            if kinds[edge.source] in (NodeKind.RIGHT, NodeKind.WRONG):
                raise ValueError(f"edge {edge.source} → {edge.target} leaves an answer, which is terminal")
            target = self.nodes[edge.target]
            texts = len(target.wordings) if target.kind is NodeKind.STEP else len(target.answers)
            if not edge.wordings or not all(0 <= w < texts for w in edge.wordings):
                raise ValueError(
                    f"edge {edge.source} → {edge.target} names a wording that its target does not have"
                )
        return self

    @cached_property
    def answer_index(self) -> int | None:
        """Index of the correct-answer sink; None if no trace ended right."""
        return next((i for i, node in enumerate(self.nodes) if node.kind is NodeKind.RIGHT), None)

    @cached_property
    def out_edges(self) -> tuple[tuple[StepEdge, ...], ...]:
        """Outgoing edges of each node, in order of target, parallel to `nodes`."""
        lists: list[list[StepEdge]] = [[] for _ in self.nodes]
        for edge in sorted(self.edges, key=lambda e: (e.source, e.target)):
            lists[edge.source].append(edge)
        return tuple(tuple(edges) for edges in lists)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Index of each node by id."""
        return {node.id: index for index, node in enumerate(self.nodes)}

    @cached_property
    def facts(self) -> tuple[NodeFacts, ...]:
        """e_i, e_o, d_s and d_e of each node, parallel to `nodes`; O(nodes + edges)."""
        count = len(self.nodes)
        e_i = [0] * count
        d_s: list[int | None] = [None] * count
        d_e: list[int | None] = [None] * count
        d_s[0] = 0
        if self.answer_index is not None:
            d_e[self.answer_index] = 0
        for source in range(count):
            for edge in self.out_edges[source]:
                e_i[edge.target] += 1
                d_s[edge.target] = _closer(d_s[edge.target], d_s[source])
        for source in reversed(range(count)):
            for edge in self.out_edges[source]:
                d_e[source] = _closer(d_e[source], d_e[edge.target])
        return tuple(NodeFacts(e_i[i], len(self.out_edges[i]), d_s[i], d_e[i]) for i in range(count))


def _closer(known: int | None, neighbour: int | None) -> int | None:
    """Return the shorter of a known distance and one step more than the neighbour's."""
    if neighbour is None:
        return known
    return neighbour + 1 if known is None else min(known, neighbour + 1)
