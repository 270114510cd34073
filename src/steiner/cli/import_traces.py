"""`steiner import`: traces that other models have written become problems and traces of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.synthesis.importers import ImportReport

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner import --format mmlu-pro traces/*.zip --run runs/mmlu-pro
  steiner import --format mmlu-pro traces/*.zip --run runs/small --limit 300
  steiner import --format native others.jsonl --run runs/others
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
            "native: JSON Lines of our own problems and traces.",
        ),
    ] = "mmlu-pro",
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many questions.")] = None,
    max_steps: Annotated[int, typer.Option(min=1, help="Most steps a text is split into.")] = 10,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per core. Changes no result.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Discard problems and traces of other files or settings.")
    ] = False,
) -> None:
    """Import existing reasoning traces into a run directory.

    Prose is split into steps, each with a name and a summary cut out of its own words. Whether a trace is
    right is read off the answer that it states; a text that states none counts as unfinished.
    """
    from steiner.cli.ui import RichProgress
    from steiner.store import RunDir
    from steiner.store.parallel import default_workers
    from steiner.synthesis.importers import ImportSettings, import_traces
    from steiner.synthesis.importers.prose import ProseSettings

    settings = ImportSettings(format=format_name, limit=limit, prose=ProseSettings(max_steps=max_steps))
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
