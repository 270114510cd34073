"""`steiner synthesize`: let a teacher write traces for a run's problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from steiner.synthesis import SynthesisYield

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner synthesize --run runs/first
  steiner synthesize --run runs/first --truncations 16 --cut early --seed 3
  steiner synthesize --run runs/first --truncations 24 --force
"""


@app.command(epilog=EXAMPLES)
def synthesize(
    run: Annotated[Path, typer.Option(help="Run directory that holds problems.")],
    teacher: Annotated[str, typer.Option(help="Who writes the steps.")] = "countdown",
    drafts: Annotated[int, typer.Option(min=1, help="Open-book drafts per question.")] = 2,
    truncations: Annotated[int, typer.Option(min=0, help="Cuts of a draft per question.")] = 8,
    attempts: Annotated[int, typer.Option(min=1, help="Blind attempts per cut.")] = 1,
    cut: Annotated[str, typer.Option(help="Where drafts are cut: uniform, early or late.")] = "uniform",
    max_attempt_steps: Annotated[int, typer.Option(min=1, help="Steps of a blind attempt, at most.")] = 12,
    temperature: Annotated[float, typer.Option(min=0, help="How freely blind attempts stray.")] = 2.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traces.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Discard traces made with other settings or problems.")
    ] = False,
) -> None:
    """Write traces: draft, cut, attempt blind, reveal the answer, resolve.

    Each question gets open-book drafts. They are cut at random steps; from each cut the teacher goes on
    without knowing the answer. Attempts that fail are shown the answer, go back to where they went wrong,
    and reach it.
    """
    from steiner.cli.ui import RichProgress, out
    from steiner.core import parse_settings
    from steiner.store import RunDir
    from steiner.store.parallel import default_workers
    from steiner.synthesis import SynthesisSettings, synthesise_run

    values = {
        "teacher": teacher,
        "drafts": drafts,
        "truncations": truncations,
        "attempts": attempts,
        "cut": cut,
        "max_attempt_steps": max_attempt_steps,
        "temperature": temperature,
        "seed": seed,
    }
    settings = parse_settings(SynthesisSettings, values, "steiner synthesize")
    RunDir(run, read_only=True).close()  # refuses what is no run directory, which the next line would create
    with RunDir(run) as opened:
        total, _ = synthesise_run(
            opened,
            settings,
            workers=workers or default_workers(),
            force=force,
            progress=RichProgress(),
        )
    out.print(_table(total, str(run)))


def _table(total: SynthesisYield, title: str) -> Table:
    from rich.table import Table

    table = Table("traces", "", "share", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {
        "drafts": total.drafts,
        "blind attempt right at once": total.right_at_once,
        "recovered after the answer was revealed": total.recovered,
        "lost": total.lost,
    }
    for name, count in rows.items():
        table.add_row(name, f"{count:,}", f"{count / max(total.traces, 1):.1%}")
    table.add_section()
    table.add_row("distinct traces", f"{total.traces:,}", "")
    table.add_row("repetitions dropped", f"{total.repeated:,}", "")
    table.add_row("questions", f"{total.questions:,}", "")
    table.add_row("steps per trace", f"{total.steps / max(total.traces, 1):.1f}", "")
    table.add_row("backtracks per trace", f"{total.backtracks / max(total.traces, 1):.1f}", "")
    return table
