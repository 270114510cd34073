"""The command itself: options in, headline numbers out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner quickstart
  steiner quickstart --seed 1 --run runs/seed1
  steiner quickstart --minutes 60 --run runs/hour
"""


@app.command(epilog=EXAMPLES)
def quickstart(
    run: Annotated[Path, typer.Option(help="Run directory; created if missing.")] = Path("runs/quickstart"),
    minutes: Annotated[
        float, typer.Option(min=1, help="About how long it may take on two quiet cores; more trains longer.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Discard stages made with other settings.")] = False,
) -> None:
    """Go the whole way on small Countdown problems: no key, no GPU, no download.

    Problems, a symbolic teacher's traces, step graphs, sampled paths, a tokenizer, a dataset, continual
    pre-training, fine-tuning, RL with step-level reward, and an evaluation before and after each stage; then
    a report. Stopped at any moment, the same command goes on where it was.
    """
    from steiner.cli.quickstart.pipeline import run_quickstart
    from steiner.cli.quickstart.plan import Plan

    plan = Plan() if minutes == 10 and seed == 0 else Plan.for_minutes(minutes, seed)
    run_quickstart(run, plan, minutes=minutes, force=force)
