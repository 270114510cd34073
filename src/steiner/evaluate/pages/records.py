"""What a report holds beside `Report`: curves with a verdict, metrics, failures, every sample."""

from __future__ import annotations

from pydantic import model_validator

from steiner.core import Record
from steiner.evaluate.curves import ScalingCurve
from steiner.evaluate.records import Count, FailureKind, Limit, Report, SampleResult, Share
from steiner.evaluate.saved import AskedQuestion, WrittenPath


class MetricValue(Record):
    """A metric of one run with its 95% interval."""

    value: Share
    low: Share
    high: Share


class MetricRow(Record):
    """A line of the table of metrics."""

    name: str
    """For example `pass@4`."""
    own: MetricValue
    other: MetricValue | None = None
    """Of the run that is compared with."""


class FailureRow(Record):
    """How often a class occurs."""

    kind: FailureKind
    counts: tuple[Count, ...]
    """Wrong samples under each limit of the table."""
    other: tuple[Count | None, ...] = ()
    """Of the run that is compared with, None under a limit that it has not; empty without such a run."""


class FailureTable(Record):
    """Where the wrong samples went wrong, by limit of steps."""

    limits: tuple[Limit | None, ...]
    """Rising; no limit comes last."""
    samples: tuple[Count, ...]
    wrong: tuple[Count, ...]
    rows: tuple[FailureRow, ...]
    """In the order of decision, classes that never occur left out."""
    other_title: str = ""

    @model_validator(mode="after")
    def _check(self) -> FailureTable:
        for index, wrong in enumerate(self.wrong):
            if sum(row.counts[index] for row in self.rows) != wrong:
                raise ValueError("every wrong sample must be in one class")
        return self


class SampleSet(Record):
    """Every sample, with what was asked and written."""

    samples: tuple[SampleResult, ...]
    questions: tuple[AskedQuestion, ...] = ()
    written: tuple[WrittenPath, ...] = ()
    """Parallel to the samples under the largest limit, or empty."""
    other_solved: tuple[dict[str, Share], ...] = ()
    """For each limit, rising: problem → share of right completions of the run that is compared with."""


class EvaluationReport(Report):
    """A report with curves, failures and samples."""

    metrics: tuple[MetricRow, ...] = ()
    """Under the largest limit."""
    curves: tuple[ScalingCurve, ...] = ()
    """Those of one axis are drawn together."""
    failures: FailureTable | None = None
    browser: SampleSet | None = None
