"""Summaries of graded samples: points of a curve, models, histograms. Pure functions.

The statistics are in `intervals`, metrics of repeated samples in `passes`, comparisons in `compare`, the
verdict on a curve in `trend`; the names that reports need are here too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steiner.core import InputError
from steiner.evaluate.compare import compare, shares_by_question
from steiner.evaluate.intervals import (
    Estimate,
    Interval,
    bootstrap_mean,
    bootstrap_share,
    mcnemar_exact,
    paired_difference,
    smallest_detectable_difference,
    wilson_interval,
)
from steiner.evaluate.records import CurvePoint, Histogram, ModelResult, SampleResult
from steiner.evaluate.wording import steps_allowed

__all__ = [
    "Estimate",
    "Interval",
    "bootstrap_mean",
    "bootstrap_share",
    "compare",
    "curve_point",
    "histogram",
    "mcnemar_exact",
    "model_result",
    "paired_difference",
    "smallest_detectable_difference",
    "wilson_interval",
]
MAX_BINS = 24


def curve_point(samples: Iterable[SampleResult], max_steps: int | None, seed: int = 0) -> CurvePoint:
    """Summarise the samples that were made under the limit `max_steps` (None: without limit).

    One completion a question gets the Wilson interval; several get the bootstrap over questions.

    Raises:
        InputError: if no sample was made under that limit.
    """
    chosen = [sample for sample in samples if sample.max_steps == max_steps]
    if not chosen:
        raise InputError(
            f"No sample was made with {steps_allowed(max_steps)}: evaluate with that limit first."
        )
    accuracies = np.fromiter(shares_by_question(chosen).values(), dtype=np.float64)
    accuracy, n = float(accuracies.mean()), len(accuracies)
    low, high = wilson_interval(round(accuracy * n), n)
    if len(chosen) > n and np.ptp(accuracies) > 0:
        _, low, high = bootstrap_share(accuracies, seed=seed)
    return CurvePoint(
        max_steps=max_steps,
        accuracy=accuracy,
        low=min(low, accuracy),
        high=max(high, accuracy),
        n=n,
        mean_steps=float(np.mean([sample.steps for sample in chosen])),
        mean_reasoning_tokens=float(np.mean([sample.reasoning_tokens for sample in chosen])),
        well_formed=float(np.mean([sample.well_formed for sample in chosen])),
    )


def model_result(
    name: str,
    title: str,
    samples: Sequence[SampleResult],
    *,
    final: int | None,
    minimum: int,
    seconds: float,
    seed: int = 0,
) -> ModelResult:
    """Summarise all samples of one model: a curve over every limit that was tried.

    Args:
        name: key of the model.
        title: name to show.
        samples: under all limits.
        final: the limit that the evaluation is about (None: without limit).
        minimum: the number of steps that the problems need at least.
        seconds: wall-clock time of the evaluation.
        seed: of the bootstrap.

    Raises:
        InputError: if no sample was made under `final` or `minimum`.
    """
    limits = sorted({s.max_steps for s in samples}, key=lambda m: math.inf if m is None else m)
    steps = sum(s.steps for s in samples if s.max_steps == final)
    repeated = sum(s.repeated_steps for s in samples if s.max_steps == final)
    return ModelResult(
        name=name,
        title=title,
        curve=tuple(curve_point(samples, limit, seed) for limit in limits),
        final=curve_point(samples, final, seed),
        minimum=curve_point(samples, minimum, seed),
        repeats=repeated / steps if steps else 0.0,
        seconds=seconds,
    )


def histogram(values: Sequence[float] | NDArray[Any], unit: str) -> Histogram:
    """Count values in about `MAX_BINS` bins of equal whole width; a bin of width 1 is centred on its value.

    Raises:
        ValueError: if there are no values.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError(f"no values of '{unit}' to count")
    low, high = math.floor(array.min()), math.floor(array.max())
    width = _whole_width((high - low + 1) / MAX_BINS)
    start = low - 0.5 if width == 1 else float(low // width * width)
    bins = math.floor((high - start) / width) + 1
    edges = start + width * np.arange(bins + 1, dtype=np.float64)
    counts, _ = np.histogram(array, bins=edges)
    return Histogram(
        unit=unit, edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), mean=float(array.mean())
    )


def _whole_width(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50… that is not less than `least`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10
