"""Find steps in a graph whose task has no exact states: by the rules that clustered the graph's own steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steiner.core import Move, NodeKind, Problem, StepGraph
from steiner.graph.cluster import ClusterSettings, compare_steps, embedder_for
from steiner.graph.text_facts import read_facts
from steiner.train.locate_steps import Written, moved_back, question_value
from steiner.train.rewards import GeneratedStep

_EQUAL = 3.0
"""Likeness of two equal texts: more than that of two steps that surely reach the same."""


class TextPlaces:
    """Finds steps by what they say.

    A step belongs to a node if it may be one node with every wording of it (complete linkage, the same
    decision on every pair as in `steiner.graph.cluster`); of several such nodes the one with the likest
    wording wins, among equals one that follows where the search stands. A step that fits nowhere is new. The
    wordings of the graph are embedded and read once.
    """

    def __init__(self, problem: Problem, graph: StepGraph, settings: ClusterSettings) -> None:
        """Read the wordings of `graph`; `settings` are those that it was made with."""
        self.question = graph.facts[0]
        self.chance = question_value(graph)
        self._problem = problem
        self._graph = graph
        self._settings = settings
        known = [
            (index, step.thought)
            for index, node in enumerate(graph.nodes)
            if node.kind is NodeKind.STEP
            for step in node.wordings
        ]
        self._texts = [text for _, text in known]
        self._nodes, self._begins = np.unique([index for index, _ in known], return_index=True)
        self._vectors = embedder_for(settings.embedder).encode(self._texts) if known else None
        self._children = [{edge.target for edge in edges} for edges in graph.out_edges]

    def locate(self, group: Sequence[Written]) -> list[tuple[GeneratedStep, ...]]:
        """Return where the steps of each completion of a group stand."""
        texts = sorted({step.thought for steps, _ in group for step in steps})
        likeness = self._compare(texts)
        number = {text: place for place, text in enumerate(texts)}
        return [
            self._follow([number[step.thought] for step in steps], moves, likeness, texts)
            for steps, moves in group
        ]

    def _compare(self, texts: Sequence[str]) -> _Likeness:
        """Compare new thoughts with the graph's wordings and with each other."""
        if not texts:
            return _Likeness((), np.zeros((0, 0), dtype=np.bool_))
        vectors = embedder_for(self._settings.embedder).encode(texts)
        if self._vectors is not None:
            vectors = np.concatenate((self._vectors, vectors))
        both = [*self._texts, *texts]
        facts = [read_facts(text) for text in both] if self._settings.vetoes else None
        allowed, scores = compare_steps(both, vectors, facts, self._problem, self._settings)
        known = len(self._texts)
        fitting: list[tuple[tuple[int, float], ...]] = [()] * len(texts)
        if known:
            equal = np.array(self._texts, dtype=object)[:, None] == np.array(texts, dtype=object)
            likeness = np.where(equal, _EQUAL, scores[:known, known:])
            whole = np.logical_and.reduceat(allowed[:known, known:], self._begins, axis=0)
            most = np.maximum.reduceat(likeness, self._begins, axis=0)
            for column in range(len(texts)):
                rows = np.flatnonzero(whole[:, column])
                fitting[column] = tuple(
                    (int(self._nodes[row]), round(float(most[row, column]), 5)) for row in rows
                )
        return _Likeness(tuple(fitting), allowed[known:, known:])

    def _follow(
        self, numbers: Sequence[int], moves: Sequence[Move], likeness: _Likeness, texts: Sequence[str]
    ) -> tuple[GeneratedStep, ...]:
        """Walk along one completion, whose thoughts have these `numbers`."""
        facts, nodes = self._graph.facts, self._graph.nodes
        stands: int | None = 0
        visited: list[int] = [0]
        new: list[int] = []
        located = []
        for index, number in enumerate(numbers):
            backtracks = moved_back(index, moves)
            above = visited[::-1] if backtracks else [] if stands is None else [stands]
            if backtracks:
                above = [node for node in above if node != stands]
            node = self._choose(likeness.nodes[number], above)
            if node is None:
                repeated = any(likeness.same[number, other] for other in new)
                new.append(number)
            else:
                repeated = node in visited
            if backtracks:
                start = next((a for a in above if node is not None and node in self._children[a]), None)
            else:
                start = stands
            located.append(
                GeneratedStep(
                    facts=None if node is None else facts[node],
                    start=None if start is None else facts[start],
                    left=facts[stands] if backtracks and stands is not None else None,
                    backtracks=backtracks,
                    repeated=repeated,
                    sound=bool(texts[number].strip()),
                    traces=0 if node is None else nodes[node].traces,
                    right=0 if node is None else nodes[node].right,
                )
            )
            stands = node
            if node is not None:
                visited.append(node)
        return tuple(located)

    def _choose(self, fitting: Sequence[tuple[int, float]], above: Sequence[int]) -> int | None:
        """Return the likest of the nodes that fit; among equals one below where the search may stand."""
        below = {child for node in above for child in self._children[node]}
        best = min(fitting, key=lambda one: (-one[1], one[0] not in below, one[0]), default=None)
        return None if best is None else best[0]


class _Likeness(NamedTuple):
    """How new thoughts compare."""

    nodes: tuple[tuple[tuple[int, float], ...], ...]
    """For each thought the nodes that it fits, with its likeness to the likest of their wordings."""
    same: NDArray[np.bool_]
    """Whether two thoughts may be one node; shape (thoughts, thoughts)."""
