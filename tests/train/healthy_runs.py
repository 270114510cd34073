"""Simulated RL runs in which nothing is wrong: what the monitor must keep quiet about.

Each run draws its own circumstances: size of the update, accuracy at the start and what training adds, spread
of difficulty, a slow drift of difficulty (AR(1), 0.9), random step limits, length of thinking that grows or
shrinks by up to a third, repeats, backtracks, a share of questions in Chinese, grammar that gets better, and
the gap of bf16 kernels. Figures are counted from simulated completions, so their noise is that of counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steiner.train.monitor import UpdateFigures

Array = NDArray[np.float64]


def healthy_run(seed: int, updates: int = 200) -> list[tuple[int, UpdateFigures]]:
    """Return the figures of each update of one run."""
    rng = np.random.default_rng(seed)
    shape = (updates, int(rng.choice([4, 8, 16])), int(rng.choice([4, 8, 16])))  # updates, prompts, group
    learned = 1 - np.exp(-np.arange(updates) / rng.uniform(20, 200))[:, None, None]
    ability = rng.uniform(-2.5, 1.5) + rng.uniform(0, 2.5) * learned + _drift(rng, updates)[:, None, None]
    difficulty = rng.normal(0, rng.uniform(0.5, 2), shape[:2])[:, :, None]
    limit = rng.integers(1, rng.integers(4, 24), size=shape[:2])[:, :, None]
    length = rng.uniform(2, 8) * (1 + rng.uniform(-0.33, 0.33) * learned)
    wanted = 1 + rng.poisson(np.broadcast_to(length, shape))
    steps = np.minimum(wanted, limit)
    chance = 1 / (1 + np.exp(difficulty - ability)) * np.where(wanted <= limit, 1.0, 0.3)
    right = rng.random(shape) < chance
    repeated = rng.binomial(steps, rng.uniform(0.02, 0.2) * (1 - 0.5 * learned))
    backtracks = rng.binomial(steps - 1, rng.uniform(0.1, 0.4))
    idle = rng.binomial(backtracks, rng.uniform(0.0, 0.2))
    step_reward = 0.4 * right + rng.normal(0, 0.3, shape) - 0.5 * repeated / steps
    reward = right + rng.choice([0.2, 0.5, 1.0]) * step_reward
    formed = rng.random(shape) < 1 - rng.uniform(0, 0.1) * np.exp(-3 * learned)
    cut = rng.random(shape) < 0.05
    latin = _latin(rng, shape[:2])
    gap = rng.uniform(0.005, 0.02) * np.exp(rng.normal(0, 0.2, updates)) * (1 + learned[:, 0, 0])
    rows = zip(
        _mean(reward), _mean(right), _mean(formed), _mean(steps), _mean(steps >= limit),
        _sum(repeated) / _sum(steps), _sum(idle), _sum(backtracks), latin, 0.97 - latin,
        (np.ptp(reward, axis=2) == 0).mean(axis=1), cut.all(axis=2).mean(axis=1), gap, strict=True,
    )  # fmt: skip
    return [
        (i + 1, UpdateFigures(*row[:6], row[6] / row[7] if row[7] else None, *row[8:]))
        for i, row in enumerate(tuple(map(float, row)) for row in rows)
    ]


def _drift(rng: np.random.Generator, updates: int) -> Array:
    values = np.zeros(updates)
    for i, kick in enumerate(rng.normal(0, 0.1, updates)):
        values[i] = 0.9 * values[i - 1] + kick
    return values


def _latin(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return the Latin share of each update: a tenth of the questions is Chinese, some are answered so."""
    chinese = rng.random(shape) < 0.1
    return 0.97 - 0.9 * rng.uniform(0, 1) * chinese.mean(axis=1)


def _mean(values: NDArray[np.generic]) -> Array:
    return values.mean(axis=(1, 2))


def _sum(values: NDArray[np.generic]) -> Array:
    return values.sum(axis=(1, 2)).astype(np.float64)
