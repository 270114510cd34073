"""What may spoil a fit: shifts along tokens or time, and noise that grows."""

from __future__ import annotations

import numpy as np
from scipy import stats

from steiner.probe.fit import Floats
from steiner.probe.records import Change, Estimate

SHUFFLES = 999


def find_change(residual_N: Floats, place_N: Floats, along: str, seed: int) -> Change:
    """Return the largest shift of the residuals along `place_N`.

    The statistic is the largest standardised cumulative sum of the residuals' ranks (Pettitt 1979); its
    p-value comes from shuffling them.

    Args:
        residual_N: as shares.
        place_N: tokens, or numbers of requests.
        along: `tokens` or `time`.
        seed: of the shuffles.
    """
    order = np.argsort(place_N, kind="stable")
    rank_N = stats.rankdata(residual_N[order])
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(rank_N, (SHUFFLES, 1)), axis=1)
    found, others = _largest_sum(rank_N[None, :])[0], _largest_sum(shuffled)
    cut = int(np.argmax(np.abs(np.cumsum(rank_N - rank_N.mean())[:-1]))) + 1
    sorted_N = residual_N[order]
    return Change(
        along="tokens" if along == "tokens" else "time",
        at=float(place_N[order][cut]),
        before=float(np.median(sorted_N[:cut])),
        after=float(np.median(sorted_N[cut:])),
        p=float((1 + np.sum(others >= found - 1e-9)) / (1 + SHUFFLES)),
    )


def _largest_sum(rank_BN: Floats) -> Floats:
    centred = rank_BN - rank_BN.mean(axis=1, keepdims=True)
    largest: Floats = np.abs(np.cumsum(centred, axis=1)[:, :-1]).max(axis=1)
    return largest


def unevenness(residual_N: Floats, tokens_N: Floats) -> tuple[Estimate, float]:
    """Return the rank correlation of |residual| with tokens, with the interval of none, and its p-value."""
    chance = 1.96 / float(np.sqrt(max(1, len(tokens_N) - 1)))
    size_N = np.abs(residual_N - np.median(residual_N))
    if np.ptp(tokens_N) == 0 or np.ptp(size_N) == 0:
        return Estimate(value=0.0, low=-chance, high=chance), 1.0
    found = stats.spearmanr(size_N, tokens_N)
    value = float(np.nan_to_num(found.statistic))
    return Estimate(value=value, low=-chance, high=chance), float(np.nan_to_num(found.pvalue, nan=1.0))
