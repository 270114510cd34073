"""What a reward function sees of a completion, and what it gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from steiner.core import NodeFacts, Settings


class GeneratedStep(NamedTuple):
    """A step that a model wrote, found in its problem's graph."""

    facts: NodeFacts | None
    """Facts of the node it reaches; None if the graph has no such node."""
    start: NodeFacts | None
    """Facts of the node it starts from; None if that is unknown."""
    left: NodeFacts | None
    """Facts of the node that was left by backtracking to get here; None if it proceeds, or if unknown."""
    backtracks: bool
    """Whether a BACKTRACK stands before it."""
    repeated: bool
    """Whether its node was reached before in the same completion."""
    sound: bool
    """Whether the step is right in itself: starts from where the search has been and computes correctly."""
    traces: int = 0
    """Traces of the graph through the node it reaches; 0 if the graph has no such node."""
    right: int = 0
    """How many of them had it on their way to the right answer."""


class Attempt(NamedTuple):
    """One completion, as reward functions see it."""

    steps: tuple[GeneratedStep, ...]
    right: bool
    """Whether its answer is right."""
    question: NodeFacts | None = None
    """Facts of the question's node; None without a graph."""
    chance: float = 0.0
    """Share of the graph's traces that came to the right answer: the value of the question, in [0, 1]."""
    values: tuple[float | None, ...] = ()
    """Share of right answers among extra rollouts from the question and from the end of each step: one more
    than there are steps, the first of them known; None where none were made. Empty if not asked for."""


class Earned(NamedTuple):
    """What one reward function gives for one completion, in units of reward."""

    steps: tuple[float, ...] = ()
    """Parallel to the steps; empty if the function says nothing about steps."""
    end: float | None = None
    """For what follows the last step (END and the answer), as one more step; None if it says nothing."""
    whole: float | None = None
    """For the completion as a whole; None if it says nothing."""


SettingsT = TypeVar("SettingsT", bound=Settings, contravariant=True)


class RewardFunction(Protocol[SettingsT]):
    """A pure function of an attempt: no state, no model, no randomness."""

    def __call__(self, attempt: Attempt, settings: SettingsT) -> Earned:
        """Return what the attempt earns."""
        ...
