"""`steiner sample`: reasoning paths with backtracking from a run's step graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steiner.cli.engine import EngineOption, RayAddressOption, engine_for

if TYPE_CHECKING:
    from steiner.core import Problem
    from steiner.graph import PathWriter
    from steiner.graph.path_stage import PathsSummary

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner sample --run runs/mmlu-pro --paths 50000
  steiner sample --run runs/countdown --per-question 8 --detours 1,2,2,1 --seed 7
  steiner sample --run runs/mmlu-pro --paths 50000 --mean-tokens 1600 --tokenizer models/base
"""


@app.command(epilog=EXAMPLES)
def sample(
    run: Annotated[Path, typer.Option(help="Run directory with step graphs.")],
    paths: Annotated[
        int | None, typer.Option(help="Paths in all. Questions that have too few are made up for by others.")
    ] = None,
    per_question: Annotated[
        int | None, typer.Option(help="Paths of each question, instead of --paths.")
    ] = None,
    detours: Annotated[
        str | None,
        typer.Option(help="Weights of 0, 1, 2, … detours [default: 1,2,1]; all: every one (with an order)."),
    ] = None,
    depths: Annotated[
        str | None,
        typer.Option(help="Weights of going 1, 2, 3, … steps deep in a detour [default: until stuck]."),
    ] = None,
    descents: Annotated[
        str | None,
        typer.Option(help="Weights of 1, 2, … descents in a detour, with backtracks between [default: 2,1]."),
    ] = None,
    longer_ways: Annotated[
        float, typer.Option(help="Probability that a detour may pass steps that can still reach the answer.")
    ] = 0.0,
    routes: Annotated[
        str,
        typer.Option(
            help="uniform: each route as likely; traces: as often as traces took it; value: steps that led "
            "to right answers; length: see --length-factor; novelty: steps that were not used yet."
        ),
    ] = "uniform",
    length_factor: Annotated[
        float, typer.Option(help="With --routes length: a step more makes a route so many times as likely.")
    ] = 0.5,
    mean_steps: Annotated[
        float | None,
        typer.Option(help="As many detours as make paths this long on average, instead of --detours."),
    ] = None,
    mean_tokens: Annotated[float | None, typer.Option(help="The same in tokens of reasoning.")] = None,
    tokenizer: Annotated[
        str, typer.Option(help="Folder or hub id of what counts tokens. Default: estimate them.")
    ] = "",
    order: Annotated[
        str,
        typer.Option(
            help="random; sorted: the detours from one place in the order of what they say; operands: first "
            "by the numbers that they start from."
        ),
    ] = "random",
    rotate: Annotated[
        bool, typer.Option("--rotate", help="With an order: begin at a random way on and go round.")
    ] = False,
    revisit: Annotated[
        bool, typer.Option("--revisit", help="With an order: also take steps to where the search has been.")
    ] = False,
    max_steps: Annotated[int, typer.Option(help="Most steps in a path.")] = 64,
    min_backtracks: Annotated[int, typer.Option(help="Fewest backtracks in a path.")] = 0,
    traces: Annotated[
        bool, typer.Option(help="Take traces that ended right and backtrack as they are, too.")
    ] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same paths.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
    engine: EngineOption = "local",
    ray_address: RayAddressOption = "",
    force: Annotated[
        bool, typer.Option("--force", help="Discard paths made with other settings or from other graphs.")
    ] = False,
) -> None:
    """Sample distinct reasoning paths with backtracking. Goes on where it stopped when run again."""
    from steiner.cli.ui import RichProgress
    from steiner.core import InputError, parse_settings
    from steiner.graph import SampleSettings
    from steiner.graph.path_stage import make_paths
    from steiner.store import RunDir

    if (paths is None) == (per_question is None):
        raise InputError("Say how many paths: either --paths N in all, or --per-question N.")
    values: dict[str, object] = {
        "paths": paths,
        "paths_per_question": per_question,
        "longer_ways": longer_ways,
        "routes": routes,
        "length_factor": length_factor,
        "mean_steps": mean_steps,
        "mean_tokens": mean_tokens,
        "tokenizer": tokenizer,
        "order": order,
        "rotate": rotate,
        "revisit": revisit,
        "max_steps": max_steps,
        "min_backtracks": min_backtracks,
        "include_traces": traces,
        "seed": seed,
    }
    for name, text in (("detours", detours), ("depths", depths), ("descents", descents)):
        if text is not None:
            values[name] = () if (name, text) == ("detours", "all") else weights(name, text)
    settings = parse_settings(SampleSettings, values, "steiner sample")
    RunDir(run, read_only=True).close()  # refuses what is no run directory, which the next line would create
    with RunDir(run) as held:
        summary = make_paths(
            held, settings, writer_for=writer_for, counter_for=counter_for,
            workers=engine_for(engine, workers, ray_address), force=force, progress=RichProgress(),
        )  # fmt: skip
    _print(summary)


def weights(name: str, text: str) -> tuple[float, ...]:
    """Read weights separated by commas.

    Raises:
        InputError: if one of them is no number.
    """
    from steiner.core import InputError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--{name} takes numbers separated by commas such as 1,2,1, got '{text}'."
        ) from error


def writer_for(problem: Problem) -> PathWriter:
    """Choose who puts a problem's paths into words."""
    from steiner.graph import TextWriter
    from steiner.synthesis.importers.writer24 import Game24Writer
    from steiner.teacher import CountdownWriter

    if problem.task == "game24":
        return Game24Writer(TextWriter())
    return CountdownWriter() if problem.task == "countdown" else TextWriter()


@lru_cache(maxsize=1)
def counter_for(tokenizer: str) -> Callable[[str], int]:
    """Return what counts tokens: a tokenizer, or an estimate for an empty name."""
    from steiner.graph.length import estimated_tokens

    if not tokenizer:
        return estimated_tokens
    from steiner.dataset.tokenise import load_tokenizer
    from steiner.protocol.encode import TextEncoder

    encoder = TextEncoder(load_tokenizer(tokenizer))
    return lambda text: len(encoder.encode([text])[0])


def _print(summary: PathsSummary) -> None:
    from rich.table import Table

    from steiner.cli.ui import err, out

    table = Table(title="Reasoning paths", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("paths", f"{summary.paths:,} of {summary.wanted:,}")
    table.add_row("questions", f"{summary.questions:,}")
    table.add_row("paths of a question: least, median, most", _numbers(summary.per_question))
    table.add_row("steps of a path: least, median, most", _numbers(summary.steps))
    table.add_row("steps of a path: mean", f"{summary.mean_steps:,.1f}")
    if tuning := summary.tuning:
        table.add_row("  mean length asked for", f"{tuning.asked:,.0f}")
        table.add_row("  mean number of detours for it", f"{tuning.detours:.2f}")
    if tokens := summary.tokens:
        table.add_row("tokens of reasoning of a path: mean", f"{tokens.mean:,.0f}")
        for name, number in (
            ("  4,096 of reasoning or more", tokens.reasoning_too_long),
            ("  8,192 in all or more", tokens.total_too_long),
        ):
            table.add_row(name, f"{number:,} ({number / summary.paths:.1%})")
    for count, number in sorted(summary.backtracks.items()):
        table.add_row(
            f"  with {count} backtrack{'s' * (count != 1)}", f"{number:,} ({number / summary.paths:.1%})"
        )
    for reason, number in summary.shortfalls.items():
        table.add_row(f"questions below an even share: {reason}", f"{number:,}")
    out.print(table)
    if summary.tuning and abs(summary.reached / summary.tuning.asked - 1) > 0.05:
        err.print(
            f"Paths have a mean length of {summary.reached:,.0f}, not {summary.tuning.asked:,.0f}: "
            + (
                "even those without detours are longer. --routes length prefers short ones."
                if summary.reached > summary.tuning.asked
                else "most graphs hold no more dead ends. Add traces, or ask for fewer paths."
            )
        )
    if summary.paths < summary.wanted:
        err.print(
            f"The graphs hold only {summary.paths:,} such paths, not {summary.wanted:,}: ask for fewer, "
            "allow more detours or --longer-ways, or add traces."
        )


def _numbers(values: tuple[int, int, int]) -> str:
    return ", ".join(f"{value:,}" for value in values)
