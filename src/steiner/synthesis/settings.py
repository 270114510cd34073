"""What decides the traces of a question."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steiner.core import Settings

Cut = Literal["uniform", "early", "late"]
"""Where drafts are cut."""


class PlanSettings(Settings):
    """How many calls a question gets, and where drafts are cut; the same for every kind of teacher."""

    seed: int = 0
    drafts: int = Field(default=2, ge=1)
    """Open-book drafts per question."""
    truncations: int = Field(default=8, ge=0)
    """Cuts per question, each of a draft drawn at random."""
    attempts: int = Field(default=1, ge=1)
    """Blind attempts per cut."""
    cut: Cut = "uniform"
    """How many leading steps a cut keeps, from none to all but one: `early` prefers few, `late` many."""
    max_attempt_steps: int = Field(default=12, ge=1)
    """A blind attempt stops after so many steps of its own."""


class SynthesisSettings(PlanSettings):
    """What decides the traces that a symbolic teacher writes for a question."""

    teacher: str = "countdown"
    """Name of the teacher; see `steiner.teacher.TEACHERS`."""
    temperature: float = Field(default=2.0, ge=0)
    """How freely the teacher strays from what looks best to it; 0: never."""
