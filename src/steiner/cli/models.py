"""`steiner models`: what comes with the package."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner models
  steiner models --json
  steiner generate --model countdown-nano "Make 22 from 3 5 7."
"""


@app.command(epilog=EXAMPLES)
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON record a model.")] = False,
) -> None:
    """List the models that come with steiner. Their names stand for them wherever a command takes a model.

    A folder of your own that has the same name is meant if it is written as a path: ./NAME.
    """
    from rich.table import Table
    from rich.text import Text

    from steiner.cli.ui import out
    from steiner.decode.shipped import list_models, models_folder
    from steiner.evaluate.wording import interval, percent

    found = list_models()
    if as_json:
        for model in found:
            typer.echo(model.model_dump_json())
        return
    if not found:
        out.print(f"No model comes with this version ({models_folder()}).", markup=False, soft_wrap=True)
        return
    table = Table("name", "parameters", "MB", "accuracy", "steps allowed", "problems", "what it can do")
    for column in table.columns[1:5]:
        column.justify = "right"
    for model in found:
        check = model.checks[0] if model.checks else None
        shown = f"{percent(check.accuracy)} ({interval(check.low, check.high)})" if check else "–"
        table.add_row(
            Text(model.name),
            f"{model.parameters:,}",
            f"{model.size / 1e6:.1f}",
            shown,
            str(check.max_steps) if check else "–",
            Text(f"{check.n:,} of {check.problems}" if check else "–"),
            Text(model.summary),
        )
    out.print(table)
