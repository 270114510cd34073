"""How traces came about, and what came of one question or of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from steiner.core import Record, Trace

if TYPE_CHECKING:
    from steiner.synthesis.settings import PlanSettings
    from steiner.teacher.llm.types import Rejected

OUTCOME = "outcome"
"""Key of a trace's `Outcome` in its `Provenance.details`."""


class Outcome(StrEnum):
    """How a trace came about."""

    DRAFT = "draft"
    """Written open-book."""
    RIGHT_AT_ONCE = "right-at-once"
    """The blind attempt found the answer: an alternative route, with the detours it took."""
    RECOVERED = "recovered"
    """The blind attempt failed; once the answer was revealed the teacher went back and reached it."""
    LOST = "lost"
    """Wrong or without an answer even though the answer was known."""


class QuestionOutcome(NamedTuple):
    """All that a question's calls came to."""

    traces: list[Trace]
    """Without those that read alike."""
    calls: int
    """Drafts, attempts and resolutions that were asked for."""
    attempts: int
    """Blind attempts that were asked for."""
    repeated: int
    """Traces that read like one already there, and were dropped."""
    rejected: tuple[Rejected, ...] = ()
    """What the teacher's checks did not take."""


class SynthesisYield(Record):
    """What came of one question or of many."""

    questions: int = 0
    drafts: int = 0
    right_at_once: int = 0
    recovered: int = 0
    lost: int = 0
    repeated: int = 0
    """Traces that read like one already there, and were dropped."""
    steps: int = 0
    backtracks: int = 0
    attempts: int = 0
    """Blind attempts that were asked for."""
    rejected: dict[str, int] = Field(default_factory=dict)
    """Calls that gave nothing usable after all asks, by `call: reason`."""
    failed: int = 0
    """Questions without traces because a call failed for good."""
    calls: int = 0
    """Requests that were answered, by the journal too; 0 for a symbolic teacher."""
    cached: int = 0
    """Of these, answered by the journal or by an equal request on its way."""
    asked_again: int = 0
    """Requests that repeated another one because its reply was rejected."""
    prompt_tokens: int = 0
    """Of all calls, those answered by the journal included; so are the next two."""
    completion_tokens: int = 0
    usd: float | None = 0.0
    """US dollars, whenever they were paid; None where the price of some call is unknown."""

    @property
    def traces(self) -> int:
        """Distinct traces of all outcomes."""
        return self.drafts + self.right_at_once + self.recovered + self.lost

    def __add__(self, other: SynthesisYield) -> SynthesisYield:
        """Return the sum, field by field; one unknown price makes the sum unknown."""
        names = SynthesisYield.model_fields.keys() - {"rejected", "usd"}
        known = self.usd is not None and other.usd is not None
        return SynthesisYield(
            **{name: getattr(self, name) + getattr(other, name) for name in names},
            rejected=dict(sorted((Counter(self.rejected) + Counter(other.rejected)).items())),
            usd=(self.usd or 0.0) + (other.usd or 0.0) if known else None,
        )

    @classmethod
    def of(cls, traces: Sequence[Trace], settings: PlanSettings) -> SynthesisYield:
        """Return what came of one question whose traces are `traces`, if no call was rejected or failed."""
        attempts = settings.truncations * settings.attempts
        outcomes = [trace.provenance.details[OUTCOME] for trace in traces]
        return cls(
            questions=1,
            drafts=outcomes.count(Outcome.DRAFT),
            right_at_once=outcomes.count(Outcome.RIGHT_AT_ONCE),
            recovered=outcomes.count(Outcome.RECOVERED),
            lost=outcomes.count(Outcome.LOST),
            repeated=settings.drafts + attempts - len(traces),
            steps=sum(len(trace.steps) for trace in traces),
            backtracks=sum(sum(1 for _ in trace.backtracks()) for trace in traces),
            attempts=attempts,
        )
