"""Find the steps that a model wrote in the step graph of their problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from steiner.core import Move, NodeFacts, NodeKind, Problem, Step, StepGraph
from steiner.train.rewards import GeneratedStep

Written = tuple[Sequence[Step], Sequence[Move]]
"""Steps of one completion and the moves between them; a move too many means a step that was cut off."""


class StepReading(NamedTuple):
    """What a step says, in terms of the task's exact states."""

    start: str | None
    """State that it starts from; None if it cannot be read."""
    state: str | None
    """State that it reaches; None if it cannot be read or is not sound."""
    sound: bool
    """Whether it starts from where the search has been and computes correctly."""


class StepReader(Protocol):
    """Reads a task's exact states out of the text of steps."""

    def start_state(self, problem: Problem) -> str:
        """Return the state that the question itself is."""
        ...

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[StepReading]:
        """Read the steps of one completion, parallel to `steps`."""
        ...


class Places(Protocol):
    """Finds steps in one problem's graph."""

    question: NodeFacts
    """Facts of the question's node."""
    chance: float
    """Share of the graph's traces that came to the right answer."""

    def locate(self, group: Sequence[Written]) -> list[tuple[GeneratedStep, ...]]:
        """Return where the steps of each completion of a group stand."""
        ...


class KnownNode(NamedTuple):
    """What is known about a node of a graph."""

    facts: NodeFacts
    traces: int
    right: int


class NodeIndex:
    """Nodes of a graph by exact state."""

    def __init__(self, graph: StepGraph, start_state: str) -> None:
        """Index `graph`; the question node is the state `start_state`."""
        self._nodes: dict[str, KnownNode] = {}
        for node, facts in zip(graph.nodes, graph.facts, strict=True):
            # Of a state that had to be split the shallowest node counts; nodes are in topological order.
            if node.state is not None:
                self._nodes.setdefault(node.state, KnownNode(facts, node.traces, node.right))
        question = graph.nodes[0]
        self._nodes[start_state] = KnownNode(graph.facts[0], question.traces, question.right)

    def node(self, state: str | None) -> KnownNode | None:
        """Return what is known about a state's node, None if the graph has none."""
        return None if state is None else self._nodes.get(state)

    def facts(self, state: str | None) -> NodeFacts | None:
        """Return the facts of a state's node, None if the graph has none."""
        node = self.node(state)
        return None if node is None else node.facts


class StatePlaces:
    """Finds steps by the exact states of their task."""

    def __init__(self, problem: Problem, graph: StepGraph, reader: StepReader) -> None:
        """Index the graph of `problem`."""
        self.question = graph.facts[0]
        self.chance = question_value(graph)
        self._problem = problem
        self._reader = reader
        self._nodes = NodeIndex(graph, reader.start_state(problem))

    def locate(self, group: Sequence[Written]) -> list[tuple[GeneratedStep, ...]]:
        """Return where the steps of each completion stand."""
        return [
            tuple(locate_steps(self._problem, steps, moves, self._nodes, self._reader))
            for steps, moves in group
        ]


def question_value(graph: StepGraph) -> float:
    """Return the share of a graph's traces that came to the right answer, 0 without traces."""
    question = graph.nodes[0]
    return question.right / question.traces if question.traces else 0.0


def by_states(graph: StepGraph) -> bool:
    """Return whether a graph was made from exact states."""
    steps = [node for node in graph.nodes if node.kind is NodeKind.STEP]
    return bool(steps) and all(node.state is not None for node in steps)


def locate_steps(
    problem: Problem,
    steps: Sequence[Step],
    moves: Sequence[Move],
    nodes: NodeIndex,
    reader: StepReader,
) -> list[GeneratedStep]:
    """Return where each step of one completion stands, parallel to `steps`.

    A move must say what the step then does: PROCEED and a start elsewhere than the step before reached, or
    BACKTRACK and no going back, make the step unsound. Otherwise a model could hop without owning up to it.
    """
    readings = reader.read(problem, steps)
    seen: set[str] = {reader.start_state(problem)}
    located: list[GeneratedStep] = []
    for index, reading in enumerate(readings):
        backtracks = moved_back(index, moves)
        before = readings[index - 1].state if index else reading.start
        node = nodes.node(reading.state)
        located.append(
            GeneratedStep(
                facts=None if node is None else node.facts,
                start=nodes.facts(reading.start),
                left=nodes.facts(before) if backtracks else None,
                backtracks=backtracks,
                repeated=reading.state in seen,
                sound=reading.sound and (reading.start != before) == backtracks,
                traces=0 if node is None else node.traces,
                right=0 if node is None else node.right,
            )
        )
        if reading.state is not None:
            seen.add(reading.state)
    return located


def moved_back(index: int, moves: Sequence[Move]) -> bool:
    """Return whether a BACKTRACK stands before step `index`."""
    return 0 < index <= len(moves) and moves[index - 1] is Move.BACKTRACK
