"""Accuracy against thinking, with a verdict, beside what the same tokens buy otherwise.

A curve is made of settings: the samples of one run under one pair of forced least and allowed most steps. All
settings answer the same questions, so everything is paired by question. At the tokens of each setting stand
majority vote and, where there is a verifier, best-of-N of short completions of the same or another model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from steiner.core import InputError, Record
from steiner.evaluate.baselines import Baseline, Pool, baselines, mean_tokens
from steiner.evaluate.intervals import bootstrap_share
from steiner.evaluate.passes import Metric, question_values
from steiner.evaluate.records import Count, Finite, Limit, SampleResult, Share
from steiner.evaluate.trend import DRAWS, Shape, trend
from steiner.evaluate.trend_wording import curve_verdict, curve_warning
from steiner.evaluate.wording import steps_allowed


class Axis(StrEnum):
    """What accuracy is held against."""

    MAX_STEPS = "max-steps"
    MIN_STEPS = "min-steps"
    TOKENS = "tokens"
    """Mean reasoning tokens of a setting."""
    SECONDS = "seconds"
    """Mean seconds of a completion."""


UNITS = {
    Axis.MAX_STEPS: "steps allowed",
    Axis.MIN_STEPS: "steps forced",
    Axis.TOKENS: "reasoning tokens",
    Axis.SECONDS: "seconds",
}


class ScalingPoint(Record):
    """One setting. Means are over all its samples."""

    x: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """Place on the axis; None for no limit of steps."""
    label: str
    """`x` in words: `8`, `no limit`, `412`."""
    min_steps: Count
    max_steps: Limit | None
    n: Limit
    """Questions."""
    samples: Limit
    """Completions, of all questions together."""
    accuracy: Share
    low: Share
    high: Share
    steps: Finite
    reasoning_tokens: Finite
    tokens: Finite
    """All tokens of a completion; reasoning tokens where the others were not counted."""
    seconds: Finite | None
    fit: Share
    """What the verdict's shape makes of it."""


class ScalingCurve(Record):
    """A curve with its verdict."""

    title: str
    axis: Axis
    points: tuple[ScalingPoint, ...]
    """In rising order of `x`."""
    baselines: tuple[Baseline, ...] = ()
    shape: Shape
    at: str | None
    """Label of the budget that the verdict names."""
    peak_low: str
    """Label of the first budget that may hold the peak, with 95% confidence."""
    peak_high: str
    p_rise: Share
    p_fall: Share
    detectable: Share
    """Difference between the first and the last point that would be seen with 80% power."""
    verdict: str
    """For example `rises to 8 steps allowed at least: …`."""
    warning: str = ""
    """What this number of questions does not allow to claim; empty if nothing."""


class _Setting(NamedTuple):
    x: float
    min_steps: int
    max_steps: int | None
    samples: list[SampleResult]
    share: dict[str, float]


def scaling_curve(
    runs: Sequence[Iterable[SampleResult]],
    axis: Axis,
    *,
    title: str,
    pools: Sequence[Pool] = (),
    seed: int = 0,
    draws: int = DRAWS,
) -> ScalingCurve:
    """Judge accuracy against a budget.

    Args:
        runs: samples of each run; a run may hold several settings of steps.
        axis: what accuracy is held against.
        title: of the model.
        pools: completions for the baselines.
        seed: of all resampling.
        draws: sign flips and bootstrap resamples.

    Raises:
        InputError: if there are fewer than two settings, they did not answer the same questions, two stand at
            the same place, or seconds are wanted and were not recorded.
    """
    settings = _settings(runs, axis)
    questions = list(settings[0].share)
    values_QB = np.array([[s.share[question] for s in settings] for question in questions])
    found = trend(values_QB, seed, draws)
    labels = [_label(axis, s.x) for s in settings]
    curve_points = tuple(
        _point(setting, label, fit, seed, draws)
        for setting, label, fit in zip(settings, labels, found.fit, strict=True)
    )
    return ScalingCurve(
        title=title,
        axis=axis,
        points=curve_points,
        baselines=tuple(
            baseline
            for pool in pools
            for baseline in baselines(
                pool, questions, values_QB, [point.tokens for point in curve_points], seed, draws
            )
        ),
        shape=found.shape,
        at=None if found.at is None else labels[found.at],
        peak_low=labels[found.peak_low],
        peak_high=labels[found.peak_high],
        p_rise=found.p_rise,
        p_fall=found.p_fall,
        detectable=found.detectable,
        verdict=curve_verdict(found, labels, UNITS[axis], len(questions)),
        warning=curve_warning(found, len(questions)),
    )


def _settings(runs: Sequence[Iterable[SampleResult]], axis: Axis) -> list[_Setting]:
    groups: dict[tuple[int, int, int | None], list[SampleResult]] = {}
    for number, run in enumerate(runs):
        for sample in run:
            groups.setdefault((number, sample.min_steps, sample.max_steps), []).append(sample)
    settings = [
        _Setting(_place(axis, group, low, high), low, high, group, question_values(group, Metric.AVERAGE, 1))
        for (_, low, high), group in groups.items()
    ]
    if len(settings) < 2:
        raise InputError(
            f"A curve needs at least two settings, there are {len(settings)}: evaluate under several step "
            "limits, or give several runs."
        )
    settings.sort(key=lambda setting: setting.x)
    for left, right in pairwise(settings):
        if left.x == right.x:
            raise InputError(
                f"Two settings stand at the same place of the axis {axis.value}, {_label(axis, left.x)}: "
                "hold the other limits fixed, or choose another axis."
            )
    _check_same_questions(settings)
    return settings


def _check_same_questions(settings: Sequence[_Setting]) -> None:
    first = settings[0].share.keys()
    for setting in settings[1:]:
        if setting.share.keys() != first:
            raise InputError(
                f"The settings of a curve must answer the same questions: {len(first):,} and "
                f"{len(setting.share):,}, {len(first & setting.share.keys()):,} of them the same "
                f"({steps_allowed(settings[0].max_steps)} and {steps_allowed(setting.max_steps)})."
            )


def _place(axis: Axis, samples: Sequence[SampleResult], min_steps: int, max_steps: int | None) -> float:
    if axis is Axis.MAX_STEPS:
        return math.inf if max_steps is None else float(max_steps)
    if axis is Axis.MIN_STEPS:
        return float(min_steps)
    if axis is Axis.TOKENS:
        return float(np.mean([sample.reasoning_tokens for sample in samples]))
    seconds = _mean_seconds(samples)
    if seconds is None:
        raise InputError("These samples have no seconds: choose another axis.")
    return seconds


def _label(axis: Axis, x: float) -> str:
    if math.isinf(x):
        return "no limit"
    return f"{x:.3g}" if axis is Axis.SECONDS else f"{x:,.0f}"


def _mean_seconds(samples: Iterable[SampleResult]) -> float | None:
    seconds = [sample.seconds for sample in samples]
    return None if None in seconds else float(np.mean([s for s in seconds if s is not None]))


def _point(setting: _Setting, label: str, fit: float, seed: int, draws: int) -> ScalingPoint:
    samples = setting.samples
    accuracy, low, high = bootstrap_share(list(setting.share.values()), seed, resamples=draws)
    return ScalingPoint(
        x=None if math.isinf(setting.x) else setting.x,
        label=label,
        min_steps=setting.min_steps,
        max_steps=setting.max_steps,
        n=len(setting.share),
        samples=len(samples),
        accuracy=accuracy,
        low=max(0.0, low),
        high=min(1.0, high),
        steps=float(np.mean([sample.steps for sample in samples])),
        reasoning_tokens=float(np.mean([sample.reasoning_tokens for sample in samples])),
        tokens=mean_tokens(samples),
        seconds=_mean_seconds(samples),
        fit=min(1.0, max(0.0, fit)),
    )
