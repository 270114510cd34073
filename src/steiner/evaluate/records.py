"""What an evaluation measures and what a report holds. The JSON twin of the HTML page is a `Report`.

Accuracies, shares and differences are fractions (0.012 is 1.2 percentage points). Floats are finite, so that
JSON keeps them; a training curve marks a value that was not finite with None.
"""

from __future__ import annotations

import math
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from pydantic import Field, JsonValue, field_validator, model_validator

from steiner.core import SCHEMA_VERSION, ReasoningPath, Record, StepGraph

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Limit = Annotated[int, Field(ge=1)]


class FailureKind(StrEnum):
    """Where a wrong completion went wrong; `steiner.evaluate.failures` decides."""

    ILL_FORMED = "ill-formed"
    """It breaks the grammar, or gives no answer."""
    ANSWER_DIFFERS = "answer-differs"
    """Its reasoning ends at the right result, and the answer is another."""
    ACCEPTED_WRONG = "accepted-wrong"
    """It ended with a wrong result of its own."""
    LEFT_GOOD = "left-good"
    """It went back from the right result, or from where that could be reached, and never returned."""
    LOOP = "loop"
    """It said the same again and again."""
    OUT_OF_BUDGET = "out-of-budget"
    """A limit of steps or tokens came first."""
    NEVER_FOUND = "never-found"
    """It gave up by itself without a result."""


class Failure(Record):
    """The class of a wrong completion, and what speaks for it."""

    kind: FailureKind
    evidence: str
    """In words."""
    step: Limit | None = None
    """Number of the step that shows it, counted from 1."""


class SampleResult(Record):
    """One completion of one problem under one limit, graded."""

    problem_id: str
    max_steps: Limit | None
    """Steps that the completion was allowed; None means no limit."""
    right: bool
    well_formed: bool
    """Whether the text followed the grammar to its end."""
    steps: Count
    backtracks: Count
    reasoning_tokens: Count
    """Tokens from START to END, both included."""
    answer: str
    repeated_steps: Count = 0
    """Steps that say the same as an earlier step of the same completion."""
    min_steps: Count = 0
    """Steps that the completion was forced to take."""
    tokens: Count | None = None
    """All tokens that were written, reasoning and answer; None where they were not counted."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """From request to last token; None where nobody looked at the clock."""
    score: Finite | None = None
    """What a verifier thinks of the answer, higher is better; None without a verifier."""
    failure: Failure | None = None
    """Where it went wrong; None if it is right, or was saved by a version that did not look."""


class CurvePoint(Record):
    """A model's results under one limit of steps."""

    max_steps: Limit | None
    accuracy: Share
    """Mean over problems of the share of right completions (pass@1)."""
    low: Share
    """Lower end of the 95% interval of `accuracy`."""
    high: Share
    """Upper end of the 95% interval of `accuracy`."""
    n: Limit
    """Number of problems."""
    mean_steps: Finite
    mean_reasoning_tokens: Finite
    well_formed: Share


class LanguageResult(Record):
    """What a model can do with the questions of one language."""

    language: str
    """Code, such as `zh`."""
    accuracy: Share
    low: Share
    """Lower end of the 95% interval of `accuracy`."""
    high: Share
    """Upper end of the 95% interval of `accuracy`."""
    n: Limit
    """Number of problems."""
    steps: Count
    """Steps that have words."""
    in_language: Share | None
    """Share of these steps that are written in the question's language; None if there are none."""


class ModelResult(Record):
    """What one model can do."""

    name: str
    """Key, for example `sft`."""
    title: str
    """Name to show, for example `after fine-tuning`."""
    curve: tuple[CurvePoint, ...]
    """In order of rising `max_steps`; no limit comes last."""
    final: CurvePoint
    """With the step limit that the evaluation is about."""
    minimum: CurvePoint
    """With only the minimum number of steps that the problems need."""
    repeats: Share
    """Share of steps that repeat an earlier step of the same completion, at `final`."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Wall-clock seconds of the whole evaluation of this model."""

    @model_validator(mode="after")
    def _check(self) -> ModelResult:
        limits = [math.inf if point.max_steps is None else point.max_steps for point in self.curve]
        if any(left >= right for left, right in pairwise(limits)):
            raise ValueError(f"the curve of {self.name} must be in order of rising max_steps, each once")
        return self


class Outcome(StrEnum):
    """What a comparison shows. `BETTER` and `WORSE` need an interval that excludes zero."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"


class Comparison(Record):
    """Two models on the same problems under the same limit."""

    before: str
    """Title of the model compared with."""
    after: str
    max_steps: Limit | None
    n: Limit
    """Number of problems that both answered."""
    before_accuracy: Share
    after_accuracy: Share
    difference: Finite
    """`after_accuracy - before_accuracy`."""
    low: Finite
    """Lower end of the 95% interval of `difference`."""
    high: Finite
    """Upper end of the 95% interval of `difference`."""
    gained: Count
    """Problems that only the later model solves."""
    lost: Count
    """Problems that only the earlier model solves."""
    mcnemar_p: Share
    """Exact two-sided p-value of `gained` against `lost`."""
    detectable: Share
    """Difference that this many problems would show with 80% power: smaller ones may be missed."""
    outcome: Outcome
    verdict: str
    """The result in words, with its interval."""
    warning: str = ""
    """What this number of problems does not allow to claim; empty if nothing."""


class PathExample(Record):
    """A path to show, written by a model or sampled from a graph."""

    title: str
    question: str
    path: ReasoningPath
    right: bool
    reference: str = ""
    """The correct answer, where it helps the reader."""
    dead_ends: tuple[bool, ...] = ()
    """Parallel to `path.steps`: whether the correct answer is out of reach from there. Empty if unknown."""

    @model_validator(mode="after")
    def _check(self) -> PathExample:
        if self.dead_ends and len(self.dead_ends) != len(self.path.steps):
            raise ValueError(
                f"dead_ends must be parallel to steps: {len(self.dead_ends)} against {len(self.path.steps)}"
            )
        return self


class GraphExample(Record):
    """A step graph to draw, with one path over it."""

    question: str
    graph: StepGraph
    path_nodes: tuple[str, ...] = ()
    """Ids of the nodes that the path visits, in order; nodes of another graph are ignored."""


class StageTime(Record):
    """How long a stage took."""

    name: str
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Wall-clock seconds."""
    cpu_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Processor seconds of all processes and threads."""
    note: str = ""


class TrainingCurve(Record):
    """One logged number over the steps of a training stage."""

    stage: str
    metric: str
    steps: tuple[Count, ...]
    values: tuple[float | None, ...]
    """Parallel to `steps`; None where the value was not finite."""

    @field_validator("values", mode="after")
    @classmethod
    def _finite(cls, values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(value if value is not None and math.isfinite(value) else None for value in values)

    @model_validator(mode="after")
    def _check(self) -> TrainingCurve:
        if len(self.steps) != len(self.values):
            raise ValueError(
                f"values must be parallel to steps: {len(self.values)} against {len(self.steps)}"
            )
        if any(left > right for left, right in pairwise(self.steps)):
            raise ValueError(f"the steps of {self.stage} {self.metric} must rise")
        return self


class TrainingAlarm(Record):
    """Something that a training stage's monitor found."""

    stage: str
    name: str
    """For example `reward_without_accuracy`."""
    since: Count
    """Update at which it was first evident."""
    evidence: str
    """The figures that say so."""
    advice: str = ""
    """What to do."""


class Histogram(Record):
    """Counts of values: bin i holds `edges[i] <= value < edges[i + 1]`, the last bin its upper edge too."""

    unit: str
    """What is counted on the horizontal axis, for example `steps per path`."""
    edges: tuple[Finite, ...]
    counts: tuple[Count, ...]
    mean: Finite

    @model_validator(mode="after")
    def _check(self) -> Histogram:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(
                f"{len(self.counts)} counts need {len(self.counts) + 1} edges, got {len(self.edges)}"
            )
        if any(left >= right for left, right in pairwise(self.edges)):
            raise ValueError("histogram edges must rise")
        return self


class DatasetFigures(Record):
    """What the training data looks like."""

    problems: Count
    paths: Count
    histograms: tuple[Histogram, ...] = ()
    """For example steps, backtracks and reasoning tokens per path."""
    dropped: dict[str, Count] = Field(default_factory=dict)
    """Reason → number of paths left out."""
    languages: dict[str, Count] = Field(default_factory=dict)
    """Language code → number of paths."""


class Headline(Record):
    """One of the few numbers to see first."""

    label: str
    value: str
    """Formatted, for example `74.2%`."""
    note: str = ""
    """For example the interval."""


class Report(Record):
    """Everything on the page. `Report.model_validate_json` reads the JSON twin back."""

    schema_version: int = SCHEMA_VERSION
    title: str
    verdict: str
    """The result in one sentence."""
    created: str
    """ISO 8601 with time zone."""
    command: str
    """The command line that repeats the run."""
    commit: str
    """Of the code that made it; empty if unknown."""
    seed: int
    machine: str
    """Processor, cores, memory, accelerator, in words."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    headline: tuple[Headline, ...] = ()
    models: tuple[ModelResult, ...] = ()
    """In the order of training."""
    comparisons: tuple[Comparison, ...] = ()
    examples: tuple[PathExample, ...] = ()
    graph: GraphExample | None = None
    times: tuple[StageTime, ...] = ()
    training_curves: tuple[TrainingCurve, ...] = ()
    training_alarms: tuple[TrainingAlarm, ...] | None = None
    """What the monitors of the training stages found; None where none watched."""
    dataset: DatasetFigures | None = None
    notes: tuple[str, ...] = ()
    """What a reader must know to judge the numbers."""

    @field_validator("schema_version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != SCHEMA_VERSION:
            raise ValueError(f"report schema {version} is not the one this version reads ({SCHEMA_VERSION})")
        return version
