"""Scorers of tasks that grade by themselves, by the name in `Problem.task`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import NamedTuple

from steiner.core import InputError, Problem
from steiner.problems.answer_text import final_answers, last_line, normalize, strip_markup
from steiner.problems.expression import grade_expression
from steiner.problems.gym import FULL_SCORE, PREFIX
from steiner.problems.scoring_process import SHARED

GYM_SECONDS = 10.0
"""CPU time for all readings of one answer."""


class Grade(NamedTuple):
    """How an answer was graded."""

    right: bool
    extracted: str
    """The final answer as it was found in the text; empty if there is none."""
    reason: str
    """Why, in a few words."""


Scorer = Callable[[Problem, str], Grade]
"""Grades an answer text; must not raise on any text."""

_SCORERS: dict[str, Scorer] = {}


def register(task: str, scorer: Scorer) -> None:
    """Make `scorer` the one of `task`; a name that ends in `/` stands for every task that begins with it."""
    _SCORERS[task] = scorer


def scorer_of(task: str) -> Scorer:
    """Return the scorer of a task.

    Raises:
        InputError: if nobody registered one.
    """
    family = task.partition("/")[0] + "/"
    scorer = _SCORERS.get(task) or _SCORERS.get(family)
    if scorer is None:
        near = difflib.get_close_matches(task, _SCORERS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(_SCORERS))}."
        raise InputError(f"No scorer is registered for the task '{task}': {hint}")
    return scorer


def _countdown(problem: Problem, text: str) -> Grade:
    return Grade(*grade_expression(text, problem.facts["numbers"], problem.facts["target"]))


def _game24(problem: Problem, text: str) -> Grade:
    verdict = grade_expression(text, problem.facts["numbers"], problem.facts["target"], whole=False)
    return Grade(*verdict)


def _gym(problem: Problem, text: str) -> Grade:
    """Ask the dataset's own scorer about the text and about the final answer that the text marks."""
    cleaned = normalize(text)
    readings = [text, *map(strip_markup, [cleaned, *final_answers(cleaned), last_line(cleaned)])]
    answers = list(dict.fromkeys(reading for reading in readings if reading))
    extracted = answers[-1] if answers else ""
    if not answers:
        return Grade(False, "", "empty answer")
    scoring = {**problem.scoring, "question": problem.question}
    reply = SHARED.call("gym", {"scoring": scoring, "answers": answers}, GYM_SECONDS)
    if "error" in reply:
        return Grade(False, extracted, f"the task's scorer gave no score: {reply['error']}")
    score = float(reply["score"])
    return Grade(score >= FULL_SCORE, extracted, f"score {score:.3g}")


register("countdown", _countdown)
register("game24", _game24)
register(PREFIX, _gym)
