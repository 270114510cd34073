"""`steiner curve`: accuracy against thinking, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.evaluate.curves import Axis, ScalingCurve

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner curve rl.json --figure curve.svg
  steiner curve rl.json --against tokens --pool short.json --pool other-model.json
  steiner curve runs/min1 runs/min4 runs/min8 --against min-steps --output curve.json
  steiner curve --anytime runs/quickstart/rl/model --problems runs/quickstart --limits 1-24
  steiner curve --anytime runs/first/rl/model --benchmark gsm8k --data gsm8k/test.jsonl --save gsm8k.json
"""


@app.command(epilog=EXAMPLES)
def curve(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN…", help="Files of `steiner evaluate --output` or runs of `steiner eval`: one curve."
        ),
    ] = None,
    anytime: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Instead of runs: measure this model now, the whole curve from one completion a problem.",
        ),
    ] = None,
    problems: Annotated[
        Path | None, typer.Option(help="With --anytime: run directory with the problems; it is only read.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="With --anytime, instead of --problems: one that `steiner eval` knows.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="With --benchmark: file or hub id of its questions.")
    ] = None,
    limits: Annotated[
        str, typer.Option(help="With --anytime: numbers of steps that are allowed, as 1,2,4 or 1-24.")
    ] = "1-16",
    n: Annotated[int, typer.Option(min=1, help="With --anytime: the first so many problems.")] = 500,
    max_reasoning_tokens: Annotated[
        int | None, typer.Option(min=16, help="With --anytime: most tokens of reasoning.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0, help="With --anytime: 0 takes the most likely token.")
    ] = 0.0,
    save: Annotated[
        Path | None, typer.Option(help="With --anytime: JSON file for every graded sample.")
    ] = None,
    against: Annotated[str, typer.Option(help="max-steps, min-steps, tokens or seconds.")] = "max-steps",
    pool: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run with several short completions a question, of the same model or another: what its "
            "votes make of the same tokens; repeatable."
        ),
    ] = None,
    graded: Annotated[
        bool,
        typer.Option("--graded", help="Results can be checked without knowing the answer: best-of-N too."),
    ] = False,
    title: Annotated[
        str | None, typer.Option(help="Name of the model. Default: that of the first run.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sign flips and bootstrap, and of drawn tokens.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file for the curve.")] = None,
    figure: Annotated[Path | None, typer.Option(help="SVG file for the curve.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output file.")] = False,
) -> None:
    """Say whether accuracy rises, falls or has a hump as a model thinks longer.

    All points must answer the same questions. The verdict rests on a paired test over all budgets at once;
    of curves that are flat in truth it calls at most 5% anything else.
    """
    from steiner.cli.anytime import Wanted, measure_now
    from steiner.cli.compare import refuse_existing
    from steiner.core import InputError
    from steiner.evaluate.baselines import Pool
    from steiner.evaluate.curves import scaling_curve
    from steiner.evaluate.gather import read_runs

    axis = read_axis(against)
    refuse_existing(output, force)
    refuse_existing(figure, force)
    if anytime is None:
        read = read_runs(_given(runs, problems=problems, benchmark=benchmark, data=data, save=save))
    else:
        if runs:
            raise InputError("Give either runs, or --anytime MODEL to measure a model now.")
        refuse_existing(save, force)
        wanted = Wanted(
            model=anytime, problems=problems, benchmark=benchmark, data=data or [], limits=limits, n=n,
            max_reasoning_tokens=max_reasoning_tokens, temperature=temperature, seed=seed, save=save,
        )  # fmt: skip
        read = [measure_now(wanted)]
    pools = [Pool(run.title, run.samples, graded) for run in read_runs(pool or [])]
    found = scaling_curve(
        [run.samples for run in read], axis, title=title or read[0].title, pools=pools, seed=seed
    )
    _print(found)
    if output is not None:
        from steiner.store import atomic_write

        with atomic_write(output) as file:
            file.write(found.model_dump_json(indent=1).encode())
    if figure is not None:
        from steiner.evaluate.drawing.curve_file import curve_file
        from steiner.store import atomic_write

        with atomic_write(figure) as file:
            file.write(curve_file([found], found.title).encode())


def _given(runs: list[Path] | None, **others: object) -> list[Path]:
    from steiner.core import InputError

    if any(others.values()):
        raise InputError("--problems, --benchmark, --data and --save go with --anytime MODEL.")
    if not runs:
        raise InputError("Give at least one run, or --anytime MODEL --problems RUN to measure a model now.")
    return runs


def read_axis(text: str) -> Axis:
    """Return an axis by its name.

    Raises:
        InputError: if there is none of that name.
    """
    from steiner.core import InputError
    from steiner.evaluate.curves import Axis

    if text not in list(Axis):
        raise InputError(f"--against takes {', '.join(Axis)}, got '{text}'.")
    return Axis(text)


def _print(found: ScalingCurve) -> None:
    from rich.table import Table
    from rich.text import Text

    from steiner.cli.ui import out
    from steiner.evaluate.curves import UNITS
    from steiner.evaluate.wording import interval, percent

    table = Table(
        UNITS[found.axis], "accuracy", "95% interval", "tokens", "seconds",
        title=Text(found.title), title_justify="left",
    )  # fmt: skip
    for column in table.columns:
        column.justify = "right"
    for point in found.points:
        table.add_row(
            point.label,
            percent(point.accuracy),
            interval(point.low, point.high),
            f"{point.tokens:,.0f}",
            "" if point.seconds is None else f"{point.seconds:.3g}",
        )
    out.print(table)
    _print_baselines(found)
    out.print(Text(f"Verdict: {found.verdict}"))
    if found.warning:
        out.print(Text(f"Mind: {found.warning}", style="yellow"))


def _print_baselines(found: ScalingCurve) -> None:
    from rich.table import Table
    from rich.text import Text

    from steiner.cli.ui import out
    from steiner.evaluate.wording import percent, points

    for baseline in found.baselines:
        kind = "majority vote" if baseline.metric.value == "maj" else "best-of-N"
        title = f"The same tokens, {kind} of {baseline.title} ({baseline.tokens:,.0f} tokens each)"
        table = Table("instead of", "N", "accuracy", "the curve is ahead by", title=Text(title))
        table.title_justify = "left"
        for point, bought in zip(found.points, baseline.points, strict=True):
            if bought is None:
                table.add_row(point.label, "–", f"N beyond 1…{baseline.samples}", "")
            else:
                ahead = f"{points(bought.ahead)} ({points(bought.ahead_low)}…{points(bought.ahead_high)})"
                table.add_row(point.label, f"{bought.k:.1f}", percent(bought.accuracy), ahead)
        out.print(table)
