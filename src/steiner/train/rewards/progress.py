"""Progress: by how much a step changes the probability of success, from the graph's Monte-Carlo values.

    V(n)              =  (right(n) + prior · V(question)) / (traces(n) + prior)
    V(question)       =  right(question) / traces(question)
    reward of step k  =  V(n_k) − V(where the search stood) − cost − broken, the last if the step is not sound

`right(n)` of the `traces(n)` traces through a node had it on their way to the right answer, so V estimates
the probability that whoever wrote the traces gets there from n. This is the process advantage of a prover
other than the policy (PAV: Setlur et al. 2024, "Rewarding Progress", https://arxiv.org/abs/2410.08146) and
the progress bonus of MRT (Qu et al. 2025, "Optimizing Test-Time Compute via Meta Reinforcement Fine-Tuning",
https://arxiv.org/abs/2503.07572), with the graph in the place of rollouts. `prior` pseudo-traces
draw the value of a rarely seen node towards the question's.

A step whose node the graph lacks changes nothing, and the search goes on standing where it was: the rewards
of a completion, costs aside, add up to V(last known node) − V(question), so wandering cannot be farmed.
Unit: probability, in [−1, 1].
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steiner.core import Settings
from steiner.train.rewards.base import Attempt, Earned, GeneratedStep


class ProgressReward(Settings):
    """Change of the probability of success; needs a graph."""

    name: Literal["progress"] = "progress"
    weight: float = Field(default=1.0, ge=0)
    credit: Literal["later", "own"] = "own"
    """`own`: a step's advantage is its own normalised reward, as it already is an advantage (PAV). `later`:
    the sum of its own and all later ones (DeepSeekMath)."""
    prior: float = Field(default=1.0, ge=0)
    """Pseudo-traces that have the question's value."""
    cost: float = Field(default=0.0, ge=0)
    """Charge of each step, in units of probability: what a step must gain to be worth its tokens."""
    broken: float = Field(default=0.5, ge=0)
    """Charge of a step that is not sound, in units of probability."""


def node_value(step: GeneratedStep, chance: float, prior: float) -> float | None:
    """Return V of the node that a step reaches, None if the graph has no such node."""
    if step.facts is None or step.traces + prior == 0:
        return None
    return (step.right + prior * chance) / (step.traces + prior)


def progress(attempt: Attempt, settings: ProgressReward) -> Earned:
    """Return each step's change of value."""
    stands = attempt.chance
    rewards = []
    for step in attempt.steps:
        reached = node_value(step, attempt.chance, settings.prior) if step.sound else None
        gained = 0.0 if reached is None else reached - stands
        stands = stands if reached is None else reached
        rewards.append(gained - settings.cost - (0.0 if step.sound else settings.broken))
    return Earned(steps=tuple(rewards))
