"""How much a request may think."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from steiner.core.record import Record

LARGEST_BIAS = 100.0
"""Largest addend to a logit, either way. More would be a ban, for which there are limits."""


class Ramp(StrEnum):
    """How a soft limit grows with the use of its budget."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    """Hardly at first, steeply at the end."""


class SoftEnd(Record):
    """An addend to the logit of END which moves while the budget is used.

    With u = min(1, max(steps / `steps`, tokens / `tokens`)), counted where the next move is decided,

        addend = start + (stop - start) · r(u)      r(u) = u                               linear
                                                    r(u) = (e^(k·u) - 1) / (e^k - 1)       exponential

    with k = `sharpness`. A negative `start` makes an early end less likely, a positive `stop` a late one more
    so. The model can still overrule it: these are odds, not limits.
    """

    start: float = Field(default=0.0, ge=-LARGEST_BIAS, le=LARGEST_BIAS)
    """Addend where nothing is used yet, in logits."""
    stop: float = Field(default=0.0, ge=-LARGEST_BIAS, le=LARGEST_BIAS)
    """Addend from where the budget is used up, in logits."""
    steps: int | None = Field(default=None, ge=1)
    """Steps after which the budget is used up."""
    tokens: int | None = Field(default=None, ge=1)
    """Reasoning tokens after which the budget is used up. With `steps`, whichever comes first."""
    ramp: Ramp = Ramp.LINEAR
    sharpness: float = Field(default=5.0, gt=0, le=50)
    """k of the exponential ramp."""

    @model_validator(mode="after")
    def _check(self) -> SoftEnd:
        if self.steps is None and self.tokens is None:
            raise ValueError("a soft end needs steps or tokens after which its budget is used up")
        return self


class StepBudget(Record):
    """Limits of one request. None means no limit."""

    min_steps: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    max_reasoning_tokens: int | None = Field(default=None, ge=16)
    """Tokens from START to END, both included. Strict step control closes the open fields in time."""
    max_step_tokens: int | None = Field(default=None, ge=10)
    """Tokens from STEP_START to STEP_END, both included; ten are delimiters. Strict mode only."""
    backtrack_bias: float = Field(default=0.0, ge=-LARGEST_BIAS, le=LARGEST_BIAS)
    """Added to the logit of BACKTRACK where a move is decided. Strict mode only."""
    ban_repeats: bool = False
    """A thought may not have the same tokens as an earlier one; limits go first. Strict mode only."""
    soft_end: SoftEnd | None = None
    """Makes END less or more likely while the budget is used. Strict mode only."""

    @model_validator(mode="after")
    def _check(self) -> StepBudget:
        if self.max_steps is not None and self.min_steps > self.max_steps:
            raise ValueError(f"min_steps {self.min_steps} is more than max_steps {self.max_steps}")
        return self
