"""`steiner graph`: one step graph per question; build them, look at one, measure all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from steiner.cli.engine import EngineOption, RayAddressOption, engine_for
from steiner.cli.graph_show import EXAMPLES as SHOW_EXAMPLES
from steiner.cli.graph_show import show
from steiner.cli.graph_stats import EXAMPLES as STATS_EXAMPLES
from steiner.cli.graph_stats import stats

if TYPE_CHECKING:
    from steiner.core import Problem
    from steiner.graph.stage import GraphsSummary


class BuildByDefault(TyperGroup):
    """`steiner graph --run R` means `steiner graph build --run R`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the subcommand before options that stand alone."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["build", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=BuildByDefault,
    add_completion=False,
    no_args_is_help=True,
    help=(
        "Build one step graph per question from a run's traces; look at one; measure all.\n\n"
        "steiner graph --run runs/countdown   is short for   steiner graph build --run runs/countdown"
    ),
)

EXAMPLES = """\b
Examples:
  steiner graph build --run runs/countdown
  steiner graph build --run runs/mmlu-pro --cluster text --similarity 0.7
"""


@app.command(epilog=EXAMPLES)
def build(
    run: Annotated[Path, typer.Option(help="Run directory with traces.")],
    cluster: Annotated[
        str,
        typer.Option(
            help="What makes two steps one node: state (exact search states), text (same meaning), or auto: "
            "states where a question's steps have them, text elsewhere."
        ),
    ] = "auto",
    similarity: Annotated[
        float | None,
        typer.Option(help="Text: least similarity (0 to 1) of any two steps in a node. Higher merges less."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
    engine: EngineOption = "local",
    ray_address: RayAddressOption = "",
    force: Annotated[
        bool, typer.Option("--force", help="Discard graphs made with other settings or from other traces.")
    ] = False,
) -> None:
    """Build one step graph per question from a run's traces. Goes on where it stopped when run again."""
    from steiner.cli.ui import RichProgress
    from steiner.core import parse_settings
    from steiner.graph.stage import GraphSettings, make_graphs
    from steiner.store import RunDir

    values: dict[str, object] = {"cluster": cluster}
    if similarity is not None:
        values["text"] = {"similarity": similarity}
    settings = parse_settings(GraphSettings, values, "steiner graph")
    RunDir(run, read_only=True).close()  # refuses what is no run directory, which the next line would create
    with RunDir(run) as held:
        summary = make_graphs(
            held,
            settings,
            equivalent=same_answer,
            workers=engine_for(engine, workers, ray_address),
            force=force,
            progress=RichProgress(),
        )
    _print(summary)


app.command(epilog=SHOW_EXAMPLES)(show)
app.command(epilog=STATS_EXAMPLES)(stats)


def same_answer(problem: Problem, one: str, other: str) -> bool:
    """Say whether two wrong answers are the same; by spelling only where the grader is not installed."""
    from steiner.core import InputError
    from steiner.problems.grading import answers_equivalent

    try:
        return answers_equivalent(problem, one, other)
    except InputError:
        return False


def _print(summary: GraphsSummary) -> None:
    from rich.table import Table

    from steiner.cli.ui import out

    table = Table(title="Step graphs", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, number in (
        ("graphs", summary.graphs),
        ("  with a right answer", summary.answered),
        ("  with a right answer and a dead end", summary.with_dead_ends),
        ("traces", summary.traces),
        ("steps (nodes)", summary.nodes),
        ("  shared by several traces", summary.shared),
        ("  dead ends", summary.dead_ends),
        ("distinct wrong answers", summary.wrong_answers),
        ("edges", summary.edges),
        ("routes to the answer, median", int(summary.routes_median)),
        ("routes to the answer, most", int(summary.routes_max)),
    ):
        table.add_row(name, f"{number:,}" if number < 10**12 else f"{float(number):.3g}")
    out.print(table)
