"""One unit of thought, and what stands between two of them."""

from __future__ import annotations

from enum import StrEnum

from steiner.core.record import Record


class Step(Record):
    """A step of reasoning in the four fields of the Steiner report, in the order of writing."""

    name: str
    """A few words: what this step does."""
    thought: str
    """The reasoning in full."""
    summary: str
    """What the step found; later turns of a conversation carry it in place of the thought."""
    reflection: str
    """How good that is, and why the search now goes on, goes back or ends."""


class Move(StrEnum):
    """The decision between two steps."""

    PROCEED = "proceed"
    BACKTRACK = "backtrack"
