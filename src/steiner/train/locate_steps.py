"""Find the steps that a model wrote in the step graph of their problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from steiner.core import Move, NodeFacts, Problem, Step, StepGraph
from steiner.train.rewards import GeneratedStep


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


class NodeIndex:
    """Facts of a graph's nodes by exact state."""

    def __init__(self, graph: StepGraph, start_state: str) -> None:
        """Index `graph`; the question node is the state `start_state`."""
        self._facts: dict[str, NodeFacts] = {
            node.state: facts
            for node, facts in zip(graph.nodes, graph.facts, strict=True)
            if node.state is not None
        }
        self._facts[start_state] = graph.facts[0]

    def facts(self, state: str | None) -> NodeFacts | None:
        """Return the facts of a state's node, None if the graph has none."""
        return None if state is None else self._facts.get(state)


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
        backtracks = index > 0 and index <= len(moves) and moves[index - 1] is Move.BACKTRACK
        before = readings[index - 1].state if index else reading.start
        left = before if backtracks else None
        located.append(
            GeneratedStep(
                facts=nodes.facts(reading.state),
                start=nodes.facts(reading.start),
                left=nodes.facts(left),
                backtracks=backtracks,
                repeated=reading.state in seen,
                sound=reading.sound and (reading.start != before) == backtracks,
            )
        )
        if reading.state is not None:
            seen.add(reading.state)
    return located
