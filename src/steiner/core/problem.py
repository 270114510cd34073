"""A question with a known answer, and the view of it that a blind solver gets."""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import Field, model_validator

from steiner.core.record import Record, digest


class Grading(StrEnum):
    """How an answer is compared with the reference."""

    EXACT = "exact"
    """Equal after Unicode, case and blank-space normalisation."""
    NUMERIC = "numeric"
    """The last number of the answer equals the reference number."""
    CHOICE = "choice"
    """The letter of the chosen option, or its text."""
    MATH = "math"
    """Mathematically equivalent (math-verify)."""
    TASK = "task"
    """The task's own scorer, named by `Problem.task`."""


class Question(Record):
    """What somebody who must not know the answer is shown. It has no field that could hold the answer."""

    text: str
    choices: tuple[str, ...] = ()
    task: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)
    language: str = "en"

    @property
    def prompt(self) -> str:
        """What a model is asked, in training and after: the text, then the options, `A. …` and so on."""
        options = (f"{chr(ord('A') + index)}. {choice}" for index, choice in enumerate(self.choices))
        return "\n".join([self.text, *options])


class Problem(Record):
    """A question, its reference answer and how to grade. Identity is the hash of its content."""

    question: str = Field(min_length=1)
    answer: str
    """Reference answer as text; for `CHOICE` the letter. May be empty only with `Grading.TASK`."""
    grading: Grading = Grading.EXACT
    choices: tuple[str, ...] = ()
    """Options of a multiple-choice question in the order of their letters A, B, C…"""
    task: str = ""
    """Task whose scorer, states or teacher apply, such as `countdown` or `reasoning_gym/zebra_puzzles`."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """The question in machine-readable form, such as numbers and target. Shown to blind solvers."""
    scoring: dict[str, Any] = Field(default_factory=dict)
    """What the task's own scorer needs. May hold the answer: never shown to a blind solver."""
    source: str = ""
    """Where the problem comes from, for example `gsm8k:train`. Not part of the identity."""
    language: str = "en"

    @model_validator(mode="after")
    def _check(self) -> Problem:
        if not self.answer.strip() and self.grading is not Grading.TASK:
            raise ValueError("a problem needs an answer unless its task grades by itself")
        if self.grading is Grading.TASK and not self.task:
            raise ValueError("grading 'task' needs the name of the task")
        if self.grading is Grading.CHOICE and not self.choices and len(self.answer.strip()) != 1:
            raise ValueError("a multiple-choice problem needs its choices or a letter as answer")
        return self

    @cached_property
    def id(self) -> str:
        """16 hex digits, equal for equal content, whatever the source."""
        return digest(self.model_dump(mode="json", exclude={"source", "language"}))

    @cached_property
    def question_key(self) -> str:
        """Hash of the normalised question, to find the same question in training and test sets.

        A question that is numbers and a target (`facts`) is the same in every language and wording.
        """
        text = unicodedata.normalize("NFKC", self._game() or self.question).casefold()
        return digest(["".join(text.split()), [c.strip() for c in self.choices]])

    def _game(self) -> str:
        """Return the one wording of a question that is numbers and a target; empty for other questions."""
        numbers, target = self.facts.get("numbers"), self.facts.get("target")
        if not self.task or not isinstance(target, int) or not isinstance(numbers, list | tuple):
            return ""
        if not all(isinstance(number, int) for number in numbers):
            return ""
        return f"Make {target} from {' '.join(map(str, sorted(numbers)))}."

    def blind(self) -> Question:
        """Return the view that must not know the answer."""
        return Question(
            text=self.question,
            choices=self.choices,
            task=self.task,
            facts=self.facts,
            language=self.language,
        )
