"""What sampling is asked for."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from steiner.core import Settings


class RouteChoice(StrEnum):
    """How the route to the answer is drawn."""

    UNIFORM = "uniform"
    """Every route once before any is used again."""
    TRACES = "traces"
    """Step by step, an edge in proportion to the traces that took it."""
    VALUE = "value"
    """Step by step, a node in proportion to its value, (right + 1) / (traces + 2)."""
    LENGTH = "length"
    """In proportion to `length_factor` to the power of the number of steps, exactly."""
    NOVELTY = "novelty"
    """Step by step; each earlier path of the question that took a node makes it ten times less likely."""


class BranchOrder(StrEnum):
    """In which order a walk tries the ways on from a node."""

    RANDOM = "random"
    SORTED = "sorted"
    """Systematically: in the order of what the steps say, numbers by value, down to the first right answer.

    What to try next then follows from what was tried last. `detours` says how many of the failed branches on
    the way are kept, all of them where it asks for more than there are or is empty; each is searched to its
    end.
    `depths`, `descents`, `longer_ways` and `routes` do not apply.
    """
    OPERANDS = "operands"
    """As `SORTED`, but first by the numbers that a step starts from (those before its first `=`, in ascending
    order), then by text: all that can be done with two numbers comes together."""

    @property
    def is_systematic(self) -> bool:
        """Whether what comes next follows from what came last."""
        return self is not BranchOrder.RANDOM


class SampleSettings(Settings):
    """Which paths are sampled, and how many. Give either `paths` or `paths_per_question`.

    A detour leaves the route to the answer, explores depth-first and comes back to where it left. The weights
    are relative: `(1, 2, 1)` asks for 25% without a detour, 50% with one, 25% with two.
    """

    paths: int | None = Field(default=None, ge=1)
    """Paths in all; questions that cannot give their share are made up for by the others."""
    paths_per_question: int | None = Field(default=None, ge=1)
    seed: int = 0
    detours: tuple[float, ...] = (1.0, 2.0, 1.0)
    """Weights of 0, 1, 2, … detours in a path. Empty, with a systematic order: all that there are."""
    depths: tuple[float, ...] = ()
    """Weights of going at most 1, 2, 3, … steps deep in a detour; empty: down until the search is stuck."""
    descents: tuple[float, ...] = (2.0, 1.0)
    """Weights of 1, 2, … descents in a detour; each after the first is a backtrack inside the branch."""
    order: BranchOrder = BranchOrder.RANDOM
    rotate: bool = False
    """With a systematic order: begin at a random one of the ways on from the question, and go on from the
    last to the first. Short paths then show every part of the search, not only its beginning."""
    revisit: bool = Field(default=False, exclude_if=lambda value: not value)
    """With a systematic order: take every step that can be taken, also one that leads where the search has
    been. Paths are longer, and what comes next can be told from the last step alone."""
    longer_ways: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a detour may also pass nodes from which the right answer can be reached."""
    routes: RouteChoice = RouteChoice.UNIFORM
    length_factor: float = Field(default=0.5, gt=0.0, le=100.0)
    """With `routes` length: how many times as likely a step more makes a route; below 1 prefers short."""
    mean_steps: float | None = Field(default=None, gt=0)
    """Tune the number of detours until paths have so many steps on average; `detours` does not apply."""
    mean_tokens: float | None = Field(default=None, gt=0)
    """The same in tokens of reasoning."""
    tokenizer: str = ""
    """What counts the tokens of `mean_tokens`; empty: they are estimated from the text."""
    max_steps: int = Field(default=64, ge=1)
    """Longer paths are not made: a detour that does not fit is not begun."""
    min_backtracks: int = Field(default=0, ge=0)
    include_traces: bool = True
    """Take traces that ended right and backtrack (truncate-and-reveal data) as they are, before all else."""

    @field_validator("detours", "descents", "depths")
    @classmethod
    def _weights(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= w < float("inf") for w in weights):
            raise ValueError("weights must be finite and not negative")
        if weights and not sum(weights) > 0:
            raise ValueError("at least one weight must be more than 0")
        return weights

    @model_validator(mode="after")
    def _check(self) -> SampleSettings:
        if (self.paths is None) == (self.paths_per_question is None):
            raise ValueError("give either paths or paths_per_question")
        if self.mean_steps is not None and self.mean_tokens is not None:
            raise ValueError("give either mean_steps or mean_tokens")
        for name in ("rotate", "revisit"):
            if getattr(self, name) and not self.order.is_systematic:
                raise ValueError(f"{name} needs order = sorted or operands")
        if not self.descents or not (self.detours or self.order.is_systematic):
            raise ValueError("detours and descents need at least one weight")
        return self
