"""One update of RL as a few numbers: what the alarms look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steiner.core import Move, Step
from steiner.train.monitor.text import idle_backtracks, repeats, scripts

PREFIX = "search/"
"""Of the names of the figures among a trainer's logged numbers."""

SAMPLING_GAP = "sampling/sampling_logp_difference/mean"
"""TRL's name of `logprob_gap` where it samples through vLLM."""


class Written(NamedTuple):
    """One completion as the monitor sees it."""

    group: int
    """Number of its prompt; the completions of a group are neighbours."""
    reward: float
    """What the update optimises: outcome and steps with their weights."""
    right: bool
    well_formed: bool
    """Whether it follows the grammar to the end of text."""
    truncated: bool
    """Whether a limit of tokens cut it."""
    signal: bool
    """Whether any of its advantages differs from 0."""
    max_steps: int | None
    """Its limit of steps."""
    steps: Sequence[Step]
    moves: Sequence[Move]
    repeated: Sequence[bool] | None = None
    """Parallel to `steps`, where exact states tell it; None: the text does."""


class UpdateFigures(NamedTuple):
    """Means over the completions of one update; None where there was nothing to measure."""

    reward: float
    """Mean reward per completion, in units of reward."""
    right: float
    """Accuracy: share of right completions."""
    well_formed: float
    """Share of completions that follow the grammar to their end."""
    steps: float
    """Mean steps per completion."""
    at_limit: float
    """Share of completions that used all steps they were allowed."""
    repeated: float | None = None
    """Share of steps that say or reach what an earlier one did."""
    idle_backtracks: float | None = None
    """Share of backtracks after which an earlier step is written again."""
    latin: float | None = None
    """Share of the letters of the thoughts that are Latin."""
    han: float | None = None
    """Share of them that are Chinese characters."""
    no_signal: float = 0.0
    """Share of groups without a single advantage other than 0: masked, nothing is learned from them."""
    truncated: float = 0.0
    """Share of groups all of whose completions were cut by a limit of tokens."""
    logprob_gap: float | None = None
    """Mean of |log p of the trainer − log p of the rollouts| over chosen tokens, in nats."""

    def logged(self) -> dict[str, float]:
        """Return the figures that there are, under the names that `read` knows."""
        return {PREFIX + name: float(v) for name, v in self._asdict().items() if v is not None}


def read(values: Mapping[str, float]) -> UpdateFigures | None:
    """Return the figures among logged numbers, None if the point has none (an update on older rollouts)."""
    found = {n: values[PREFIX + n] for n in UpdateFigures._fields if values.get(PREFIX + n) is not None}
    if SAMPLING_GAP in values:
        found.setdefault("logprob_gap", values[SAMPLING_GAP])
    required = set(UpdateFigures._fields) - UpdateFigures._field_defaults.keys()
    return UpdateFigures(**found) if required <= found.keys() else None


def update_figures(written: Sequence[Written], gap: float | None = None) -> UpdateFigures:
    """Return the figures of one update.

    Args:
        written: all completions of the update, at least one.
        gap: from `logprob_gap`, where log-probabilities of the rollouts are known.
    """
    steps = sum(len(w.steps) for w in written)
    again = sum(sum(repeats(w.steps) if w.repeated is None else w.repeated) for w in written)
    idle = [idle_backtracks(w.steps, w.moves) for w in written]
    backtracks = sum(total for _, total in idle)
    letters = scripts(step.thought for w in written for step in w.steps)
    groups = [list(members) for _, members in groupby(written, key=lambda w: w.group)]
    return UpdateFigures(
        reward=_mean(w.reward for w in written),
        right=_mean(w.right for w in written),
        well_formed=_mean(w.well_formed for w in written),
        steps=steps / len(written),
        at_limit=_mean(w.max_steps is not None and len(w.steps) >= w.max_steps for w in written),
        repeated=again / steps if steps else None,
        idle_backtracks=sum(count for count, _ in idle) / backtracks if backtracks else None,
        latin=None if letters is None else letters.latin,
        han=None if letters is None else letters.han,
        no_signal=_mean(not any(w.signal for w in group) for group in groups),
        truncated=_mean(all(w.truncated for w in group) for group in groups),
        logprob_gap=gap,
    )


def logprob_gap(
    trainer_T: NDArray[np.floating], rollout_T: NDArray[np.floating], chosen_T: NDArray[np.bool_]
) -> float | None:
    """Return the mean of |log p of the trainer − log p of the rollouts| over chosen tokens, in nats.

    Both must mean the same distribution: at the same temperature, before step control. Tokens whose value is
    not known (NaN) are left out; None if no token is left.
    """
    difference = np.abs(np.asarray(trainer_T, dtype=np.float64) - np.asarray(rollout_T, dtype=np.float64))
    kept = difference[np.asarray(chosen_T, dtype=np.bool_) & ~np.isnan(difference)]
    return float(kept.mean()) if kept.size else None


def _mean(values: Iterable[float | bool]) -> float:
    return float(np.mean([float(value) for value in values]))
