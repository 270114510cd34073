"""`steiner compare`: two runs on the same questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.evaluate.gather import Compared

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner compare sft.json rl.json
  steiner compare runs/sft/benchmarks/gsm8k runs/rl/benchmarks/gsm8k --output comparison.json
"""


@app.command(epilog=EXAMPLES)
def compare(
    before: Annotated[
        Path,
        typer.Argument(metavar="RUN_A", help="File of `steiner evaluate --output`, run of `steiner eval`."),
    ],
    after: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run to hold against it.")],
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file for the comparisons.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output file.")] = False,
) -> None:
    """Compare two runs question by question, under every step limit that both have.

    Prints each run's metrics with 95% intervals, clustered by question, the paired difference, McNemar's
    exact test, and what this number of questions does not allow to claim.
    """
    from steiner.cli.ui import out
    from steiner.evaluate.gather import compare_runs, read_runs

    refuse_existing(output, force)
    first, second = read_runs([before, after])
    found = compare_runs(first, second, seed)
    for one in found:
        _print(one)
    if output is not None:
        from steiner.store import atomic_write

        body = ",\n".join(one.comparison.model_dump_json(indent=1) for one in found)
        with atomic_write(output) as file:
            file.write(f"[{body}]\n".encode())
        out.print(f"Written to {output}", markup=False)


def refuse_existing(output: Path | None, force: bool) -> None:
    """Refuse to replace a file that nobody asked to replace.

    Raises:
        InputError: if it exists and `force` is not set.
    """
    from steiner.core import InputError

    if output is not None and output.exists() and not force:
        raise InputError(f"{output} exists: give another --output, or --force to replace it.")


def _print(one: Compared) -> None:
    from rich.table import Table
    from rich.text import Text

    from steiner.cli.ui import out
    from steiner.evaluate.wording import interval, percent

    found = one.comparison
    table = Table("metric", "A", "B", title=Text(f"With {one.setting}, n={found.n:,}"), title_justify="left")
    after = {measured.name: measured for measured in one.after}
    for old in one.before:
        cells = [
            f"{percent(m.estimate.value)} ({interval(m.estimate.low, m.estimate.high)})" if m else ""
            for m in (old, after.get(old.name))
        ]
        table.add_row(old.name, *cells)
    out.print(Text(f"A: {found.before}\nB: {found.after}"))
    out.print(table)
    out.print(Text(f"B against A: {found.verdict}"))
    out.print(
        f"Better on {found.gained:,}, worse on {found.lost:,}; McNemar's exact p = {found.mcnemar_p:.3g}"
    )
    if found.warning:
        out.print(Text(f"Mind: {found.warning}", style="yellow"))
