"""Questions whose authors ask that they are never published: their text gets into no log.

What inspect-ai sees, shows and stores of such a question is a reference; the provider puts the text in its
place on the way to the model, and of the reply only the chosen letter goes back. The text itself stays in the
memory of this process.
"""

from __future__ import annotations

from steiner.core import InputError, Problem
from steiner.problems.choice import chosen_letter
from steiner.problems.layout import HiddenProblem

_BY_REFERENCE: dict[str, Problem] = {}


def is_hidden(problem: Problem) -> bool:
    """Say whether the text of a problem must not get into logs."""
    return isinstance(problem, HiddenProblem)


def hide(problem: Problem, benchmark: str) -> str:
    """Return the reference under which a question goes through the logs."""
    reference = f"[{benchmark} {problem.id}: text not logged]"
    _BY_REFERENCE[reference] = problem
    return reference


def hidden_problem(reference: str) -> Problem | None:
    """Return the problem of a reference; None if the text is none."""
    return _BY_REFERENCE.get(reference)


def reveal(text: str) -> str:
    """Return what a model is asked: the question behind a reference, any other text as it is.

    Raises:
        InputError: for a reference of another process.
    """
    problem = hidden_problem(text)
    if problem is not None:
        return problem.blind().prompt
    if text.endswith(": text not logged]"):
        raise InputError(f"The question {text} is not loaded here: run `steiner eval` again to go on.")
    return text


def conceal(problem: Problem, answer: str) -> str:
    """Return the answer as it may be logged: the letter alone, empty if none was chosen."""
    return chosen_letter(answer, problem.choices) or ""
