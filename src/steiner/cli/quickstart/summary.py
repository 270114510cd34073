"""The report of a quickstart, from what its stages left in the run directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from steiner.cli.circumstances import commit, machine
from steiner.cli.quickstart.measure import Evaluation
from steiner.cli.quickstart.plan import Plan
from steiner.cli.ui import out
from steiner.core import Problem, StepGraph
from steiner.dataset.read import load_statistics
from steiner.evaluate import (
    DatasetFigures,
    GraphExample,
    Headline,
    ModelResult,
    PathExample,
    Report,
    SampleResult,
    StageTime,
    TrainingAlarm,
    TrainingCurve,
)
from steiner.evaluate.curves import Axis
from steiner.evaluate.metrics import compare, histogram, model_result
from steiner.evaluate.pages.build import failure_table, own_curves, with_failures
from steiner.evaluate.pages.records import EvaluationReport, SampleSet
from steiner.evaluate.report import write_report
from steiner.evaluate.saved import AskedQuestion, WrittenPath
from steiner.evaluate.wording import interval, percent, points, summary_sentence
from steiner.store import RunDir

if TYPE_CHECKING:
    from steiner.train.stage import TrainingRecord

EXAMPLES = 6


def make_report(
    run: RunDir,
    plan: Plan,
    heldout: list[Problem],
    evaluations: Sequence[Evaluation],
    trainings: Sequence[TrainingRecord],
    times: tuple[StageTime, ...],
    *,
    minutes: float,
) -> Report:
    """Build the report and write `report.html` and `report.json`."""
    final = plan.limits[-1]
    models = tuple(
        model_result(
            e.name, e.title, e.samples, final=final, minimum=plan.limits[0], seconds=e.seconds, seed=plan.seed
        )
        for e in evaluations
    )
    comparisons = tuple(
        compare(*_shared(a, b), max_steps=final, titles=(a.title, b.title), seed=plan.seed)
        for a, b in pairwise(evaluations[1:])
    )
    last = evaluations[-1]
    samples = with_failures(last.samples)
    report = EvaluationReport(
        title="Quickstart: a small model that searches",
        verdict=summary_sentence(models, comparisons),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"steiner quickstart --minutes {minutes:g} --seed {plan.seed}",
        commit=commit(),
        seed=plan.seed,
        machine=f"{machine()}, no GPU used",
        settings=plan.model_dump(mode="json"),
        headline=_headline(models, comparisons),
        models=models,
        comparisons=comparisons,
        examples=_examples(heldout, evaluations[-1]),
        graph=_graph(run),
        times=times,
        training_curves=tuple(curve for record in trainings for curve in _curves(record)),
        training_alarms=tuple(
            TrainingAlarm(stage=record.stage, **alarm.model_dump())
            for record in trainings
            for alarm in record.alarms
        ),
        dataset=_dataset(run),
        notes=(
            f"The {len(heldout)} held-out problems use number sets that never occur in training. They are "
            "decoded greedily under strict step control.",
            f"The untrained model was tried on the first {min(plan.untrained, len(heldout))} of them only, "
            f"the model after CPT on the first {min(plan.pretrained, len(heldout))}.",
            "One seed: the intervals cover the choice of problems, not of the training run.",
            f"Curve by tokens, failures and samples are those of the last model ({last.title}).",
        ),
        curves=tuple(c for c in own_curves(samples, last.title, plan.seed) if c.axis is Axis.TOKENS),
        failures=failure_table(samples),
        browser=_browser(heldout, last, samples),
    )
    write_report(report, run.path / "report.html", run.path / "report.json")
    return report


def _browser(
    problems: Sequence[Problem], evaluation: Evaluation, samples: tuple[SampleResult, ...]
) -> SampleSet:
    """Return every sample of a model with what it wrote."""
    asked = list(zip(problems, evaluation.paths, strict=True))
    return SampleSet(
        samples=samples,
        questions=tuple(
            AskedQuestion(problem_id=p.id, prompt=p.blind().prompt, reference=p.answer) for p, _ in asked
        ),
        written=tuple(
            WrittenPath(problem_id=p.id)
            if path is None
            else WrittenPath(problem_id=p.id, steps=path.steps, moves=path.moves)
            for p, path in asked
        ),
    )


def _shared(before: Evaluation, after: Evaluation) -> tuple[list[SampleResult], list[SampleResult]]:
    """Return the samples of the problems that both models were asked."""
    asked = {s.problem_id for s in before.samples} & {s.problem_id for s in after.samples}
    one, two = ([s for s in e.samples if s.problem_id in asked] for e in (before, after))
    return one, two


def show(report: Report, path: Path) -> None:
    """Print where the report is and the headline numbers."""
    out.print(f"\n[bold]{report.verdict}[/bold]")
    for line in report.headline:
        out.print(f"  {line.label:<44} {line.value}  [dim]{line.note}[/dim]")
    out.print(f"\nreport: {path / 'report.html'}  (numbers: {path / 'report.json'})")
    out.print(f'try it: steiner generate --model {path / "rl" / "model"} "Make 24 from 3 5 9."')


def _headline(models: Sequence[ModelResult], comparisons: Sequence) -> tuple[Headline, ...]:  # type: ignore[type-arg]
    last = models[-1]
    rows = [
        Headline(
            label=f"solved within {last.final.max_steps} steps",
            value=percent(last.final.accuracy),
            note=f"{interval(last.final.low, last.final.high)}, n={last.final.n}",
        ),
        Headline(
            label=f"solved with the minimum of {last.minimum.max_steps} steps",
            value=percent(last.minimum.accuracy),
            note=interval(last.minimum.low, last.minimum.high),
        ),
    ]
    if last.minimum.accuracy > 0:
        ratio = last.final.accuracy / last.minimum.accuracy
        rows.append(Headline(label="gain from thinking longer", value=f"{ratio:.1f} times"))
    if comparisons:
        rl = comparisons[-1]
        rows.append(
            Headline(
                label="what RL added",
                value=f"{points(rl.difference)} points",
                note=f"{points(rl.low)}…{points(rl.high)}, n={rl.n}",
            )
        )
    return tuple(rows)


def _examples(problems: Sequence[Problem], evaluation: Evaluation) -> tuple[PathExample, ...]:
    """Take some paths that the last model wrote: the ones it got right by searching, and failures."""
    final = max(s.max_steps or 0 for s in evaluation.samples)
    right = {s.problem_id: s.right for s in evaluation.samples if s.max_steps == final}
    written = [(p, path) for p, path in zip(problems, evaluation.paths, strict=True) if path is not None]
    searched = [(p, path) for p, path in written if right[p.id] and 2 <= path.backtracks <= 6]
    failed = [(p, path) for p, path in written if not right[p.id]]
    chosen = [("solved after going back", *item) for item in searched[: EXAMPLES - 2]]
    chosen += [("not solved", *item) for item in failed[:2]]
    return tuple(
        PathExample(title=title, question=p.question, path=path, right=right[p.id], reference=p.answer)
        for title, p, path in chosen
    )


def _graph(run: RunDir) -> GraphExample | None:
    """Take the graph of the question whose sampled path backtracks most, among the first hundred."""
    import orjson

    from steiner.core import ReasoningPath

    best: tuple[int, GraphExample] | None = None
    for number, record in enumerate(run.journal.records("paths")):
        if number >= 100:
            break
        paths = [ReasoningPath.model_validate(item) for item in orjson.loads(record.body) or []]
        stored = run.journal.get("graphs", record.key)
        problem = run.journal.get("problems", record.key)
        if not paths or stored is None or problem is None:
            continue
        path = max(paths, key=lambda p: (p.backtracks, p.id))
        if best is None or path.backtracks > best[0]:
            question = Problem.model_validate_json(problem.body).question
            graph = StepGraph.model_validate_json(stored.body)
            best = path.backtracks, GraphExample(question=question, graph=graph, path_nodes=path.nodes)
    return None if best is None else best[1]


def _dataset(run: RunDir) -> DatasetFigures:
    import pyarrow.parquet as pq

    statistics = load_statistics(run.path / "dataset")
    columns = ["steps", "backtracks", "reasoning_tokens", "language"]
    tables = [
        pq.read_table(f, columns=columns) for f in sorted((run.path / "dataset").glob("train-*.parquet"))
    ]
    values = {name: [v for t in tables for v in t.column(name).to_pylist()] for name in columns}
    languages = {code: values["language"].count(code) for code in sorted(set(values["language"]))}
    return DatasetFigures(
        problems=run.journal.count("problems"),
        paths=sum(split.samples for split in statistics.splits.values()),
        histograms=(
            histogram(values["steps"], "steps per path"),
            histogram(values["backtracks"], "backtracks per path"),
            histogram(values["reasoning_tokens"], "reasoning tokens per path"),
        ),
        dropped=dict(statistics.dropped),
        languages=languages,
    )


def _curves(record: TrainingRecord) -> list[TrainingCurve]:
    names = ("reward",) if record.stage == "rl" else ("loss",)
    return [
        TrainingCurve(
            stage=record.stage,
            metric=name,
            steps=tuple(p.step for p in record.curve if name in p.values),
            values=tuple(p.values[name] for p in record.curve if name in p.values),
        )
        for name in names
    ]
