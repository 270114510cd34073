"""Reward of each step of a completion, from where it stands in its problem's step graph.

The Steiner report rewards each step by a weighting of the node's in-degree e_i, out-degree e_o, distance to
the question d_s and distance to the correct answer d_e, and says no more. The formula here is ours:

    score(n)  =  w_answer  / (1 + d_e)            0 where the answer cannot be reached (d_e infinite)
               + w_progress · d_s / (d_s + d_e)   share of the shortest way through n that is done; 0 likewise
               + w_breadth · e_o / (1 + e_o)      ways on
               + w_junction · e_i / (1 + e_i)     ways that lead here

    reward of step k = score(n_k) − score(where the search stood before it)
                       + leave_dead_end      if it backtracks from a dead end to where the answer is in reach
                       − leave_good_branch   if it backtracks from a node that still leads to the answer
                       − repeat              if n_k was visited before in this completion
                       − broken              if the step is not sound (wrong sum, start never reached)

The search stands at the node of the step before, also when it then backtracks: the differences of a whole
completion add up to score(last) − score(question), so a detour earns back exactly what it lost and wandering
cannot be farmed (potential-based shaping, Ng, Harada and Russell 1999). Leaving a dead end is thereby paid
already; the extra credit is 0 by default because any positive one pays for entering dead ends. A step whose
node is not in the graph is "new": nobody knows how good it is, and only the charges apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from steiner.core import NodeFacts, Settings


class GeneratedStep(NamedTuple):
    """A step that a model wrote, found in its problem's graph."""

    facts: NodeFacts | None
    """Facts of the node it reaches; None if the graph has no such node."""
    start: NodeFacts | None
    """Facts of the node it starts from; None if that is unknown."""
    left: NodeFacts | None
    """Facts of the node that was left by backtracking to get here; None if it proceeds, or if unknown."""
    backtracks: bool
    """Whether a BACKTRACK stands before it."""
    repeated: bool
    """Whether its node was reached before in the same completion."""
    sound: bool
    """Whether the step is right in itself: starts from where the search has been and computes correctly."""


class RewardWeights(Settings):
    """Weights of the formula above, in units of reward."""

    answer: float = 0.5
    progress: float = 0.5
    breadth: float = 0.0
    junction: float = 0.0
    leave_dead_end: float = Field(default=0.0, ge=0)
    leave_good_branch: float = Field(default=0.2, ge=0)
    repeat: float = Field(default=0.5, ge=0)
    broken: float = Field(default=1.0, ge=0)


def node_score(facts: NodeFacts, weights: RewardWeights) -> float:
    """Return score(n) of the formula above."""
    score = weights.breadth * facts.e_o / (1 + facts.e_o) + weights.junction * facts.e_i / (1 + facts.e_i)
    if facts.d_e is not None:
        score += weights.answer / (1 + facts.d_e)
        if facts.d_s is not None and facts.d_s + facts.d_e > 0:
            score += weights.progress * facts.d_s / (facts.d_s + facts.d_e)
    return score


def step_rewards(steps: Sequence[GeneratedStep], weights: RewardWeights) -> list[float]:
    """Return the reward of each step of one completion, parallel to `steps`."""
    return [_reward(step, weights) for step in steps]


def _reward(step: GeneratedStep, weights: RewardWeights) -> float:
    if not step.sound:
        return -weights.broken
    reward = 0.0
    stood = step.left if step.backtracks else step.start
    if step.facts is not None and stood is not None:
        reward += node_score(step.facts, weights) - node_score(stood, weights)
    if step.backtracks and step.left is not None:
        if step.left.d_e is not None:
            reward -= weights.leave_good_branch
        elif step.start is not None and step.start.d_e is not None:
            reward += weights.leave_dead_end
    # A repeated step must never pay, whatever it leads to.
    return min(reward, 0.0) - weights.repeat if step.repeated else reward
