"""The stages of a quickstart in order: what the commands do, each skipped if it is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from steiner.cli.common import is_right, reader_for
from steiner.cli.quickstart import plan as settings_of
from steiner.cli.quickstart.clock import Clock
from steiner.cli.quickstart.measure import STAGE as EVALUATION
from steiner.cli.quickstart.measure import Evaluation, measure, stored
from steiner.cli.quickstart.plan import Plan
from steiner.core import Problem, Progress
from steiner.store import RunDir, Stage, StoredRecord, atomic_write
from steiner.store.parallel import default_workers

if TYPE_CHECKING:
    from steiner.problems.source import CountdownProblems
    from steiner.train.stage import TrainingRecord

ANSWER_TOKENS = 24
"""Longest answer: an expression of three numbers takes about ten tokens."""

HELDOUT = "heldout"
"""Stage of the run's journal that holds the problems of the evaluation."""


def run_quickstart(path: Path, plan: Plan, *, minutes: float, force: bool) -> None:
    """Run or go on with every stage, write the report, and print the headline numbers last."""
    with RunDir(path) as run:
        Stage(run, "plan", plan, force=force).finish({})
        clock = Clock(run, minutes)
        _make_data(run, plan, clock, force=force)
        heldout = _heldout(run, plan, force=force)
        evaluation = Stage(
            run,
            EVALUATION,
            plan,
            {"heldout": Stage(run, HELDOUT, _heldout_settings(plan)).digest},
            force=force,
        )
        evaluations, trainings = _train_and_measure(run, plan, heldout, clock, force=force)
        evaluation.finish({e.name: e.seconds for e in evaluations})
        from steiner.cli.quickstart.summary import make_report, show

        with clock.stage("report", "Write the report"):
            report = make_report(run, plan, heldout, evaluations, trainings, clock.times(), minutes=minutes)
        show(report, path)


def _make_data(run: RunDir, plan: Plan, clock: Clock, *, force: bool) -> None:
    """Problems, traces, graphs, paths, tokenizer, plain text and dataset."""
    from steiner.cli.sample import writer_for
    from steiner.dataset.settings import DatasetSettings
    from steiner.dataset.write import write_dataset
    from steiner.graph.path_stage import make_paths
    from steiner.graph.stage import GraphSettings, make_graphs
    from steiner.problems.source import CountdownProblems, countdown_source, write_problems
    from steiner.synthesis import synthesise_run

    workers, progress = default_workers(), clock.progress
    with clock.stage("problems", "Make Countdown problems"):
        source = CountdownProblems(n=_available(plan), countdown=settings_of.problem_settings(plan))
        write_problems(run, countdown_source(source), force=force, progress=progress)
    with clock.stage("traces", "Write traces: draft, cut, attempt blind, reveal, resolve"):
        synthesise_run(
            run, settings_of.synthesis_settings(plan), workers=workers, force=force, progress=progress
        )
    with clock.stage("graphs", "Build one step graph per question"):
        make_graphs(run, GraphSettings(), workers=workers, force=force, progress=progress)
    with clock.stage("paths", "Sample reasoning paths with backtracking"):
        make_paths(
            run, settings_of.sample_settings(plan), writer_for=writer_for, workers=workers, force=force,
            progress=progress,
        )  # fmt: skip
    with clock.stage("tokenizer", "Build a tokenizer and arithmetic facts"):
        _write_text(run, plan)
        _build_tokenizer(run, plan)
    with clock.stage("dataset", "Tokenise the paths"):
        settings = DatasetSettings(tokenizer=str(run.path / "tokenizer"), seed=plan.seed)
        write_dataset(run, settings, workers=workers, force=force, progress=progress)


def _train_and_measure(
    run: RunDir, plan: Plan, heldout: list[Problem], clock: Clock, *, force: bool
) -> tuple[list[Evaluation], list[TrainingRecord]]:
    """Evaluate the untrained model, then train each stage and evaluate what it made."""
    from steiner.train.supervised import train_cpt, train_sft

    progress = clock.progress
    evaluations = []
    with clock.stage("untrained model", "Evaluate the untrained model"):
        evaluations.append(_untrained(run, plan, heldout[: plan.untrained], clock))
    stages: tuple[tuple[str, Callable[[], TrainingRecord]], ...] = (
        ("cpt", lambda: train_cpt(settings_of.cpt_settings(plan, run.path), progress=progress, force=force)),
        ("sft", lambda: train_sft(settings_of.sft_settings(plan, run.path), progress=progress, force=force)),
        ("rl", lambda: _train_rl(run, plan, progress, force=force)),
    )
    trainings = []
    for name, train in stages:
        title = name.upper()
        with clock.stage(name, f"Train: {title}"):
            trainings.append(train())
        with clock.stage(f"after {name}", f"Evaluate after {title}"):
            model = run.path / name / "model"
            problems = heldout[: plan.pretrained] if name == "cpt" else heldout
            evaluations.append(_measured(run, plan, name, title, model, problems, clock))
    return evaluations, trainings


def _train_rl(run: RunDir, plan: Plan, progress: Progress, *, force: bool) -> TrainingRecord:
    from steiner.train.rl import train_rl

    settings = settings_of.rl_settings(plan, run.path)
    return train_rl(settings, is_right, reader_for("countdown"), progress=progress, force=force)


def _untrained(run: RunDir, plan: Plan, problems: list[Problem], clock: Clock) -> Evaluation:
    """Evaluate random weights, which are what continual pre-training starts from."""
    from steiner.train.model import load_model, load_tokenizer

    folder = run.path / "untrained"
    if not (folder / "WHOLE").exists():
        model_settings = settings_of.cpt_settings(plan, run.path).model
        tokenizer = load_tokenizer(model_settings)
        load_model(model_settings, tokenizer, plan.seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "WHOLE").touch()
    return _measured(run, plan, "untrained", "untrained", folder, problems, clock)


def _measured(
    run: RunDir, plan: Plan, name: str, title: str, model: Path, problems: list[Problem], clock: Clock
) -> Evaluation:
    """Evaluate a model, unless an earlier call has."""
    from steiner.decode.pool import EnginePool
    from steiner.train.model import model_digest

    digest = model_digest(str(model))
    done = stored(run, name, digest)
    if done is not None:
        return done
    with EnginePool(model, default_workers(), max_answer_tokens=ANSWER_TOKENS) as engine:
        return measure(run, name, title, digest, engine, problems, plan, clock.progress)


def _heldout_settings(plan: Plan) -> CountdownProblems:
    from steiner.problems.countdown import Split
    from steiner.problems.source import CountdownProblems

    return CountdownProblems(
        n=plan.heldout, split=Split.NEW_INPUTS, countdown=settings_of.problem_settings(plan)
    )


def _heldout(run: RunDir, plan: Plan, *, force: bool) -> list[Problem]:
    """Return the problems of the evaluation, and make sure that training has none of them."""
    from steiner.problems.countdown import generate
    from steiner.problems.source import check_disjoint, read_problems

    settings = _heldout_settings(plan)
    stage = Stage(run, HELDOUT, settings, force=force)
    if not stage.is_complete:
        problems = list(generate(settings.countdown, settings.n, settings.split))
        check_disjoint(read_problems(run), problems)
        stage.put([StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(problems)])
        stage.finish({"count": len(problems)})
    return [Problem.model_validate_json(record.body) for record in run.journal.records(HELDOUT)]


def _available(plan: Plan) -> int:
    """Return how many training problems to ask for: the plan's, or all that there are."""
    from steiner.core import InputError
    from steiner.problems.countdown import generate

    settings = settings_of.problem_settings(plan)
    try:
        return sum(1 for _ in generate(settings, plan.problems))
    except InputError:
        return sum(1 for _ in generate(settings, plan.problems // 2))


def _write_text(run: RunDir, plan: Plan) -> None:
    """Write sums and comparisons, and what can be done with the number sets of training."""
    from steiner.problems.arithmetic import arithmetic_documents, sweep_documents
    from steiner.problems.countdown_words import number_sets
    from steiner.problems.source import read_problems

    limits, seed = settings_of.problem_settings(plan).limits, plan.seed
    sets = number_sets(problem.blind().prompt for problem in read_problems(run))
    texts = {
        "arithmetic.txt": arithmetic_documents(plan.max_result, limits, seed=seed, same_target=True),
        "ways.txt": sweep_documents(sets, limits, seed=seed, by_operands=True),
    }
    for name, documents in texts.items():
        with atomic_write(run.path / name) as file:
            for document in documents:
                file.write(f"{document}\n\n".encode())


def _build_tokenizer(run: RunDir, plan: Plan) -> None:
    """Build the tokenizer from the run's own text; the same text gives the same tokenizer."""
    from steiner.dataset.corpus import run_texts
    from steiner.dataset.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(run_texts(run), vocab_size=512, numbers_to=plan.max_result)
    tokenizer.save_pretrained(run.path / "tokenizer")
