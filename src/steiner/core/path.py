"""What a model is trained to write and what its output parses into."""

from __future__ import annotations

from functools import cached_property

from pydantic import model_validator

from steiner.core.record import Record, digest
from steiner.core.step import Move, Step
from steiner.core.trace import Trace


class ReasoningPath(Record):
    """A linear walk with detours: steps, the moves between them, and the answer.

    `targets` and `nodes` are known for our own data and unknown (empty) for what a model wrote.
    """

    problem_id: str = ""
    steps: tuple[Step, ...]
    moves: tuple[Move, ...]
    """`moves[i]` stands between `steps[i]` and `steps[i + 1]`."""
    answer: str
    parents: tuple[int, ...] = ()
    """Index of the step that each one continues (-1: the question), parallel to `steps`; empty if unknown."""
    nodes: tuple[str, ...] = ()
    """Id of the graph node of each step, parallel to `steps`; empty if unknown."""

    @model_validator(mode="after")
    def _check(self) -> ReasoningPath:
        if not self.steps:
            raise ValueError("a path needs at least one step")
        if len(self.moves) != len(self.steps) - 1:
            raise ValueError(
                f"{len(self.steps)} steps need {len(self.steps) - 1} moves, got {len(self.moves)}"
            )
        for name, values in (("parents", self.parents), ("nodes", self.nodes)):
            if values and len(values) != len(self.steps):
                raise ValueError(f"{name} must be parallel to steps: {len(values)} against {len(self.steps)}")
        for index, parent in enumerate(self.parents):
            if not -1 <= parent < index:
                raise ValueError(f"step {index} names step {parent} as its parent, which is not before it")
            if index and (parent == index - 1) != (self.moves[index - 1] is Move.PROCEED):
                raise ValueError(f"the move before step {index} contradicts its parent {parent}")
        return self

    @cached_property
    def id(self) -> str:
        """16 hex digits: equal for paths that read the same."""
        return digest([[s.model_dump() for s in self.steps], list(self.moves), self.answer, self.problem_id])

    @property
    def backtracks(self) -> int:
        """Number of backtracking moves."""
        return sum(move is Move.BACKTRACK for move in self.moves)

    @classmethod
    def from_trace(cls, trace: Trace) -> ReasoningPath:
        """Read a trace, in the order it was written, as a path.

        Raises:
            ValueError: if the trace has no step.
        """
        parents = tuple(item.parent for item in trace.steps)
        return cls(
            problem_id=trace.problem_id,
            steps=tuple(item.step for item in trace.steps),
            moves=tuple(
                Move.PROCEED if parent == index - 1 else Move.BACKTRACK
                for index, parent in enumerate(parents)
                if index
            ),
            answer=trace.answer,
            parents=parents,
        )
