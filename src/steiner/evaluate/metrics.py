"""Accuracy with intervals, paired comparisons, and the points of a curve. Pure functions of graded samples.

The same question may be answered several times; questions, not completions, are then the unit that is
resampled, because completions of one question are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from steiner.core import InputError
from steiner.evaluate.records import Comparison, CurvePoint, Histogram, ModelResult, Outcome, SampleResult
from steiner.evaluate.wording import comparison_verdict, steps_allowed

Floats: TypeAlias = NDArray[np.float64]
RESAMPLES = 10_000
BATCH_CELLS = 4_000_000
"""Bootstrap counts drawn at once, so that memory stays below 100 MB whatever the number of questions."""
MAX_BINS = 24


class Interval(NamedTuple):
    """Two ends of a confidence interval."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A value and its confidence interval."""

    value: float
    low: float
    high: float


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of a share (Wilson 1927).

    It stays within 0 and 1 and keeps its width at 0 and n successes, where the normal interval vanishes.

    Raises:
        ValueError: unless `0 <= successes <= n`, `n >= 1` and `0 < level < 1`.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} make no share")
    ci = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    share = successes / n
    return Interval(min(max(0.0, float(ci.low)), share), max(min(1.0, float(ci.high)), share))


def bootstrap_mean(
    values: Sequence[float] | Floats,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the mean of `values` with its percentile bootstrap interval (Efron & Tibshirani 1993).

    Args:
        values: one number for each sample.
        groups: parallel to `values`: what is resampled together, such as the question of each completion.
            None: each value stands alone.
        seed: of the resampling; equal seeds give equal intervals.
        level: coverage.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: if there are no values or `groups` is not parallel to them.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("no values to take the mean of")
    if groups is None:
        rows = np.stack([array, np.ones_like(array)], axis=1)
    else:
        if len(groups) != array.size:
            raise ValueError(f"groups must be parallel to values: {len(groups)} against {array.size}")
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        index = np.array([numbers[group] for group in groups])
        rows = np.stack([np.bincount(index, weights=array), np.bincount(index).astype(np.float64)], axis=1)
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    means = _resampled_means(distinct, counts / counts.sum(), len(rows), seed, resamples)
    mean = float(array.mean())
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, min(float(low), mean), max(float(high), mean))


def paired_difference(
    a: Sequence[float] | Floats,
    b: Sequence[float] | Floats,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return mean(b) - mean(a) with a paired bootstrap interval over questions.

    The plain bootstrap of few or no disagreements is far too sure of itself (no disagreement in five
    questions would give the interval 0…0), so half a question is added to each cell of the table
    right/wrong × right/wrong, as Agresti & Min (2005) do for the same interval in closed form. With hundreds
    of questions that changes nothing.

    Args:
        a: result of each question before: 0 or 1, or the share of right completions.
        b: result of the same questions after, parallel to `a`.
        seed: of the resampling.
        level: coverage.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: if the two are empty or not parallel.
    """
    old, new = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if old.shape != new.shape or old.size == 0:
        raise ValueError(f"results must be parallel and not empty: {old.size} against {new.size}")
    change = new - old
    distinct, counts = np.unique(np.concatenate([change, [-1.0, 0.0, 1.0]]), return_counts=True)
    weights = counts - np.isin(distinct, (-1.0, 1.0)) * 0.5
    rows = np.stack([distinct, np.ones_like(distinct)], axis=1)
    means = _resampled_means(rows, weights / weights.sum(), change.size, seed, resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    difference = float(new.mean() - old.mean())
    return Estimate(
        difference, max(-1.0, min(float(low), difference)), min(1.0, max(float(high), difference))
    )


def mcnemar_exact(b: int, c: int) -> float:
    """Return McNemar's exact two-sided p-value of `b` against `c` disagreements (McNemar 1947).

    Raises:
        ValueError: if a count is negative.
    """
    if min(b, c) < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}")
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


def smallest_detectable_difference(
    n: int, p: float, *, discordant: float | None = None, level: float = 0.95, power: float = 0.8
) -> float:
    """Return the difference of accuracy that `n` questions show with probability `power`.

    With the share ψ of questions that the two models answer differently it is (z_level + z_power) · √(ψ / n)
    (Connor 1987, to first order).

    Args:
        n: number of questions.
        p: accuracy about which to look.
        discordant: ψ where it is known. None: that of two independent models, 2p(1 − p), the cautious choice.
        level: of the interval that must exclude zero.
        power: wanted probability of seeing the difference.

    Raises:
        ValueError: unless `n >= 1` and `p` and `discordant` are shares.
    """
    psi = 2 * p * (1 - p) if discordant is None else discordant
    if n < 1 or not 0 <= p <= 1 or not 0 <= psi <= 1:
        raise ValueError(f"n={n}, p={p}, discordant={discordant} make no experiment")
    normal = NormalDist()
    z = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)
    return min(1.0, z * math.sqrt(psi / n))


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
    accuracies = np.fromiter(_accuracy_by_question(chosen).values(), dtype=np.float64)
    accuracy, n = float(accuracies.mean()), len(accuracies)
    low, high = wilson_interval(round(accuracy * n), n)
    if len(chosen) > n and np.ptp(accuracies) > 0:
        _, low, high = bootstrap_mean(accuracies, seed=seed)
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


def compare(
    before: Iterable[SampleResult],
    after: Iterable[SampleResult],
    *,
    max_steps: int | None,
    titles: tuple[str, str] = ("before", "after"),
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same questions under the same limit, paired by question.

    It is called better or worse only if the 95% interval of the difference excludes zero.

    Args:
        before: samples of the model compared with; those under other limits are left out.
        after: samples of the other model.
        max_steps: the limit.
        titles: of the two models.
        seed: of the bootstrap.

    Raises:
        InputError: if the two did not answer the same questions under that limit.
    """
    solved_old = _accuracy_by_question(s for s in before if s.max_steps == max_steps)
    solved_new = _accuracy_by_question(s for s in after if s.max_steps == max_steps)
    if not solved_old or solved_old.keys() != solved_new.keys():
        raise InputError(
            f"'{titles[0]}' and '{titles[1]}' cannot be compared with {steps_allowed(max_steps)}: they "
            f"answered {len(solved_old)} and {len(solved_new)} questions, "
            f"{len(solved_old.keys() & solved_new.keys())} of them the same. "
            "Evaluate both on the same problems."
        )
    old = np.array(list(solved_old.values()))
    new = np.array([solved_new[problem] for problem in solved_old])
    difference, low, high = paired_difference(old, new, seed)
    gained, lost, n = int((new > old).sum()), int((new < old).sum()), len(old)
    outcome = Outcome.BETTER if low > 0 else Outcome.WORSE if high < 0 else Outcome.UNCLEAR
    detectable = smallest_detectable_difference(
        n, float(old.mean()), discordant=(gained + lost + 1) / (n + 2)
    )
    return Comparison(
        before=titles[0],
        after=titles[1],
        max_steps=max_steps,
        n=n,
        before_accuracy=float(old.mean()),
        after_accuracy=float(new.mean()),
        difference=difference,
        low=low,
        high=high,
        gained=gained,
        lost=lost,
        mcnemar_p=mcnemar_exact(gained, lost),
        detectable=detectable,
        outcome=outcome,
        verdict=comparison_verdict(
            outcome, difference=difference, low=low, high=high, n=n, detectable=detectable
        ),
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


def _accuracy_by_question(samples: Iterable[SampleResult]) -> dict[str, float]:
    right: dict[str, list[bool]] = {}
    for sample in samples:
        right.setdefault(sample.problem_id, []).append(sample.right)
    return {problem: sum(values) / len(values) for problem, values in right.items()}


def _resampled_means(rows: Floats, shares: Floats, n: int, seed: int, resamples: int) -> Floats:
    """Draw `n` questions `resamples` times; return the mean of all their samples for each resample.

    Args:
        rows: distinct questions, shape (distinct, 2): sum of the samples' values, number of samples.
        shares: probability of each row.
        n: questions drawn in each resample.
        seed: of the generator.
        resamples: how many means to return.

    How often each distinct row is drawn is multinomial, which is the bootstrap exactly and costs O(distinct
    rows) in place of O(questions): three numbers a resample for right/wrong results.
    """
    generator = np.random.default_rng(seed)
    batch = max(1, BATCH_CELLS // len(rows))
    sums = [
        generator.multinomial(n, shares, size=min(batch, resamples - start)) @ rows
        for start in range(0, resamples, batch)
    ]
    totals = np.concatenate(sums)
    return np.asarray(totals[:, 0] / totals[:, 1], dtype=np.float64)
