"""How long a training sample may be, and why one is left out."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from steiner.core import Record, TokenSample


class DropReason(StrEnum):
    """Why a path did not become a sample."""

    REASONING = "reasoning too long"
    TOTAL = "prompt, reasoning and answer too long"


class TokenBudget(Record):
    """Bounds of a sample in tokens, both exclusive; the defaults are the ones of the Steiner report."""

    max_reasoning_tokens: int = Field(default=4096, ge=2)
    """A sample is kept if it has fewer tokens from START to END, both included."""
    max_total_tokens: int = Field(default=8192, ge=3)
    """A sample is kept if it has fewer tokens of prompt and completion."""

    @model_validator(mode="after")
    def _check(self) -> TokenBudget:
        if self.max_reasoning_tokens > self.max_total_tokens:
            raise ValueError(
                f"max_reasoning_tokens {self.max_reasoning_tokens} is more than "
                f"max_total_tokens {self.max_total_tokens}"
            )
        return self

    def refuses(self, sample: TokenSample) -> DropReason | None:
        """Return why `sample` has to be left out, None where it fits."""
        if sample.reasoning_tokens >= self.max_reasoning_tokens:
            return DropReason.REASONING
        if sample.total_tokens >= self.max_total_tokens:
            return DropReason.TOTAL
        return None
