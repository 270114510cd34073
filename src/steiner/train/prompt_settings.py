"""How fine-tuning varies its prompts, so that a model takes what users will ask of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steiner.core import Settings
from steiner.protocol import HistoryPolicy


class PromptSettings(Settings):
    """Shares are of all samples; each draws for itself, by the seed. All 0: the dataset's prompts."""

    systems: tuple[str, ...] = ()
    """System prompts to draw from; none: the dataset's own."""
    no_system_share: float = Field(default=0.2, ge=0, le=1)
    """Share without a system prompt, if `systems` names some."""
    effort_share: float = Field(default=0.0, ge=0, le=1)
    """Share whose prompt names an effort: which fifth of all samples the path is in by reasoning tokens."""
    limit_share: float = Field(default=0.0, ge=0, le=1)
    """Share whose prompt names a limit of steps that the path keeps."""
    limit_slack: float = Field(default=0.5, ge=0, le=4)
    """A named largest number of steps is at most (1 + slack) × the path's, a least one at least the path's
    / (1 + slack)."""
    turns_share: float = Field(default=0.0, ge=0, le=1)
    """Share that has earlier turns: other samples' questions and answers. Loss is on the last turn alone."""
    max_turns: int = Field(default=4, ge=2, le=64)
    """Most turns of a conversation, the last included. Fewer where the context would not hold them."""
    turns_from: Literal["any", "family", "numbers"] = "any"
    """Whose samples become earlier turns: `family` is those of the same task or source; `numbers` those of
    the same numbers and another target, and every question but the first is a short one (`And 24?`)."""
    history: tuple[HistoryPolicy, ...] = Field(default=(HistoryPolicy.SUMMARIES,), min_length=1)
    """What earlier turns carry; a conversation draws one. Serve with a policy that was trained."""

    @property
    def changes_prompts(self) -> bool:
        """Whether the dataset's own prompts are not enough."""
        return bool(self.systems or self.effort_share or self.limit_share or self.turns_share)
