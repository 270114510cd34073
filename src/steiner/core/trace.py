"""One attempt at one problem by somebody."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import Field, model_validator

from steiner.core.record import Record, digest
from steiner.core.step import Step

FROM_QUESTION = -1
"""Parent of a step that starts from the question itself."""


class Verdict(StrEnum):
    """How an attempt ended."""

    RIGHT = "right"
    WRONG = "wrong"
    UNFINISHED = "unfinished"
    """No answer was given: out of steps, cut off, or a blind attempt that gave up."""


class Provenance(Record):
    """Who wrote a trace and how."""

    teacher: str
    """For example `symbolic-countdown`, a model name, or the name of an imported file."""
    method: str
    """For example `draft`, `truncate-reveal`, `import`, `rollout`."""
    details: dict[str, Any] = Field(default_factory=dict)


class TraceStep(Record):
    """A step and where it starts from."""

    step: Step
    parent: int = Field(ge=FROM_QUESTION)
    """Index of the step it continues, smaller than its own; -1 for the question."""
    state: str | None = None
    """Exact key of the search state reached, where the task has one. Equal keys are one node of the graph."""


class Trace(Record):
    """Steps in the order they were written. A step whose parent is not the step before it backtracks."""

    problem_id: str
    steps: tuple[TraceStep, ...]
    answer: str
    """Final answer as written; empty where the attempt gave none."""
    verdict: Verdict
    provenance: Provenance

    @model_validator(mode="after")
    def _check(self) -> Trace:
        for index, item in enumerate(self.steps):
            if item.parent >= index:
                raise ValueError(
                    f"step {index} names step {item.parent} as its parent, which is not before it"
                )
        if self.verdict is Verdict.UNFINISHED and self.answer:
            raise ValueError("an unfinished trace has no answer")
        return self

    @cached_property
    def id(self) -> str:
        """16 hex digits, equal for equal content and author."""
        return digest(self.model_dump(mode="json"))

    def backtracks(self) -> Iterator[int]:
        """Yield the index of each step that does not continue the step before it."""
        return (i for i, item in enumerate(self.steps) if item.parent != i - 1)

    def route(self, index: int) -> tuple[int, ...]:
        """Return the indices of the steps from the question to step `index`, that step included."""
        route: list[int] = []
        while index != FROM_QUESTION:
            route.append(index)
            index = self.steps[index].parent
        return tuple(reversed(route))
