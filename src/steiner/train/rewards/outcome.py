"""Outcome: 1 for a completion whose answer is right, 0 otherwise. Says nothing about steps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steiner.core import Settings
from steiner.train.rewards.base import Attempt, Earned


class OutcomeReward(Settings):
    """Whether the answer is right; needs no graph."""

    name: Literal["outcome"] = "outcome"
    weight: float = Field(default=1.0, ge=0)


def outcome(attempt: Attempt, settings: OutcomeReward) -> Earned:
    """Return 1 or 0 for the whole completion."""
    return Earned(whole=float(attempt.right))
