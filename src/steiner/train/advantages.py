"""From rewards to an advantage per token, as pure functions on numpy arrays.

Process supervision follows DeepSeekMath (Shao et al. 2024, https://arxiv.org/abs/2402.03300, section 4.1.3):
the rewards of all steps of all completions of a group are normalised together, and a token's advantage is the
sum of the normalised rewards of the steps that end at it or later. Outcome supervision (section 4.1.2)
normalises one reward per completion.

Shape suffixes: `_G` completions of one prompt, `_S` steps of one completion, `_T` its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-4
"""Added to the standard deviation, as TRL does."""

NO_STEP = -1


def outcome_advantages(rewards_G: Sequence[float]) -> NDArray[np.float64]:
    """Return (r − mean) / (std + ε) over a group; zeros if all rewards are equal."""
    return _normalised(np.asarray(rewards_G, dtype=np.float64))


def process_advantages(rewards_G_S: Sequence[Sequence[float]]) -> list[NDArray[np.float64]]:
    """Return each step's advantage: the sum of its own and all later normalised rewards.

    Args:
        rewards_G_S: reward of each step of each completion of a group; a completion may have no step.
    """
    lengths = [len(rewards_S) for rewards_S in rewards_G_S]
    flat = _normalised(np.asarray([r for rewards_S in rewards_G_S for r in rewards_S], dtype=np.float64))
    parts = np.split(flat, np.cumsum(lengths)[:-1]) if lengths else []
    return [np.cumsum(part[::-1])[::-1] for part in parts]


def token_advantages(
    step_index_T: Sequence[int], step_advantages_S: Sequence[float] | NDArray[np.float64], outcome: float
) -> NDArray[np.float64]:
    """Spread the advantages of steps and outcome over the tokens of one completion.

    A token between two steps (a move) counts to the step after it, because that step is what the move chose;
    END, the answer and the end of text are followed by no step and get the outcome alone.

    Args:
        step_index_T: number of the step of each token, -1 outside steps.
        step_advantages_S: from `process_advantages`, already weighted.
        outcome: advantage of the whole completion, already weighted.

    Returns:
        Shape (T,).
    """
    index_T = np.asarray(step_index_T, dtype=np.int64)
    if index_T.size == 0:
        return np.zeros(0)
    count = len(step_advantages_S)
    # From the right: a token outside steps takes the number of the next step, `count` if there is none.
    following_T = np.minimum.accumulate(np.where(index_T == NO_STEP, count, index_T)[::-1])[::-1]
    padded = np.append(np.asarray(step_advantages_S, dtype=np.float64), 0.0)
    advantages_T: NDArray[np.float64] = padded[np.minimum(following_T, count)] + outcome
    return advantages_T


def _normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.size < 2 or np.ptp(values) == 0.0:
        return np.zeros_like(values)
    normalised: NDArray[np.float64] = (values - values.mean()) / (values.std(ddof=1) + EPSILON)
    return normalised
