"""Monte Carlo: values from extra rollouts of the model itself, as in VinePPO.

    V(k)                    =  share of right answers among the continuations written from the end of step k
    reward of step k        =  V(k) − V(k − 1)
    reward of END + answer  =  outcome − V(last step)            outcome: 1 for a right answer, 0 otherwise

V(0), the value of the question, is the share of right answers of the group itself, which costs nothing.
A boundary without continuations (the budget was spent) has no value; then the change from one known value
to the next is shared equally by the steps between, so that the rewards of a completion always add up to
outcome − V(0). Unit: probability, in [−1, 1].

Kazemnejad et al. 2024, "VinePPO: Unlocking RL Potential For LLM Reasoning Through Refined Credit
Assignment", https://arxiv.org/abs/2410.01679, equations 5 and 6 with discount 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field

from steiner.core import Settings
from steiner.train.rewards.base import Attempt, Earned


class MonteCarloReward(Settings):
    """Change of the model's own probability of success; needs no graph, costs rollouts."""

    name: Literal["montecarlo"] = "montecarlo"
    weight: float = Field(default=1.0, ge=0)
    credit: Literal["later", "own"] = "own"
    """As in `progress`; a change of value already is an advantage."""
    continuations: int = Field(default=4, ge=1)
    """K: continuations from each boundary."""
    most: int = Field(default=256, ge=1)
    """Most continuations per prompt and update; where all boundaries need more, evenly spread ones are
    taken."""


def montecarlo(attempt: Attempt, settings: MonteCarloReward) -> Earned:
    """Return each step's change of value, and that of the answer."""
    if not attempt.values:
        raise ValueError("the values of an attempt were not measured")
    changes = shared_changes((*attempt.values, float(attempt.right)))
    return Earned(steps=tuple(changes[:-1]), end=changes[-1])


def shared_changes(values: Sequence[float | None]) -> list[float]:
    """Return the change from each value to the next; over unknown ones it is shared equally.

    Args:
        values: the first and the last are known.
    """
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    changes: list[float] = []
    for (begin, before), (end, after) in pairwise(known):
        changes += [(after - before) / (end - begin)] * (end - begin)
    return changes
