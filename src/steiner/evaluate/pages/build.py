"""Build the report of a saved evaluation. Pure but for the time of day, which is handed in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from steiner.core import InputError
from steiner.evaluate.compare import shares_by_question
from steiner.evaluate.curves import Axis, ScalingCurve, scaling_curve
from steiner.evaluate.failures import failure_without_text
from steiner.evaluate.gather import Run, compare_runs, limits_of
from steiner.evaluate.intervals import Estimate
from steiner.evaluate.metrics import curve_point
from steiner.evaluate.pages.records import (
    EvaluationReport,
    FailureRow,
    FailureTable,
    MetricRow,
    MetricValue,
    SampleSet,
)
from steiner.evaluate.passes import measure_all
from steiner.evaluate.records import Comparison, FailureKind, Headline, SampleResult, TrainingAlarm
from steiner.evaluate.saved import SavedEvaluation
from steiner.evaluate.wording import interval, percent, points, steps_allowed

SETTINGS = {
    "model", "run", "stage", "temperature", "seed", "max_reasoning_tokens", "other_limits", "seconds",
}  # fmt: skip
"""Fields of a saved evaluation that the page shows as settings."""
FEW = 100
"""With fewer questions a note says how wide intervals are."""


def evaluation_report(
    saved: SavedEvaluation,
    *,
    against: SavedEvaluation | None = None,
    curves: Sequence[ScalingCurve] = (),
    alarms: Sequence[TrainingAlarm] | None = None,
    created: str,
    seed: int = 0,
) -> EvaluationReport:
    """Build a report.

    Args:
        saved: the evaluation that it is about.
        against: another one on the same questions, to compare with.
        curves: made before, for example with baselines; curves of the samples themselves are added.
        alarms: what the monitor of the model's training found; None if nobody watched.
        created: ISO 8601; used where the evaluation does not know when it was made.
        seed: of the bootstrap.

    Raises:
        InputError: if `against` answered other questions, or shares no limit of steps.
    """
    samples = with_failures(saved.samples)
    limits = limits_of(samples)
    own, other = _titles(saved, against)
    last = [sample for sample in samples if sample.max_steps == limits[-1]]
    beside = with_failures(against.samples) if against is not None else ()
    comparisons = (
        tuple(one.comparison for one in compare_runs(Run(other, beside), Run(own, samples), seed))
        if beside
        else ()
    )
    metrics = metric_rows(last, _under(beside, limits[-1], limits), seed)
    made = own_curves(samples, own, seed, {curve.axis for curve in curves})
    made += own_curves(beside, other, seed, {curve.axis for curve in curves if curve.title == other})
    circumstances = saved.circumstances
    return EvaluationReport(
        title=f"{own} on {saved.stage}",
        verdict=_verdict(own, metrics[0].own, last, limits[-1], comparisons),
        created=circumstances.created or created,
        command=circumstances.command or "not recorded",
        commit=circumstances.commit,
        seed=saved.seed,
        machine=circumstances.machine or "not recorded",
        settings=saved.model_dump(mode="json", include=SETTINGS),
        headline=headline(metrics, last, comparisons),
        comparisons=comparisons,
        training_alarms=None if alarms is None else tuple(alarms),
        notes=_notes(saved, last),
        metrics=metrics,
        curves=(*curves, *made),
        failures=failure_table(samples, beside, other),
        browser=SampleSet(
            samples=samples,
            questions=saved.questions,
            written=saved.written,
            other_solved=tuple(shares_by_question(_under(beside, m, limits)) for m in limits)
            if beside
            else (),
        ),
    )


def with_failures(samples: Iterable[SampleResult]) -> tuple[SampleResult, ...]:
    """Return the samples with a class for every wrong one, also those of earlier versions' files."""
    return tuple(
        sample
        if sample.right or sample.failure is not None
        else sample.model_copy(update={"failure": failure_without_text(sample)})
        for sample in samples
    )


def failure_table(
    samples: Sequence[SampleResult], other: Sequence[SampleResult] = (), other_title: str = ""
) -> FailureTable:
    """Count the classes of wrong samples under each limit.

    Args:
        samples: with the class of each wrong one.
        other: of the run that is compared with.
        other_title: its name.

    Raises:
        ValueError: if a wrong sample has no class.
    """
    limits = limits_of(samples)
    known = set(limits_of(other))
    counts, others = _counts(samples), _counts(other)
    kinds = [k for k in FailureKind if any(counts.get((k, m), 0) or others.get((k, m), 0) for m in limits)]
    return FailureTable(
        limits=tuple(limits),
        samples=tuple(sum(s.max_steps == limit for s in samples) for limit in limits),
        wrong=tuple(sum(s.max_steps == limit and not s.right for s in samples) for limit in limits),
        rows=tuple(
            FailureRow(
                kind=kind,
                counts=tuple(counts.get((kind, limit), 0) for limit in limits),
                other=tuple(others.get((kind, m), 0) if m in known else None for m in limits)
                if other
                else (),
            )
            for kind in kinds
        ),
        other_title=other_title if other else "",
    )


def metric_rows(
    samples: Sequence[SampleResult], other: Sequence[SampleResult], seed: int
) -> tuple[MetricRow, ...]:
    """Return pass@1 and, with several completions a question, the other metrics, of one limit of steps."""
    own, beside = _metrics(samples, seed), _metrics(other, seed) if other else {}
    return tuple(MetricRow(name=name, own=value, other=beside.get(name)) for name, value in own.items())


def own_curves(
    samples: Sequence[SampleResult], title: str, seed: int, given: Collection[Axis] = ()
) -> list[ScalingCurve]:
    """Return the curves that the samples themselves make, on the axes that are not given already."""
    if len(limits_of(samples)) < 2:
        return []
    made = []
    for axis in (Axis.MAX_STEPS, Axis.TOKENS):
        if axis in given:
            continue
        try:
            made.append(scaling_curve([samples], axis, title=title, seed=seed))
        except InputError:  # the same mean number of tokens under two limits, or questions left out
            continue
    return made


def headline(
    metrics: Sequence[MetricRow], samples: Sequence[SampleResult], comparisons: Sequence[Comparison]
) -> tuple[Headline, ...]:
    """Return the few numbers to see first: accuracy, what it took, how it differs."""
    first, n = metrics[0].own, len({sample.problem_id for sample in samples})
    rows = [
        Headline(
            label="answered right (pass@1)",
            value=percent(first.value),
            note=f"{interval(first.low, first.high)}, n={n:,}",
        )
    ]
    if comparisons:
        last = comparisons[-1]
        note = f"{points(last.low)}…{points(last.high)}, n={last.n:,}"
        rows.append(
            Headline(label=f"against {last.before}", value=f"{points(last.difference)} points", note=note)
        )
    tokens = sum(s.reasoning_tokens if s.tokens is None else s.tokens for s in samples) / len(samples)
    rows.append(Headline(label="tokens of a completion, mean", value=f"{tokens:,.0f}"))
    if any(sample.steps for sample in samples):
        steps = sum(sample.steps for sample in samples) / len(samples)
        back = sum(sample.backtracks for sample in samples) / len(samples)
        rows.append(Headline(label="steps, mean", value=f"{steps:.1f}", note=f"{back:.1f} of them go back"))
    return tuple(rows)


def _under(
    samples: Sequence[SampleResult], limit: int | None, limits: Sequence[int | None]
) -> list[SampleResult]:
    """Return the other run's samples under a limit; where each run has but one, under that of its own."""
    known = limits_of(samples)
    wanted = known[0] if len(known) == len(limits) == 1 else limit
    return [sample for sample in samples if sample.max_steps == wanted]


def _metrics(samples: Sequence[SampleResult], seed: int) -> dict[str, MetricValue]:
    found = {m.name: _value(m.estimate) for m in measure_all(samples, seed)}
    # As everywhere where a single point is shown: Wilson's interval if each question has one completion.
    point = curve_point(samples, samples[0].max_steps, seed)
    return found | {"pass@1": MetricValue(value=point.accuracy, low=point.low, high=point.high)}


def _value(estimate: Estimate) -> MetricValue:
    return MetricValue(value=estimate.value, low=max(0.0, estimate.low), high=min(1.0, estimate.high))


def _counts(samples: Iterable[SampleResult]) -> dict[tuple[FailureKind, int | None], int]:
    counts: dict[tuple[FailureKind, int | None], int] = {}
    for sample in samples:
        if sample.failure is not None and not sample.right:
            key = (sample.failure.kind, sample.max_steps)
            counts[key] = counts.get(key, 0) + 1
    return counts


def _titles(saved: SavedEvaluation, against: SavedEvaluation | None) -> tuple[str, str]:
    """Return the names of both runs, told apart by their run directories where they are the same."""
    if against is None or saved.model != against.model:
        return saved.model, against.model if against is not None else ""
    if saved.run != against.run:
        return f"{saved.model} ({saved.run})", f"{against.model} ({against.run})"
    return saved.model, f"{against.model} (other run)"


def _verdict(
    title: str,
    first: MetricValue,
    samples: Sequence[SampleResult],
    limit: int | None,
    comparisons: Sequence[Comparison],
) -> str:
    n = len({sample.problem_id for sample in samples})
    allowed = "no limit of steps" if limit is None else f"up to {steps_allowed(limit)}"
    sentence = (
        f"{title} answers {percent(first.value)} of {n:,} questions right with {allowed} "
        f"(95% interval {interval(first.low, first.high)})."
    )
    if comparisons:
        last = comparisons[-1]
        sentence += f" Against {last.before}: {last.verdict}."
    return sentence


def _notes(saved: SavedEvaluation, samples: Sequence[SampleResult]) -> tuple[str, ...]:
    n = len({sample.problem_id for sample in samples})
    notes = []
    if n < FEW:
        notes.append(f"{n:,} questions: the intervals are wide, and small differences cannot be seen.")
    how = "the most likely token is taken" if saved.temperature == 0 else f"temperature {saved.temperature:g}"
    notes.append(f"Decoding: {how}. Intervals cover the choice of questions, not of the training run.")
    if len(limits_of(saved.samples)) > 1 and saved.temperature > 0:
        notes.append("The points of the curve share their steps and are not independent of each other.")
    if not saved.written:
        notes.append("The text of the completions was not kept; classes of failures rest on counts alone.")
    elif not any(question.prompt for question in saved.questions):
        notes.append("The questions must not be published: neither they nor the reasoning are shown.")
    return tuple(notes)
