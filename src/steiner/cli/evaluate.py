"""`steiner evaluate`: accuracy of a model against the steps that it is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from steiner.core import Problem, StepBudget
    from steiner.evaluate.records import Comparison
    from steiner.evaluate.saved import SavedEvaluation
    from steiner.protocol.history import HistoryPolicy

app = typer.Typer(add_completion=False)

HELDOUT, PROBLEMS = "heldout", "problems"
EXAMPLES = """\b
Examples:
  steiner evaluate runs/quickstart/rl/model --run runs/quickstart
  steiner evaluate runs/first/sft/model --run runs/test --limits 2,4,8 --n 200 --output sft.json
  steiner evaluate runs/first/rl/model --run runs/test --limits 2,4,8 --n 200 --compare sft.json
  steiner evaluate MODEL --run runs/test --limits 4,8,16 --ban-repeats --soft-end=-4,6,12
  steiner evaluate MODEL --run runs/test --limits 4 --samples 8 --temperature 1 --output pool.json
  steiner evaluate MODEL --run runs/test --limits 16 --turns 3 --history drop --compare single.json
"""


@app.command(epilog=EXAMPLES)
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder, hub id, or name in `steiner models`.")],
    run: Annotated[Path, typer.Option(help="Run directory with the problems; it is only read.")],
    stage: Annotated[
        str | None,
        typer.Option(help="heldout or problems. Default: heldout if the run has it, else problems."),
    ] = None,
    limits: Annotated[str, typer.Option(help="Numbers of steps that are allowed, as 1,2,4 or 1-8.")] = (
        "1,2,4,8,16"
    ),
    n: Annotated[int, typer.Option(min=1, help="The first so many problems.")] = 500,
    samples: Annotated[
        int, typer.Option(min=1, help="Completions of each problem, with a temperature: for votes.")
    ] = 1,
    max_reasoning_tokens: Annotated[
        int | None, typer.Option(min=16, help="Most tokens of reasoning, whatever the steps.")
    ] = None,
    max_step_tokens: Annotated[int | None, typer.Option(help="Most tokens of a step.")] = None,
    backtrack_bias: Annotated[
        float, typer.Option(help="Makes going back more likely, or less if negative; in logits.")
    ] = 0.0,
    ban_repeats: Annotated[
        bool, typer.Option("--ban-repeats", help="No thought twice, word for word.")
    ] = False,
    soft_end: Annotated[str | None, typer.Option(help="START,STOP,STEPS as in `steiner generate`.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the most likely token.")] = 0.0,
    turns: Annotated[
        int,
        typer.Option(
            min=1, help="Ask each Countdown problem as the last of so many turns about its numbers."
        ),
    ] = 1,
    history: Annotated[
        str, typer.Option(help="With --turns: what earlier answers carry: keep, summaries or drop.")
    ] = "summaries",
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    seed: Annotated[int, typer.Option(help="Makes drawing repeatable.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file for every graded sample.")] = None,
    against: Annotated[
        Path | None, typer.Option("--compare", help="Such a file of another model on the same problems.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output file.")] = False,
) -> None:
    """Measure a model on a run's problems: accuracy against allowed steps.

    Each problem is answered once with the largest limit; for the smaller ones the same reasoning is broken
    off and an answer forked there. The numbers mean something only for problems that the model was not
    trained on. Where questions are not all English, accuracy and the share of steps in the right language are
    shown for each language.
    """
    from steiner.cli.compare import refuse_existing
    from steiner.cli.measure import Asking, measure_model
    from steiner.cli.ui import err
    from steiner.core import InputError
    from steiner.decode.shipped import find_model
    from steiner.evaluate import saved

    asking = Asking(
        limits=tuple(read_limits(limits)),
        temperature=temperature,
        seed=seed,
        max_reasoning_tokens=max_reasoning_tokens,
        other_limits=_budget(
            max_step_tokens=max_step_tokens, backtrack_bias=backtrack_bias, ban_repeats=ban_repeats,
            soft_end=soft_end,
        ),
        turns=turns,
        history=read_history(history),
        system=system,
    )  # fmt: skip
    refuse_existing(output, force)
    if samples > 1 and temperature == 0:
        raise InputError(
            "--samples above 1 needs a --temperature above 0: the completions would be the same."
        )
    problems, stage = read_problems(run, stage, n)
    problems = [problem for problem in problems for _ in range(samples)]
    before = None if against is None else saved.load(against)
    if before is not None:  # found out before the long work, not after it
        saved.shared_limit(before, set(asking.limits), {problem.id for problem in problems})
    evaluation = measure_model(model, problems, asking, run=run, stage=stage)
    if output is not None:
        saved.save(evaluation, output)
    _print(evaluation, None if before is None else saved.compare_saved(before, evaluation))
    for line in alarms_of(Path(find_model(model))):
        err.print(f"training alarm: {line}", style="yellow", markup=False)


def alarms_of(model: Path) -> list[str]:
    """Return what the monitor of the training that made a model found, one line each."""
    from steiner.cli.report import training_alarms

    alarms = training_alarms(model) or ()
    return [f"{alarm.name} since update {alarm.since}: {alarm.evidence}" for alarm in alarms]


def _budget(soft_end: str | None, **limits: Any) -> StepBudget:
    from steiner.cli.generate import make_budget, read_soft_end

    return make_budget(soft_end=read_soft_end(soft_end), **limits)


def read_limits(text: str) -> list[int]:
    """Read step limits separated by commas; `2-5` stands for all from 2 to 5.

    Raises:
        InputError: if one of them is no whole number above 0, or there are more than 10,000.
    """
    from steiner.core import InputError

    found: set[int] = set()
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        numbers = [int(end) for end in ends if end.isdecimal() and len(end) < 10]
        if (
            len(numbers) < len(ends)
            or len(ends) > 2
            or not 0 < numbers[0] <= numbers[-1] < numbers[0] + 10_000
        ):
            raise InputError(
                f"--limits takes numbers of steps separated by commas such as 1,2,4 or 1-8, got '{text}'."
            )
        found.update(range(numbers[0], numbers[-1] + 1))
    return sorted(found)


def read_history(text: str) -> HistoryPolicy:
    """Read a history policy.

    Raises:
        InputError: if there is no such policy.
    """
    from steiner.core import InputError
    from steiner.protocol.history import HistoryPolicy

    if text not in list(HistoryPolicy):
        raise InputError(f"--history takes one of {', '.join(HistoryPolicy)}, got '{text}'.")
    return HistoryPolicy(text)


def read_problems(path: Path, stage: str | None, n: int) -> tuple[list[Problem], str]:
    """Return the first `n` problems of a stage of a run, and the name of that stage.

    Raises:
        InputError: if there is no such run or stage, the stage is unfinished, or it is empty.
    """
    from itertools import islice

    from steiner.core import InputError, Problem
    from steiner.store import RunDir
    from steiner.store.stage import stage_digest

    if stage not in (None, HELDOUT, PROBLEMS):
        raise InputError(f"There is no stage '{stage}' of problems: --stage takes {HELDOUT} or {PROBLEMS}.")
    with RunDir(path, read_only=True) as run:
        name = stage or (HELDOUT if run.journal.stage(HELDOUT) else PROBLEMS)
        stage_digest(run, name)  # refuses a missing or unfinished stage
        records = list(islice(run.journal.records(name), n))
    if not records:
        raise InputError(f"Stage '{name}' of {path} holds no problems.")
    return [Problem.model_validate_json(record.body) for record in records], name


def _languages(evaluation: SavedEvaluation) -> Table:
    from rich.table import Table

    from steiner.evaluate.wording import interval, percent, steps_allowed

    table = Table(
        "language", "problems", "accuracy", "95% interval", "steps in it",
        title=f"By language, with {steps_allowed(evaluation.curve[-1].max_steps)}", title_justify="left",
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for one in evaluation.languages:
        share = "–" if one.in_language is None else percent(one.in_language, 2)
        table.add_row(one.language, f"{one.n:,}", percent(one.accuracy), interval(one.low, one.high), share)
    return table


def _print(evaluation: SavedEvaluation, comparison: Comparison | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from steiner.cli.ui import out
    from steiner.evaluate.wording import interval, percent, steps_allowed

    title = f"{evaluation.model} on {evaluation.curve[0].n:,} of {evaluation.run} ({evaluation.stage})"
    if evaluation.turns > 1:
        title += f", asked in turn {evaluation.turns}, history: {evaluation.history}"
    table = Table(
        "steps allowed", "accuracy", "95% interval", "steps, mean", "reasoning tokens, mean", "well-formed",
        title=Text(title), title_justify="left",
    )  # fmt: skip
    for column in table.columns:
        column.justify = "right"
    for point in evaluation.curve:
        table.add_row(
            str(point.max_steps),
            percent(point.accuracy),
            interval(point.low, point.high),
            f"{point.mean_steps:.1f}",
            f"{point.mean_reasoning_tokens:,.0f}",
            percent(point.well_formed),
        )
    out.print(table)
    if {result.language for result in evaluation.languages} - {"en"}:
        out.print(_languages(evaluation))
    if comparison is not None:
        limit = steps_allowed(comparison.max_steps)
        out.print(Text(f"Against {comparison.before}, with {limit}: {comparison.verdict}"))
        if comparison.warning:
            out.print(Text(f"Mind: {comparison.warning}", style="yellow"))
