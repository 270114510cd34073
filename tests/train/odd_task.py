"""A task whose reader and grader find some steps and answers right in what an untrained model writes."""

from __future__ import annotations

from collections.abc import Sequence

from steiner.core import Problem, Step
from steiner.train.locate_steps import StepReading


class OddReader:
    """Calls names of an odd length sound: a model that has learned nothing writes some of both."""

    def start_state(self, problem: Problem) -> str:
        return "start"

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[StepReading]:
        return [StepReading("start", None, len(step.name) % 2 == 1) for step in steps]


def odd_is_right(problem: Problem, answer: str) -> bool:
    return len(answer) % 2 == 1
