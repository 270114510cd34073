"""`steiner graph stats`: how nodes, merges, depth, dead ends and routes are distributed over a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.graph.distribution import Distributions, Number, SpreadSummary

EXAMPLES = """\b
Examples:
  steiner graph stats --run runs/mmlu-pro
  steiner graph stats --run runs/mmlu-pro --json
"""
COLUMNS = ("mean", "min", "p5", "p25", "p50", "p75", "p95", "max")


def stats(
    run: Annotated[Path, typer.Option(help="Run directory with step graphs.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
) -> None:
    """Show how nodes, merges, depth, dead ends, routes and traces per node are distributed over a run.

    A percentile is the smallest value that so many percent of all values do not exceed. Formulas and edge
    cases: docs/graphs-explained.md.
    """
    from steiner.cli.ui import RichProgress
    from steiner.graph.distribution import distributions
    from steiner.store import RunDir
    from steiner.store.parallel import default_workers

    with RunDir(run, read_only=True) as held:
        found = distributions(held, workers=workers or default_workers(), progress=RichProgress())
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(found)


def _print(found: Distributions) -> None:
    from steiner.cli.ui import out
    from steiner.graph.distribution import NODE_TITLES, QUESTION_TITLES, SHARES

    out.print(
        f"{found.questions:,} questions, {found.answered:,} of them with a right trace, "
        f"{found.with_dead_ends:,} with a dead end too",
        soft_wrap=True,
    )
    if found.without_steps:
        out.print(f"{found.without_steps:,} questions have no trace with a step")
    if found.unreachable:
        out.print(f"{found.unreachable:,} nodes cannot be reached from their question")
    nodes = found.per_node["traces"].count
    for title, names, spreads in (
        (f"Per question ({found.questions:,})", QUESTION_TITLES, found.per_question),
        (f"Per step node ({nodes:,})", NODE_TITLES, found.per_node),
    ):
        out.print(f"\n{title:<30}" + "".join(f"{name:>6}" for name in COLUMNS), soft_wrap=True)
        for line in table_lines(names, spreads, SHARES):
            out.print(line, soft_wrap=True)


def table_lines(
    titles: Mapping[str, str], spreads: Mapping[str, SpreadSummary], shares: set[str]
) -> list[str]:
    """Return one line for each distribution: its title and eight numbers, 78 characters."""
    return [
        f"{title:<30}"
        + "".join(f"{_short(getattr(spreads[name], column), name in shares):>6}" for column in COLUMNS)
        for name, title in titles.items()
    ]


def _short(value: Number | None, share: bool) -> str:
    """Return a number in at most five characters."""
    if value is None:
        return "–"
    if isinstance(value, str):
        front, _, exponent = value.partition("e+")
        return f"{front[:1]}e{int(exponent)}"
    if share:
        return f"{100 * value:.0f}%"
    if value >= 10**4:
        front, _, exponent = f"{value:.0e}".partition("e")
        return f"{front}e{int(exponent)}"
    if isinstance(value, float) and value < 999.95:
        return f"{value:.1f}"
    return f"{value:,.0f}"
