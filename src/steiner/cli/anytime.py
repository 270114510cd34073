"""`steiner curve --anytime`: measure a model now, the whole curve from one completion a problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import InputError, Problem

if TYPE_CHECKING:
    from steiner.evaluate.gather import Run
    from steiner.evaluate.saved import SavedEvaluation


class Wanted(NamedTuple):
    """What the command line asks for."""

    model: str
    problems: Path | None
    """Run directory."""
    benchmark: str | None
    data: list[str]
    limits: str
    n: int
    max_reasoning_tokens: int | None
    temperature: float
    seed: int
    save: Path | None


def measure_now(wanted: Wanted) -> Run:
    """Measure a model under every limit with one completion a problem, and save the samples if wanted.

    Raises:
        InputError: if the problems or the model cannot be read, or it is not said which.
    """
    from steiner.cli.evaluate import read_limits
    from steiner.cli.measure import Asking, measure_model
    from steiner.evaluate.gather import Run
    from steiner.evaluate.saved import save

    asking = Asking(
        limits=tuple(read_limits(wanted.limits)),
        temperature=wanted.temperature,
        seed=wanted.seed,
        max_reasoning_tokens=wanted.max_reasoning_tokens,
    )
    problems, place, stage = _problems(wanted)
    measured = concealed(measure_model(wanted.model, problems, asking, run=place, stage=stage), problems)
    if wanted.save is not None:
        save(measured, wanted.save)
    # As `steiner.evaluate.gather.read_run` reads a saved one.
    least = {"min_steps": measured.other_limits.min_steps}
    return Run(measured.model, tuple(sample.model_copy(update=least) for sample in measured.samples))


def _problems(wanted: Wanted) -> tuple[list[Problem], Path, str]:
    """Return the problems, where they are from, and the name of the stage or benchmark."""
    from steiner.cli.evaluate import read_problems

    if (wanted.problems is None) == (wanted.benchmark is None):
        raise InputError("--anytime MODEL needs --problems RUN, or --benchmark NAME with --data FILE.")
    if wanted.problems is not None:
        problems, stage = read_problems(wanted.problems, None, wanted.n)
        return problems, wanted.problems, stage
    from steiner.cli.ui import err
    from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark

    name = wanted.benchmark or ""
    options = DataOptions(data=tuple(wanted.data), seed=wanted.seed, limit=wanted.n)
    loaded = load_benchmark(find_benchmark(name), options)
    for warning in loaded.warnings:
        err.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    return list(loaded.problems), Path(wanted.data[0] if wanted.data else name), name


def concealed(measured: SavedEvaluation, problems: Sequence[Problem]) -> SavedEvaluation:
    """Take out all text of questions whose authors ask for it; of answers the letter alone stays."""
    from steiner.evaluate.inspect_hidden import conceal, is_hidden

    hidden = {problem.id: problem for problem in problems if is_hidden(problem)}
    if not hidden:
        return measured
    samples = tuple(
        sample.model_copy(update={"answer": conceal(hidden[sample.problem_id], sample.answer)})
        if sample.problem_id in hidden
        else sample
        for sample in measured.samples
    )
    return measured.model_copy(update={"samples": samples, "questions": (), "written": ()})
