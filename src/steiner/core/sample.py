"""A path as the token ids that training reads."""

from __future__ import annotations

from pydantic import model_validator

from steiner.core.record import Record

NO_STEP = -1
"""Step index of a token that belongs to no step: prompt, START, moves, END, answer, end of text."""


class TokenSample(Record):
    """Prompt and completion as token ids, with the step of each completion token."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    step_index: tuple[int, ...]
    """Parallel to `completion_ids`: number of the step the token belongs to, `NO_STEP` outside steps."""
    reasoning_tokens: int
    """Tokens from START to END, both included."""

    @model_validator(mode="after")
    def _check(self) -> TokenSample:
        if len(self.step_index) != len(self.completion_ids):
            raise ValueError(
                f"step_index must be parallel to completion_ids: {len(self.step_index)} "
                f"against {len(self.completion_ids)}"
            )
        if not 0 < self.reasoning_tokens <= len(self.completion_ids):
            raise ValueError("reasoning_tokens must lie within the completion")
        return self

    @property
    def total_tokens(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.prompt_ids) + len(self.completion_ids)
