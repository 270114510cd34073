"""`steiner import`: traces that other models have written become problems and traces of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.synthesis.importers import ChatSettings, ImportReport

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner import --format mmlu-pro traces/*.zip --run runs/mmlu-pro
  steiner import --format mmlu-pro traces/*.zip --run runs/small --limit 300
  steiner import --format native others.jsonl --run runs/others
  steiner import --format chat example_model_solutions.jsonl --run runs/gsm8k-solutions
  steiner import --format chat log.jsonl --column question=task --column correct=verdict --run runs/log
  steiner import --format chat rewards.jsonl --right-from 0.5 --grading math --run runs/rewards
  steiner import --format prm800k phase2_train.jsonl --run runs/prm800k
  steiner import --format omegaprm trees.jsonl --run runs/omegaprm
  steiner import --format tot24 tot_gpt4_100.json cot_gpt4_100x100.json --run runs/game24
  steiner import --format bbm logical_deduction.jsonl word_sorting.jsonl --run runs/bbm
"""


@app.command(epilog=EXAMPLES)
def import_traces(
    files: Annotated[list[Path], typer.Argument(help="All files of the import.", metavar="FILES…")],
    run: Annotated[Path, typer.Option("--run", help="Run directory; made if missing.", metavar="DIR")],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="mmlu-pro: ZIPs of model outputs as the MMLU-Pro evaluation publishes them, one a model. "
            "native: JSON Lines of our own problems and traces. "
            "chat: JSON Lines of questions with responses that are marked as right or wrong. "
            "prm800k: labelled steps. omegaprm: trees of rollouts with Monte-Carlo values. "
            "tot24: logs of the Game of 24, tree-of-thought searches or samples. "
            "bbm: BIG-Bench-Mistake, steps with the first mistake.",
        ),
    ] = "mmlu-pro",
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many questions.")] = None,
    max_steps: Annotated[int, typer.Option(min=1, help="Most steps a text is split into.")] = 10,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="chat: the column that holds the question, response, reference, correct, answer, model, "
            "choices or language, for example question=task; as often as needed. The others are guessed.",
            metavar="ROLE=NAME",
        ),
    ] = None,
    right_from: Annotated[
        float | None,
        typer.Option(help="chat: a score counts as right from here on [default: only 1 is right]."),
    ] = None,
    grading: Annotated[
        str | None,
        typer.Option(
            help="chat: how answers are compared: numeric, math, choice or exact "
            "[default: by the references' look]."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per core. Changes no result.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Discard problems and traces of other files or settings.")
    ] = False,
) -> None:
    """Import existing reasoning traces into a run directory.

    Prose is split into steps, each with a name and a summary cut out of its own words. Whether a trace is
    right is read off the answer that it states, for chat off the file's own mark if it has one; a text that
    states none counts as unfinished.
    """
    from steiner.cli.ui import RichProgress
    from steiner.store import RunDir
    from steiner.store.parallel import default_workers
    from steiner.synthesis.importers import ImportSettings, import_traces
    from steiner.synthesis.importers.prose import ProseSettings

    settings = ImportSettings(
        format=format_name,
        limit=limit,
        prose=ProseSettings(max_steps=max_steps),
        chat=_chat(column or [], right_from, grading),
    )
    with RunDir(run) as directory:
        report = import_traces(
            directory,
            settings,
            files,
            workers=workers or default_workers(),
            force=force,
            progress=RichProgress(),
        )
    _print(report, run)


def _chat(columns: list[str], right_from: float | None, grading: str | None) -> ChatSettings | None:
    """Return what was said about chat logs; None if nothing was.

    Raises:
        InputError: if a column is not of the form ROLE=NAME, or a role or the grading is unknown.
    """
    from steiner.core import InputError, parse_settings
    from steiner.synthesis.importers import ChatSettings

    named: dict[str, str] = {}
    for text in columns:
        role, sign, name = text.partition("=")
        if not sign or not name:
            raise InputError(f"--column takes ROLE=NAME such as question=task, got '{text}'.")
        named[role.strip()] = name.strip()
    if not named and right_from is None and grading is None:
        return None
    values = {"columns": named, "right_from": right_from, "grading": grading}
    return parse_settings(ChatSettings, values, "steiner import")


def _print(report: ImportReport, run: Path) -> None:
    from rich.table import Table

    from steiner.cli.ui import out

    table = Table(
        "model", "traces", "right", "wrong", "no answer", "steps per trace", title="Imported traces"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, item in report.teachers.items():
        shares = (f"{count / max(item.traces, 1):.1%}" for count in (item.right, item.wrong, item.unfinished))
        table.add_row(name, f"{item.traces:,}", *shares, f"{item.steps / max(item.traces, 1):.1f}")
    out.print(table)
    spread = "  ".join(f"{steps}: {count:,}" for steps, count in sorted(report.steps_per_trace.items()))
    out.print(f"Traces by number of steps: {spread}")
    for count, reason in (
        (report.bare, "records gave no trace: nothing but an answer in them, or the same text again"),
        (report.unusable, "records left out: they hold no question with a known answer"),
        (report.other_options, "records left out: their letters stand for other options than the question's"),
        (
            report.repeated,
            "questions of the files are the same as another one: their traces were put together",
        ),
        (report.corrected, "questions differ between the files: the version of most files was taken"),
    ):
        if count:
            out.print(f"{count:,} {reason}")
    out.print(f"{report.traces:,} traces on {report.problems:,} questions are in {run}")
