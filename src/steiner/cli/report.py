"""`steiner report`: an evaluation as one page, its numbers as JSON, and a section for a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.evaluate.curves import ScalingCurve
    from steiner.evaluate.pages.records import EvaluationReport
    from steiner.evaluate.records import TrainingAlarm

app = typer.Typer(add_completion=False)

HTML, JSON, CARD = "report.html", "report.json", "model-card.md"
EXAMPLES = """\b
Examples:
  steiner report rl.json --output reports/rl
  steiner report runs/rl/benchmarks/gsm8k --against runs/sft/benchmarks/gsm8k
  steiner report rl.json --curve curve.json --against sft.json --output reports/rl
  steiner report runs/quickstart --force
"""


@app.command(epilog=EXAMPLES)
def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="File of `steiner evaluate --output`, run of `steiner eval`, an .eval log, or the "
            "report.json of an earlier report.",
        ),
    ],
    against: Annotated[
        Path | None, typer.Option(help="Another run on the same questions, to compare with.")
    ] = None,
    curve: Annotated[
        list[Path] | None, typer.Option(help="File of `steiner curve --output`; repeatable.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the three files. Default: where the run is.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
) -> None:
    """Write report.html, report.json and model-card.md about a run.

    The page is one file that fetches nothing: accuracy, curves with their verdicts, the comparison with
    another run, where wrong samples went wrong, and every sample with its path.
    """
    from steiner.cli.compare import refuse_existing
    from steiner.cli.ui import out
    from steiner.evaluate.pages.card import model_card
    from steiner.evaluate.report import write_report
    from steiner.evaluate.wording import steps_allowed
    from steiner.store import atomic_write

    folder = output or (run if run.is_dir() else run.parent)
    earlier = earlier_report(run)
    for name in (HTML, CARD) if earlier == folder / JSON else (HTML, JSON, CARD):
        refuse_existing(folder / name, force)
    if earlier is not None:
        made = _read(earlier, against, curve or [])
    else:
        made = _build(run, against, [read_curve(path) for path in curve or []], seed)
    write_report(made, folder / HTML, folder / JSON)
    with atomic_write(folder / CARD) as file:
        file.write(model_card(made).encode("utf-8", "replace"))
    out.print(made.verdict, markup=False, soft_wrap=True)
    for comparison in made.comparisons:
        if comparison.warning:
            mind = f"Mind, with {steps_allowed(comparison.max_steps)}: {comparison.warning}"
            out.print(mind, style="yellow", markup=False, soft_wrap=True)
    for name in (HTML, JSON, CARD):
        out.print(f"Written to {folder / name}", markup=False, soft_wrap=True)


def earlier_report(run: Path) -> Path | None:
    """Return the numbers of an earlier report if that is what `run` is, None otherwise."""
    if run.name == JSON and run.is_file():
        return run
    evaluated = run.is_dir() and ((run / "evaluation.json").is_file() or (run / "benchmarks").is_dir())
    return run / JSON if run.is_dir() and not evaluated and (run / JSON).is_file() else None


def training_alarms(model: Path) -> list[TrainingAlarm] | None:
    """Return what the monitor of a model's training found; None for a model that nobody watched.

    It is read from the `training.json` beside the model's folder.
    """
    import json

    from steiner.evaluate.records import TrainingAlarm

    try:
        record = json.loads((model.parent / "training.json").read_bytes())
        return [TrainingAlarm(stage=record["stage"], **alarm) for alarm in record["alarms"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_curve(path: Path) -> ScalingCurve:
    """Read what `steiner curve --output` wrote.

    Raises:
        InputError: if that is something else.
    """
    from pydantic import ValidationError

    from steiner.core import InputError
    from steiner.evaluate.curves import ScalingCurve

    try:
        return ScalingCurve.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"The curve {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise InputError(f"{path} was not written by `steiner curve --output`.") from error


def _read(path: Path, against: Path | None, curves: list[Path]) -> EvaluationReport:
    from pydantic import ValidationError

    from steiner.core import InputError
    from steiner.evaluate.pages.records import EvaluationReport

    if against is not None or curves:
        raise InputError(
            f"{path} is a finished report: --against and --curve need the evaluation that it was made from."
        )
    try:
        return EvaluationReport.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"The report {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{path} is no report of this version: {first['msg']}.") from error


def _build(run: Path, against: Path | None, curves: list[ScalingCurve], seed: int) -> EvaluationReport:
    from datetime import UTC, datetime

    from steiner.evaluate.gather import read_saved
    from steiner.evaluate.pages.build import evaluation_report

    saved = read_saved(run)
    return evaluation_report(
        saved,
        against=None if against is None else read_saved(against),
        curves=curves,
        alarms=training_alarms(Path(saved.model)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
    )
