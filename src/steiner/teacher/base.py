"""What a teacher is asked for: the three calls of the Steiner report.

Chain-of-thought data is an open-book exam: its writer knew the answer, so that reflections and backtracking
in it are for show. Real ones come from cutting such a draft, hiding the answer, letting the teacher go on
blind, and revealing the answer only then (Yichao 'Peak' Ji, "A Small Step Towards Reproducing OpenAI o1",
2024).
"""

from __future__ import annotations

import random
from typing import Protocol

from pydantic import model_validator

from steiner.core import Problem, Question, Record, Trace, TraceStep


class Attempt(Record):
    """What somebody wrote who did not know the answer."""

    prefix_length: int
    """How many of `steps` were given: the rest was written blind."""
    steps: tuple[TraceStep, ...]
    """Prefix included, in the order they were written."""
    answer: str = ""
    """Final answer as written; empty if the attempt stopped before it had one."""

    @model_validator(mode="after")
    def _check(self) -> Attempt:
        if not 0 <= self.prefix_length <= len(self.steps):
            raise ValueError(
                f"a prefix of {self.prefix_length} steps does not fit into {len(self.steps)} steps"
            )
        for index, item in enumerate(self.steps):
            if item.parent >= index:
                raise ValueError(
                    f"step {index} names step {item.parent} as its parent, which is not before it"
                )
        return self


class Teacher(Protocol):
    """Somebody who writes steps.

    All randomness comes from the `rng` that is handed in, so that the same seed gives the same traces. The
    calls are plain functions of their arguments and keep nothing between them: a teacher that waits for a
    network can have many questions in flight by running each question's calls in a thread of its own, and
    sharing one event loop behind them.
    """

    @property
    def name(self) -> str:
        """Short name for `Provenance.teacher`."""
        ...

    def draft(self, problem: Problem, rng: random.Random) -> Trace:
        """Write a path to the answer, which is known: the open-book exam."""
        ...

    def attempt(
        self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, rng: random.Random
    ) -> Attempt:
        """Go on from `prefix` without knowing the answer, for at most `max_steps` further steps.

        A `Question` has no field that could hold the answer, so that none can leak.
        """
        ...

    def resolve(self, problem: Problem, attempt: Attempt, rng: random.Random) -> Trace:
        """Go on from a failed attempt, the answer now being known.

        The trace begins with the attempt's steps. It goes back to the step from which the answer can still be
        reached, after a reflection that says why, and goes on from there to the answer.
        """
        ...
