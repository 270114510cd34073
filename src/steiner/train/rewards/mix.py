"""Which rewards a training uses, and what an attempt earns by each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from steiner.train.rewards.base import Attempt, Earned
from steiner.train.rewards.dag import DagReward, dag
from steiner.train.rewards.montecarlo import MonteCarloReward, montecarlo
from steiner.train.rewards.outcome import OutcomeReward, outcome
from steiner.train.rewards.progress import ProgressReward, progress

RewardSettings = Annotated[
    OutcomeReward | DagReward | ProgressReward | MonteCarloReward, Field(discriminator="name")
]
"""One reward by its name, with its weight and what it has of its own."""

FUNCTIONS: dict[str, Callable[[Attempt, Any], Earned]] = {
    "outcome": outcome,
    "dag": dag,
    "progress": progress,
    "montecarlo": montecarlo,
}


def earn(attempt: Attempt, rewards: Sequence[RewardSettings]) -> tuple[Earned, ...]:
    """Return what an attempt earns by each reward, unweighted, parallel to `rewards`; by weight 0 nothing."""
    return tuple(FUNCTIONS[r.name](attempt, r) if r.weight else Earned() for r in rewards)


def total(earned: Sequence[Earned], rewards: Sequence[RewardSettings], steps: int) -> Earned:
    """Return the weighted sum of what one attempt earned.

    Args:
        earned: parallel to `rewards`.
        rewards: their weights count.
        steps: number of steps of the attempt.
    """
    weighted = [(one, reward.weight) for one, reward in zip(earned, rewards, strict=True)]
    return Earned(
        steps=tuple(
            float(sum(one.steps[k] * weight for one, weight in weighted if one.steps)) for k in range(steps)
        ),
        end=_sum([None if one.end is None else one.end * weight for one, weight in weighted]),
        whole=_sum([None if one.whole is None else one.whole * weight for one, weight in weighted]),
    )


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
