"""A section for a model card, in Markdown, from a report. Names and texts cannot become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from steiner.evaluate.curves import UNITS, ScalingCurve
from steiner.evaluate.failures import TITLES
from steiner.evaluate.pages.records import EvaluationReport, FailureTable, MetricRow, MetricValue
from steiner.evaluate.records import Comparison, ModelResult
from steiner.evaluate.wording import interval, percent, steps_allowed, without_controls

_MARKUP = re.compile(r"([\\`*_\[\]|#~$])")


def model_card(report: EvaluationReport) -> str:
    """Return the section, from its heading on."""
    parts = [["## Evaluation", "", f"{plain(report.verdict)}", ""]]
    if report.metrics:
        parts.append(_metrics(report.metrics, report.failures.other_title if report.failures else ""))
    if report.models:
        parts.append(_models(report.models))
    parts += [_curve(curve) for curve in report.curves]
    parts += [_comparison(comparison) for comparison in report.comparisons]
    if report.failures is not None and report.failures.rows:
        parts.append(_failures(report.failures))
    if report.training_alarms:
        parts.append(["### Alarms in training", ""])
        parts[-1] += [
            f"- {plain(a.stage)}, {plain(a.name)} since update {a.since:,}: {plain(a.evidence)}"
            for a in report.training_alarms
        ]
        parts[-1].append("")
    parts.append(_made(report))
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def plain(text: str) -> str:
    """Return text on one line in which nothing is Markdown or HTML."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(without_controls(text).split()), quote=False))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the first column is text, the others numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def _metrics(rows: Sequence[MetricRow], other_title: str) -> list[str]:
    beside = any(row.other for row in rows)
    head = ["metric", "value (95% interval)", *([plain(other_title)] if beside else [])]
    return table(head, [[r.name, _cell(r.own), *([_cell(r.other)] if beside else [])] for r in rows])


def _models(models: Sequence[ModelResult]) -> list[str]:
    last = models[-1]
    points = (last.minimum, last.final)
    head = ["model", *(f"right with {steps_allowed(point.max_steps)} (95% interval)" for point in points)]
    rows = [
        [
            plain(m.title),
            *(f"{percent(p.accuracy)} ({interval(p.low, p.high)})" for p in (m.minimum, m.final)),
        ]
        for m in models
    ]
    return table(head, rows)


def _cell(value: MetricValue | None) -> str:
    return "–" if value is None else f"{percent(value.value)} ({interval(value.low, value.high)})"


def _curve(curve: ScalingCurve) -> list[str]:
    rows = [
        [
            point.label,
            f"{percent(point.accuracy)} ({interval(point.low, point.high)})",
            f"{point.steps:.1f}",
            f"{point.tokens:,.0f}",
        ]
        for point in curve.points
    ]
    unit = UNITS[curve.axis]
    return [
        f"### Accuracy against {unit}: {plain(curve.title)}",
        "",
        f"Verdict: {plain(curve.verdict)}.",
        *([f"Mind: {plain(curve.warning)}"] if curve.warning else []),
        "",
        *table([unit, "right (95% interval)", "steps", "tokens"], rows),
    ]


def _comparison(comparison: Comparison) -> list[str]:
    return [
        f"### {plain(comparison.after)} against {plain(comparison.before)}, "
        f"{steps_allowed(comparison.max_steps)}",
        "",
        f"{plain(comparison.verdict)}. McNemar's exact p = {comparison.mcnemar_p:.3g}.",
        *([f"Mind: {plain(comparison.warning)}"] if comparison.warning else []),
        "",
    ]


def _failures(failures: FailureTable) -> list[str]:
    head = ["class", *map(steps_allowed, failures.limits)]
    rows = [[TITLES[row.kind], *(f"{count:,}" for count in row.counts)] for row in failures.rows]
    wrong = [f"{w:,} of {n:,}" for w, n in zip(failures.wrong, failures.samples, strict=True)]
    return ["### Where it goes wrong", "", *table(head, [*rows, ["wrong", *wrong]])]


def _made(report: EvaluationReport) -> list[str]:
    command = without_controls(report.command).replace("`", "'").replace("\n", " ")
    return [
        "### How this was measured",
        "",
        f"`{command}`, commit {plain(report.commit or 'not recorded')}, seed {report.seed}, "
        f"{plain(report.machine)}, {plain(report.created[:10])}.",
        "",
        *(f"- {plain(note)}" for note in report.notes),
    ]
