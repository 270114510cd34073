"""One self-contained HTML page and its JSON twin.

The page fetches nothing: its content security policy allows its one style sheet, by hash, and nothing else; a
page with samples also the one script that shows them. All text is escaped by the template engine, and the
samples are packed so that no text of a model stands in the page at all.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from steiner.core import Move, Step
from steiner.evaluate import wording
from steiner.evaluate.curves import UNITS, Axis, ScalingCurve
from steiner.evaluate.drawing.accuracy import (
    NARROW,
    WIDE,
    accuracy_figure,
    difference_figure,
)
from steiner.evaluate.drawing.panels import histogram_figure, time_bar, training_figure
from steiner.evaluate.drawing.scaling import Series, baseline_title, scaling_figure, series_of
from steiner.evaluate.drawing.stepgraph import graph_figure
from steiner.evaluate.drawing.svg import SHAPES, series_class
from steiner.evaluate.drawing.tree import QUESTION, places_of, tree_figure
from steiner.evaluate.failures import REASONS, TITLES
from steiner.evaluate.pages.pack import pack
from steiner.evaluate.pages.records import EvaluationReport
from steiner.evaluate.records import CurvePoint, ModelResult, PathExample, Report, StageTime
from steiner.evaluate.templating import environment
from steiner.store import atomic_write

TEMPLATES = Path(__file__).parent / "templates"
MOST_CHARACTERS = 1_500
"""Of one field on the page; the JSON twin has all of it."""
MOST_STEPS = 80
"""Steps of one path on the page."""
MOST_EXAMPLES = 24
DEEPEST = 8
"""Deeper steps are indented no further."""


class ModelView(NamedTuple):
    """A model as the page shows it."""

    model: ModelResult
    colour: str
    """Class of its colour."""
    shape: int
    """Number of the shape of its marks."""
    cells: tuple[CurvePoint | None, ...]
    """Its result under each limit of the page, None where it was not measured."""


class StepView(NamedTuple):
    """A step as the page shows it."""

    number: int
    step: Step
    arrival: str
    """How the path came here, in words."""
    kind: str
    """Class of the card: `start`, `proceed` or `backtrack`."""
    depth: int
    dead_end: bool
    repeats: int | None
    """Number of the earlier step that says the same; None for a new one."""


class ExampleView(NamedTuple):
    """A path as the page shows it."""

    example: PathExample
    tree: Markup
    steps: tuple[StepView, ...]
    hidden_steps: int


class CurveGroup(NamedTuple):
    """The curves of one axis as the page shows them."""

    unit: str
    curves: tuple[ScalingCurve, ...]
    figures: tuple[Markup, ...]
    """Wide and narrow."""
    series: tuple[Series, ...]
    """Lines of the legend."""


def write_report(report: Report, html_path: Path, json_path: Path) -> None:
    """Write the page and its JSON twin, each either completely or not at all.

    Raises:
        StorageError: if a file cannot be written.
    """
    link = quote(os.path.relpath(json_path, html_path.parent).replace(os.sep, "/"))
    page = render(report, json_link=link)
    with atomic_write(json_path) as file:
        file.write(report.model_dump_json(indent=1).encode())
    with atomic_write(html_path) as file:
        file.write(page.encode())


def render(report: Report, json_link: str = "") -> str:
    """Return the HTML page of a report.

    Args:
        report: what to show.
        json_link: relative URL of the JSON twin; empty if there is none.
    """
    evaluated = _evaluated(report)
    script = evaluated.pop("script")
    style = _own("report.css") + (_own("samples.css") if isinstance(report, EvaluationReport) else "")
    limits = sorted({p.max_steps for m in report.models for p in m.curve}, key=_order_of_limit)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            json_link=json_link,
            style=Markup(style),  # our own file
            style_hash=_hash(style),
            script=Markup(script),
            script_hash=_hash(script),
            limits=limits,
            models=[_model_view(model, number, limits) for number, model in enumerate(report.models)],
            figures=[accuracy_figure(report.models, canvas) for canvas in (WIDE, NARROW)],
            comparisons=[(comparison, difference_figure(comparison)) for comparison in report.comparisons],
            examples=[example_view(example) for example in report.examples[:MOST_EXAMPLES]],
            graph=graph_figure(report.graph) if report.graph else None,
            histograms=[histogram_figure(bars) for bars in report.dataset.histograms]
            if report.dataset
            else [],
            training=_training(report),
            times=_times(report),
            settings=json.dumps(report.settings, indent=2, ensure_ascii=False),
            **evaluated,
        )
    )


def _evaluated(report: Report) -> dict[str, Any]:
    """Return what the page of an evaluation has beside the rest; all of it empty for other reports."""
    if not isinstance(report, EvaluationReport):
        return dict.fromkeys(("metrics", "curve_groups", "failures", "packed", "browser", "script"), "")
    browser = report.browser if report.failures and report.browser and report.browser.samples else None
    axes = list(dict.fromkeys(curve.axis for curve in report.curves))
    return {
        "metrics": report.metrics,
        "asked": len({sample.problem_id for sample in browser.samples}) if browser else 0,
        "final": report.failures.limits[-1] if report.failures and report.failures.limits else None,
        "own_title": report.title.rpartition(" on ")[0] or report.title,
        "curve_groups": [_group(axis, report.curves) for axis in axes],
        "has_baselines": any(curve.baselines for curve in report.curves),
        "baseline_title": baseline_title,
        "failures": report.failures,
        "titles": TITLES,
        "reasons": REASONS,
        "browser": browser,
        "packed": pack(browser) if browser else None,
        "script": _own("samples.js") if browser else "",
    }


def _group(axis: Axis, curves: Sequence[ScalingCurve]) -> CurveGroup:
    chosen = tuple(curve for curve in curves if curve.axis is axis)
    figures = tuple(scaling_figure(chosen, canvas) for canvas in (WIDE, NARROW))
    return CurveGroup(UNITS[axis], chosen, figures, tuple(series_of(chosen)))


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def example_view(example: PathExample) -> ExampleView:
    """Prepare a path for the page."""
    path, places = example.path, places_of(example.path)
    steps: list[StepView] = []
    first: dict[Step, int] = {}
    for index, (step, place) in enumerate(zip(path.steps, places, strict=True)):
        if index == 0:
            kind, arrival = "start", "starts"
        elif path.moves[index - 1] is Move.PROCEED:
            kind, arrival = "proceed", "proceeds"
        else:
            kind, arrival = "backtrack", f"backtracks {_target(place.parent)}".rstrip()
        dead_end = bool(example.dead_ends) and example.dead_ends[index]
        earlier = first.setdefault(step, index + 1)
        repeats = earlier if earlier <= index else None
        depth = min(place.depth - 1, DEEPEST)
        steps.append(StepView(index + 1, step, arrival, kind, depth, dead_end, repeats))
    shown = tuple(steps[:MOST_STEPS])
    tree = tree_figure(path, example.right, example.dead_ends)
    return ExampleView(example, tree, shown, len(steps) - len(shown))


def duration(seconds: float) -> str:
    """Return a time in words: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 step`, `2 steps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def readable(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return text without control characters, cut where it is too long for a page."""
    text = wording.without_controls(text)
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _target(parent: int | None) -> str:
    if parent is None:
        return ""
    return "to the question" if parent == QUESTION else f"to step {parent + 1}"


def _order_of_limit(limit: int | None) -> float:
    return float("inf") if limit is None else limit


def _model_view(model: ModelResult, number: int, limits: Sequence[int | None]) -> ModelView:
    by_limit = {point.max_steps: point for point in model.curve}
    return ModelView(
        model, series_class(number), number % SHAPES, tuple(by_limit.get(limit) for limit in limits)
    )


def _training(report: Report) -> list[tuple[str, str, Markup]]:
    stages = list(dict.fromkeys(curve.stage for curve in report.training_curves))
    return [
        (curve.stage, curve.metric, training_figure(curve, 1 + stages.index(curve.stage)))
        for curve in report.training_curves
    ]


def _times(report: Report) -> list[tuple[StageTime, Markup]]:
    longest = max((max(time.seconds, time.cpu_seconds) for time in report.times), default=0.0)
    return [(time, time_bar(time.seconds, time.cpu_seconds, longest)) for time in report.times]


@functools.cache
def _environment() -> jinja2.Environment:
    made = environment(TEMPLATES)
    made.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "duration": duration,
        "counted": counted,
        "readable": readable,
        "allowed": wording.steps_allowed,
    }
    made.globals |= {"interval": wording.interval}
    return made
