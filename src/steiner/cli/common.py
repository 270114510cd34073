"""How the command line joins rooms that must not know each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steiner.core import Problem, Step
    from steiner.teacher.countdown_reader import CountdownReader
    from steiner.train.locate_steps import StepReader, StepReading
    from steiner.train.prompts import FollowUp


def named_model(model: str | None, another: str) -> str:
    """Return a model as it was named; the one that is taken where none is, and say so on standard error.

    Args:
        model: None or empty where none was named.
        another: the command with another model.
    """
    if model:
        return model
    import typer

    from steiner.models import DEFAULT_MODEL

    typer.echo(f"No model named: {DEFAULT_MODEL}, which comes with steiner. Another: {another}", err=True)
    return DEFAULT_MODEL


def is_right(problem: Problem, answer: str) -> bool:
    """Grade an answer by the problem's own rule."""
    from steiner.problems.grading import grade

    return grade(problem, answer).right


def reader_for(task: str) -> StepReader | None:
    """Return the reader of a task's exact states, None if the task has none."""
    from steiner.teacher.countdown_reader import CountdownReader

    return _Reader(CountdownReader()) if task == "countdown" else None


def follow_up(prompt: str) -> FollowUp | None:
    """Tell how a Countdown question is asked after others about its numbers; None for other questions."""
    from steiner.problems.countdown_words import follow_up_text, parse_question
    from steiner.train.prompts import FollowUp

    asked = parse_question(prompt)
    if asked is None:
        return None
    group = f"{asked.language} {' '.join(map(str, asked.numbers))}"
    return FollowUp(group, follow_up_text(asked.target, asked.language))


class _Reader:
    """A reader of the teachers' room that speaks in the records of the training room."""

    def __init__(self, reader: CountdownReader) -> None:
        self._reader = reader

    def start_state(self, problem: Problem) -> str:
        return self._reader.start_state(problem)

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[StepReading]:
        from steiner.train.locate_steps import StepReading

        return [StepReading(*reading) for reading in self._reader.read(problem, steps)]
