"""What the tokens of long reasoning buy otherwise: a vote or a verifier's choice of short completions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from steiner.core import InputError, Record
from steiner.evaluate.intervals import Floats, bootstrap_share, paired_difference
from steiner.evaluate.passes import Metric, question_values
from steiner.evaluate.records import Finite, Limit, SampleResult, Share


class BaselinePoint(Record):
    """The same tokens spent on several short completions."""

    k: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    """Completions that the tokens of the setting pay for. Between two whole numbers: a mixture of both."""
    accuracy: Share
    low: Share
    high: Share
    ahead: Finite
    """Accuracy of the curve minus this one, at the same tokens."""
    ahead_low: Finite
    ahead_high: Finite


class Baseline(Record):
    """A way of spending tokens on several completions."""

    title: str
    metric: Metric
    samples: Limit
    """Completions of each question that there are to choose from."""
    tokens: Finite
    """Tokens of one of its completions, on average."""
    points: tuple[BaselinePoint | None, ...]
    """Parallel to the curve's points; None where the tokens pay for less than one completion or for more
    than there are."""


class Pool(NamedTuple):
    """Short completions to vote with: several of each question, all under the same setting."""

    title: str
    samples: Sequence[SampleResult]
    graded: bool = False
    """Whether the grader itself may choose, as in Countdown, where anyone can check a result: then pass@N."""


def mean_tokens(samples: Iterable[SampleResult]) -> float:
    """Return the mean of all tokens, of the reasoning tokens where the others were not counted."""
    return float(np.mean([s.reasoning_tokens if s.tokens is None else s.tokens for s in samples]))


def _metrics(pool: Pool) -> list[Metric]:
    if pool.graded:
        return [Metric.MAJORITY, Metric.PASS]
    scored = bool(pool.samples) and all(sample.score is not None for sample in pool.samples)
    return [Metric.MAJORITY, Metric.BEST] if scored else [Metric.MAJORITY]


def baselines(
    pool: Pool, questions: Sequence[str], values_QB: Floats, tokens_B: Sequence[float], seed: int, draws: int
) -> list[Baseline]:
    """Return what the tokens of each setting of a curve buy when spent on a pool's completions.

    Args:
        pool: the completions.
        questions: of the curve.
        values_QB: share of right completions of each question under each setting of the curve.
        tokens_B: mean tokens of a completion under each setting.
        seed: of the bootstrap.
        draws: number of bootstrap resamples.

    Raises:
        InputError: if the pool answers other questions, or under several settings.
    """
    most = _least_answers(pool, questions)
    cost = mean_tokens(pool.samples)
    found = []
    for metric in _metrics(pool):
        made: list[BaselinePoint | None] = []
        for place, paid in enumerate(tokens_B):
            k = paid / cost if cost > 0 else math.inf
            made.append(
                _baseline_point(pool, metric, k, questions, values_QB[:, place], seed, draws)
                if 1 <= k <= most
                else None
            )
        found.append(Baseline(title=pool.title, metric=metric, samples=most, tokens=cost, points=tuple(made)))
    return found


def _least_answers(pool: Pool, questions: Sequence[str]) -> int:
    """Return how many completions every question has."""
    counts = dict.fromkeys(questions, 0)
    others = 0
    for sample in pool.samples:
        if sample.problem_id in counts:
            counts[sample.problem_id] += 1
        else:
            others += 1
    if others or not min(counts.values()) or len({(s.min_steps, s.max_steps) for s in pool.samples}) > 1:
        raise InputError(
            f"'{pool.title}' cannot be held against the curve: its samples must answer the same questions, "
            "all under one setting of steps."
        )
    return min(counts.values())


def _baseline_point(
    pool: Pool, metric: Metric, k: float, questions: Sequence[str], values_Q: Floats, seed: int, draws: int
) -> BaselinePoint:
    """Between two whole numbers take both with the odds that give the same tokens on average."""
    lower = math.floor(k)
    parts = [(lower, 1 - (k - lower)), (lower + 1, k - lower)]
    other_Q = np.zeros(len(questions))
    for whole, weight in parts:
        if weight > 0:
            of_question = question_values(pool.samples, metric, whole)
            other_Q += weight * np.array([of_question[question] for question in questions])
    other_Q = np.clip(other_Q, 0.0, 1.0)
    value, low, high = bootstrap_share(other_Q, seed, resamples=draws)
    ahead, ahead_low, ahead_high = paired_difference(other_Q, values_Q, seed, resamples=draws)
    return BaselinePoint(
        k=k, accuracy=value, low=max(0.0, low), high=min(1.0, high),
        ahead=ahead, ahead_low=ahead_low, ahead_high=ahead_high,
    )  # fmt: skip
