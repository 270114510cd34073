"""How much a request may think."""

from __future__ import annotations

from pydantic import Field, model_validator

from steiner.core.record import Record


class StepBudget(Record):
    """Limits of one request. None means no limit."""

    min_steps: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    max_reasoning_tokens: int | None = Field(default=None, ge=16)
    """Tokens from START to END, both included. Strict step control closes the open fields in time."""

    @model_validator(mode="after")
    def _check(self) -> StepBudget:
        if self.max_steps is not None and self.min_steps > self.max_steps:
            raise ValueError(f"min_steps {self.min_steps} is more than max_steps {self.max_steps}")
        return self
