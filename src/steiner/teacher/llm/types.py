"""What the three calls of a language-model teacher come to."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from steiner.core import Problem, Question, Record, Trace, TraceStep
from steiner.teacher.base import Attempt


class RejectReason(StrEnum):
    """Why a reply was not taken."""

    UNPARSABLE = "unparsable"
    """No steps could be read from it."""
    EMPTY = "empty"
    """No text, no steps, or no answer where one is needed."""
    LENGTH = "length"
    """Cut off at the token limit."""
    REFUSED = "refused"
    """The model refused, or the endpoint filtered the reply."""
    TOLD = "told"
    """It mentions that the answer was given."""
    ECHO = "echo"
    """It copies a sentence of the instructions, such as one of their example."""
    UNFOUNDED = "unfounded"
    """Its answer, a number, is in none of its steps: it was taken from the reference answer."""
    LANGUAGE = "language"
    """Written in another language than asked."""
    NO_BACKTRACK = "no-backtrack"
    """A wrong attempt was continued without going back."""
    LEAK = "leak"
    """A blind request would hold the answer. Nothing was sent."""


class Rejected(Record):
    """A call that gave nothing usable after all asks."""

    call: str
    """`draft`, `attempt` or `resolve`."""
    reason: RejectReason
    """Of the last reply."""
    detail: str
    """What was wrong, for the reader of a report: never holds a whole reply."""
    asks: int
    """Requests made, 0 if none was sent."""
    steps: tuple[TraceStep, ...] = ()
    """What could be read from the last reply all the same, the steps that the request showed included."""
    answer: str = ""


class AsyncTeacher(Protocol):
    """Somebody who writes steps and waits for a network while doing so.

    The calls keep nothing between them. Equal arguments make equal requests; `draw` tells apart several
    replies that are wanted to the same arguments. A failed call raises `steiner.teacher.chat.ChatFailure`.
    """

    @property
    def name(self) -> str:
        """Short name for `Provenance.teacher`."""
        ...

    async def draft(self, problem: Problem, language: str, draw: int) -> Trace | Rejected:
        """Write a path to the answer, which is known: the open-book exam."""
        ...

    async def attempt(
        self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, language: str, draw: int
    ) -> Attempt | Rejected:
        """Go on from `prefix` without knowing the answer, for at most `max_steps` further steps."""
        ...

    async def resolve(self, problem: Problem, attempt: Attempt, language: str, draw: int) -> Trace | Rejected:
        """Go on from a failed attempt, the answer now being known: go back, and reach it."""
        ...
