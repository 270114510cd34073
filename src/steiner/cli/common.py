"""How the command line joins rooms that must not know each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steiner.core import Problem
    from steiner.train.locate_steps import StepReader


def is_right(problem: Problem, answer: str) -> bool:
    """Grade an answer by the problem's own rule."""
    from steiner.problems.grading import grade

    return grade(problem, answer).right


def reader_for(task: str) -> StepReader | None:
    """Return the reader of a task's exact states, None if the task has none."""
    from steiner.teacher.countdown_reader import CountdownReader

    return CountdownReader() if task == "countdown" else None
