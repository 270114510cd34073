"""What parsing finds: events while the text comes in, and the whole when it has ended."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from steiner.core import Move, ReasoningPath, Record, Step


class ViolationKind(StrEnum):
    """How a completion breaks the grammar."""

    UNEXPECTED_TOKEN = "unexpected-token"
    """A control token where it may not stand. Reading goes on from what the token says."""
    STRAY_TEXT = "stray-text"
    """Text outside of the fields and the answer; kept in `Parsed.stray`."""
    SPECIAL_TOKEN = "special-token"
    """A token inside the text that is no text, such as the tokenizer's own `<|im_start|>`."""
    UNFINISHED = "unfinished"
    """The completion stops before its end of text."""
    EMPTY_ANSWER = "empty-answer"
    """Nothing stands between END and the end of text."""
    AFTER_END = "after-end"
    """Something follows the end of text; it is ignored."""


class Violation(Record):
    """One breach of the grammar."""

    kind: ViolationKind
    position: int
    """Where: character offset in a parsed text, index in parsed token ids."""
    message: str


class Parsed(Record):
    """All that could be read from a completion, however broken."""

    steps: tuple[Step, ...]
    """Broken steps too, with the fields they have."""
    moves: tuple[Move, ...]
    """`moves[i]` stands between `steps[i]` and `steps[i + 1]`; PROCEED where none was written."""
    answer: str
    stray: str = ""
    """Text that stood outside of the fields and the answer."""
    violations: tuple[Violation, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the completion follows the grammar from START to the end of text."""
        return not self.violations

    @cached_property
    def path(self) -> ReasoningPath | None:
        """The steps, moves and answer as a path; None if there is no step."""
        return ReasoningPath(steps=self.steps, moves=self.moves, answer=self.answer) if self.steps else None


class StepStarted(NamedTuple):
    """A step has begun."""

    step: int


class FieldText(NamedTuple):
    """More text of a field, unescaped."""

    step: int
    field: str
    text: str


class FieldEnded(NamedTuple):
    """A field is whole."""

    step: int
    field: str


class StepEnded(NamedTuple):
    """A step is over."""

    step: int


class MoveMade(NamedTuple):
    """The decision after a step."""

    move: Move


class AnswerStarted(NamedTuple):
    """END was written; what follows is the answer."""


class AnswerText(NamedTuple):
    """More text of the answer, unescaped."""

    text: str


class ViolationFound(NamedTuple):
    """The grammar was broken."""

    violation: Violation


class Finished(NamedTuple):
    """Nothing more will come."""

    complete: bool


Event = (
    StepStarted
    | FieldText
    | FieldEnded
    | StepEnded
    | MoveMade
    | AnswerStarted
    | AnswerText
    | ViolationFound
    | Finished
)
