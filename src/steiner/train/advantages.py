"""From rewards to an advantage per token, as pure functions on numpy arrays.

Process supervision follows DeepSeekMath (Shao et al. 2024, https://arxiv.org/abs/2402.03300, section 4.1.3):
the rewards of all steps of all completions of a group are normalised together, and a token's advantage is the
sum of the normalised rewards of the steps that end at it or later. Outcome supervision (section 4.1.2)
normalises one reward per completion. Normalised means (r − mean) / (std + ε) with the sample deviation std;
Dr. GRPO (Liu et al. 2025, https://arxiv.org/abs/2503.20783) leaves the division out.

Advantages have no unit where they are divided by the standard deviation, else that of the reward.

Shape suffixes: `_G` completions of one prompt, `_S` steps of one completion, `_T` its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steiner.train.rewards import Earned, RewardSettings, total

EPSILON = 1e-4
"""Added to the standard deviation, as TRL does."""

NO_STEP = -1

Aggregation = Literal["normalise_then_sum", "sum_then_normalise"]


class Advantages(NamedTuple):
    """Advantages of the parts of one completion."""

    steps: NDArray[np.float64]
    """Shape (S,)."""
    end: float
    """Of what follows the last step: END, the answer, the end of text."""
    whole: float
    """Of every token."""

    @property
    def flat(self) -> bool:
        """Whether they say nothing at all."""
        return not (self.steps.any() or self.end or self.whole)


def outcome_advantages(rewards_G: Sequence[float], *, divide_by_std: bool = True) -> NDArray[np.float64]:
    """Return (r − mean) / (std + ε) over a group; zeros if all rewards are equal."""
    return _normalised(np.asarray(rewards_G, dtype=np.float64), divide_by_std)


def process_advantages(
    rewards_G_S: Sequence[Sequence[float]],
    *,
    credit: Literal["later", "own"] = "later",
    divide_by_std: bool = True,
) -> list[NDArray[np.float64]]:
    """Return each step's advantage: the sum of its own and all later normalised rewards, or its own alone.

    Args:
        rewards_G_S: reward of each step of each completion of a group; a completion may have no step.
        credit: `later` sums as DeepSeekMath does; `own` is for rewards that are advantages already.
        divide_by_std: divide by the standard deviation of all steps of the group.
    """
    lengths = [len(rewards_S) for rewards_S in rewards_G_S]
    rewards = np.asarray([r for rewards_S in rewards_G_S for r in rewards_S], dtype=np.float64)
    flat = _normalised(rewards, divide_by_std)
    parts = np.split(flat, np.cumsum(lengths)[:-1]) if lengths else []
    return [part if credit == "own" else np.cumsum(part[::-1])[::-1] for part in parts]


def group_advantages(
    earned_G: Sequence[Sequence[Earned]],
    steps_G: Sequence[int],
    rewards: Sequence[RewardSettings],
    *,
    aggregation: Aggregation = "normalise_then_sum",
    divide_by_std: bool = True,
) -> list[Advantages]:
    """Return the advantages of the completions of one group under several rewards.

    `normalise_then_sum` normalises each reward over the group and adds the results by weight, so that a
    weight counts whatever the scale of its reward. `sum_then_normalise` adds the weighted rewards first:
    those of whole completions to one, those of steps to one for each kind of credit.

    Args:
        earned_G: what each completion earned, each parallel to `rewards`.
        steps_G: number of steps of each completion.
        rewards: by which it was earned.
        aggregation: see above.
        divide_by_std: as in `outcome_advantages`.
    """
    if aggregation == "normalise_then_sum":
        parts = [
            _one_reward([earned[i] for earned in earned_G], steps_G, _credit(reward), divide_by_std)
            for i, reward in enumerate(rewards)
        ]
        return [
            _sum(column, [reward.weight for reward in rewards], count)
            for column, count in zip(zip(*parts, strict=True), steps_G, strict=True)
        ]
    parts = []
    for credit in ("later", "own"):
        # The part of whole completions goes with one of the two, so that it is normalised as one.
        chosen = [
            [
                one._replace(
                    steps=one.steps if _credit(reward) == credit else (),
                    end=one.end if _credit(reward) == credit else None,
                    whole=one.whole if credit == "later" else None,
                )
                for one, reward in zip(earned, rewards, strict=True)
            ]
            for earned in earned_G
        ]
        sums = [total(earned, rewards, count) for earned, count in zip(chosen, steps_G, strict=True)]
        if not any(one.steps for earned in chosen for one in earned):
            sums = [one._replace(steps=()) for one in sums]
        parts.append(_one_reward(sums, steps_G, credit, divide_by_std))
    return [
        _sum(column, (1.0, 1.0), count)
        for column, count in zip(zip(*parts, strict=True), steps_G, strict=True)
    ]


def token_advantages(
    step_index_T: Sequence[int],
    step_advantages_S: Sequence[float] | NDArray[np.float64],
    outcome: float,
    end: float = 0.0,
) -> NDArray[np.float64]:
    """Spread the advantages of steps and outcome over the tokens of one completion.

    A token between two steps (a move) counts to the step after it, because that step is what the move chose;
    END, the answer and the end of text are followed by no step and get `end` beside the outcome.

    Args:
        step_index_T: number of the step of each token, -1 outside steps.
        step_advantages_S: from `process_advantages`, already weighted.
        outcome: advantage of the whole completion, already weighted.
        end: advantage of what follows the last step, already weighted.

    Returns:
        Shape (T,).
    """
    index_T = np.asarray(step_index_T, dtype=np.int64)
    if index_T.size == 0:
        return np.zeros(0)
    count = len(step_advantages_S)
    # From the right: a token outside steps takes the number of the next step, `count` if there is none.
    following_T = np.minimum.accumulate(np.where(index_T == NO_STEP, count, index_T)[::-1])[::-1]
    padded = np.append(np.asarray(step_advantages_S, dtype=np.float64), end)
    advantages_T: NDArray[np.float64] = padded[np.minimum(following_T, count)] + outcome
    return advantages_T


def _credit(reward: RewardSettings) -> Literal["later", "own"]:
    return "later" if reward.name == "outcome" else reward.credit


def _one_reward(
    earned_G: Sequence[Earned],
    steps_G: Sequence[int],
    credit: Literal["later", "own"],
    divide_by_std: bool,
) -> list[Advantages]:
    """Normalise what one reward gave to the completions of a group."""
    rows = [[*one.steps, *([] if one.end is None else [one.end])] for one in earned_G]
    steps = process_advantages(rows, credit=credit, divide_by_std=divide_by_std)
    whole = outcome_advantages([one.whole or 0.0 for one in earned_G], divide_by_std=divide_by_std)
    return [
        Advantages(
            part[:count] if one.steps else np.zeros(count),
            0.0 if one.end is None else float(part[-1]),
            float(outcome),
        )
        for one, part, outcome, count in zip(earned_G, steps, whole, steps_G, strict=True)
    ]


def _sum(parts: Sequence[Advantages], weights: Sequence[float], steps: int) -> Advantages:
    return Advantages(
        np.sum([weight * one.steps for one, weight in zip(parts, weights, strict=True)], axis=0)
        if parts
        else np.zeros(steps),
        float(sum(weight * one.end for one, weight in zip(parts, weights, strict=True))),
        float(sum(weight * one.whole for one, weight in zip(parts, weights, strict=True))),
    )


def _normalised(values: NDArray[np.float64], divide_by_std: bool) -> NDArray[np.float64]:
    if values.size < 2 or np.ptp(values) == 0.0:
        return np.zeros_like(values)
    centred = values - values.mean()
    normalised: NDArray[np.float64] = centred / (values.std(ddof=1) + EPSILON) if divide_by_std else centred
    return normalised
