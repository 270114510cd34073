"""Runs, metrics, curves, and the report. An engine is handed in; nothing here knows how text is generated.

Only the records are imported here; numpy, scipy and jinja2 are loaded by the modules that use them:
`steiner.evaluate.metrics` (intervals and comparisons) and `steiner.evaluate.report` (HTML and JSON).
"""

from steiner.evaluate.records import (
    Comparison,
    CurvePoint,
    DatasetFigures,
    Failure,
    FailureKind,
    GraphExample,
    Headline,
    Histogram,
    ModelResult,
    Outcome,
    PathExample,
    Report,
    SampleResult,
    StageTime,
    TrainingAlarm,
    TrainingCurve,
)

__all__ = [
    "Comparison",
    "CurvePoint",
    "DatasetFigures",
    "Failure",
    "FailureKind",
    "GraphExample",
    "Headline",
    "Histogram",
    "ModelResult",
    "Outcome",
    "PathExample",
    "Report",
    "SampleResult",
    "StageTime",
    "TrainingAlarm",
    "TrainingCurve",
]
