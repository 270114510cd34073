"""Reward of each step of a completion, from where it stands in its problem's step graph.

The Steiner report rewards each step and the whole path by a weighting of the node's in-degree e_i, out-degree
e_o, distance to the question d_s and distance to the correct answer d_e, and says no more. The formula here
is ours:

    score(n)  =  answer   / (1 + d_e)            0 where the answer cannot be reached (d_e infinite)
               + progress · d_s / (d_s + d_e)    share of the shortest way through n that is done; 0 likewise
               + breadth  · e_o / (1 + e_o)      ways on
               + junction · e_i / (1 + e_i)      ways that lead here

    reward of step k = score(n_k) − score(where the search stood before it)
                       + leave_dead_end      if it backtracks from a dead end to where the answer is in reach
                       − leave_good_branch   if it backtracks from a node that still leads to the answer
                       − repeat              if n_k was visited before in this completion; then nothing pays
                       − broken              instead of all that, if the step is not sound (wrong sum, start
                                             never reached)

    reward of the path = path · mean over its steps of score(n_k), a repeated or unsound step counting 0

The search stands at the node of the step before, also when it then backtracks: the differences of a whole
completion add up to score(last) − score(question), so a detour earns back exactly what it lost and wandering
cannot be farmed (potential-based shaping, Ng, Harada and Russell 1999). Leaving a dead end is thereby paid
already; the extra credit is 0 by default because any positive one pays for entering dead ends. A step whose
node is not in the graph is "new": nobody knows how good it is, so only the charges apply, it does not count
in the mean of the path, and the search goes on standing at the last known node.

The reward of the path does not fall with its length as such: a direct way has a higher mean than one with
dead ends, but a short way is not better than a long one whose nodes are as good.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steiner.core import NodeFacts, Settings
from steiner.train.rewards.base import Attempt, Earned, GeneratedStep


class DagReward(Settings):
    """Weights of the formula above, in units of reward; needs a graph."""

    name: Literal["dag"] = "dag"
    weight: float = Field(default=1.0, ge=0)
    credit: Literal["later", "own"] = "later"
    """`later`: a step's advantage is the sum of its own and all later normalised rewards (DeepSeekMath).
    `own`: its own alone."""
    answer: float = 0.5
    progress: float = 0.5
    breadth: float = 0.0
    junction: float = 0.0
    leave_dead_end: float = Field(default=0.0, ge=0)
    leave_good_branch: float = Field(default=0.2, ge=0)
    repeat: float = Field(default=0.5, ge=0)
    broken: float = Field(default=1.0, ge=0)
    path: float = Field(default=0.0, ge=0)


def dag(attempt: Attempt, settings: DagReward) -> Earned:
    """Return the reward of each step and, if `path` has a weight, of the whole path."""
    stands = attempt.question
    rewards = []
    for step in attempt.steps:
        rewards.append(_reward(step, stands, settings))
        if step.sound and step.facts is not None:
            stands = step.facts
    return Earned(steps=tuple(rewards), whole=_path(attempt.steps, settings) if settings.path else None)


def node_score(facts: NodeFacts, settings: DagReward) -> float:
    """Return score(n) of the formula above."""
    score = settings.breadth * facts.e_o / (1 + facts.e_o) + settings.junction * facts.e_i / (1 + facts.e_i)
    if facts.d_e is not None:
        score += settings.answer / (1 + facts.d_e)
        if facts.d_s is not None and facts.d_s + facts.d_e > 0:
            score += settings.progress * facts.d_s / (facts.d_s + facts.d_e)
    return score


def _reward(step: GeneratedStep, stands: NodeFacts | None, settings: DagReward) -> float:
    if not step.sound:
        return -settings.broken
    reward = 0.0
    stood = (step.left if step.backtracks else step.start) or stands
    if step.facts is not None and stood is not None:
        reward += node_score(step.facts, settings) - node_score(stood, settings)
    if step.backtracks and step.left is not None:
        if step.left.d_e is not None:
            reward -= settings.leave_good_branch
        elif step.start is not None and step.start.d_e is not None:
            reward += settings.leave_dead_end
    # A repeated step must never pay, whatever it leads to.
    return min(reward, 0.0) - settings.repeat if step.repeated else reward


def _path(steps: tuple[GeneratedStep, ...], settings: DagReward) -> float:
    scores = []
    for step in steps:
        if not step.sound or step.repeated:
            scores.append(0.0)
        elif step.facts is not None:
            scores.append(node_score(step.facts, settings))
    return settings.path * sum(scores) / len(scores) if scores else 0.0
