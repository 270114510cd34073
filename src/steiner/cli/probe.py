"""`steiner probe`: is what an endpoint bills written one token after another?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from steiner.probe.records import Series
    from steiner.probe.run import Price, Target
    from steiner.store import Journal

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner probe --base-url http://localhost:8000/v1 --model Qwen/Qwen3-8B --output runs/probe
  steiner probe --model o3-mini --max-tokens-name max_completion_tokens --budget-usd 2 --output runs/probe
  steiner probe --model gpt-5-mini --model gpt-5-nano --budget-usd 1 --output runs/two
"""


@app.command(epilog=EXAMPLES)
def probe(
    model: Annotated[list[str], typer.Option(help="Model at the endpoint; may be given several times.")],
    output: Annotated[Path, typer.Option(help="Folder for journal and report; series add up in it.")],
    base_url: Annotated[
        str, typer.Option(help="Everything before /chat/completions.")
    ] = "https://api.openai.com/v1",
    key_env: Annotated[str, typer.Option(help="Environment variable that holds the key.")] = "OPENAI_API_KEY",
    label: Annotated[str | None, typer.Option(help="Name of the series. Default: the model's.")] = None,
    requests: Annotated[int, typer.Option(help="Requests a model, without the warm-up.")] = 60,
    warmup: Annotated[int, typer.Option(help="Requests before, which do not count.")] = 3,
    repeats: Annotated[int, typer.Option(help="Requests of the same length.")] = 2,
    shortest: Annotated[int, typer.Option(help="Tokens of the shortest answer, about.")] = 30,
    longest: Annotated[int, typer.Option(help="Tokens of the longest answer, about.")] = 3000,
    prompts: Annotated[str, typer.Option(help="mixed, prose or puzzle.")] = "mixed",
    n: Annotated[
        int,
        typer.Option("--n", help="Completions a request, billed together: what parallel work looks like."),
    ] = 1,
    exact: Annotated[
        bool, typer.Option("--exact", help="Cut answers off at their length, for models that do not keep it.")
    ] = False,
    temperature: Annotated[float | None, typer.Option(help="Default: the endpoint's.")] = None,
    extra: Annotated[
        str | None, typer.Option(help='Further fields of the body as JSON: \'{"reasoning_effort": "low"}\'.')
    ] = None,
    max_tokens_name: Annotated[str, typer.Option(help="max_tokens or max_completion_tokens.")] = "max_tokens",
    budget_usd: Annotated[
        float | None,
        typer.Option(min=0, help="No request is sent that might go beyond this, for the folder."),
    ] = None,
    price_input: Annotated[
        float | None, typer.Option(help="US dollars per million tokens of prompts.")
    ] = None,
    price_output: Annotated[float | None, typer.Option(help="The same of replies.")] = None,
    seed: Annotated[int, typer.Option(help="Of prompts, their order and the intervals.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Begin the series anew.")] = False,
) -> None:
    """Measure seconds against tokens, and say whether work behind the API is parallel.

    Requests go out one at a time, of lengths over two decades in random order. The verdict is linear,
    sub-linear or inconclusive; then it says how many more requests would settle it. Run it again to go on,
    or with another model to overlay it.
    """
    from steiner.cli.ui import err
    from steiner.probe.run import BudgetReached, prepare, spent_so_far
    from steiner.store import RunDir

    targets = _targets(
        model, label, n,
        {"base_url": base_url, "key_env": key_env, "max_tokens_name": max_tokens_name,
         "extra_body": read_extra(extra)},
        {"requests": requests, "warmup": warmup, "repeats": repeats, "shortest": shortest, "longest": longest,
         "prompts": prompts, "branches": n, "exact": exact,
         "temperature": temperature, "seed": seed},
    )  # fmt: skip
    prices = {target.label: _price(target, price_input, price_output, budget_usd) for target in targets}
    stopped: BudgetReached | None = None
    with RunDir(output) as run:
        for target in targets:
            prepare(run.journal, target, force)
        try:
            _send(run.journal, targets, prices, budget_usd)
        except BudgetReached as reached:
            stopped = reached
        finally:
            series = read_series(run.journal)
            paths = _write(series, output)
        if any(prices.values()):
            err.print(f"Spent so far: ${spent_so_far(run.journal):,.4f}", markup=False)
    _print(series, paths)
    if stopped is not None:
        raise stopped


def read_extra(text: str | None) -> dict[str, Any]:
    """Read --extra.

    Raises:
        InputError: it is no JSON object.
    """
    import json

    from steiner.core import InputError

    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"--extra takes a JSON object: {error}.") from error
    if not isinstance(value, dict):
        raise InputError('--extra takes a JSON object such as {"reasoning_effort": "low"}.')
    return value


def _targets(
    models: list[str], label: str | None, n: int, address: dict[str, Any], plan: dict[str, Any]
) -> list[Target]:
    from steiner.core import InputError, parse_settings
    from steiner.probe.records import ProbeSettings
    from steiner.probe.run import Target
    from steiner.teacher.chat import Endpoint

    if label is not None and len(models) > 1:
        raise InputError("--label names one series: give one --model, or leave --label out.")
    settings = parse_settings(ProbeSettings, plan, "steiner probe")
    suffix = f" n={n}" if n > 1 else ""
    return [
        Target(
            label=label or f"{name}{suffix}",
            endpoint=parse_settings(Endpoint, {**address, "model": name}, "steiner probe"),
            settings=settings,
        )
        for name in dict.fromkeys(models)
    ]


def _price(
    target: Target, price_input: float | None, price_output: float | None, budget: float | None
) -> Price | None:
    from steiner.core import InputError
    from steiner.probe.run import Price
    from steiner.synthesis.prices import find_prices

    endpoint = target.endpoint
    found = find_prices(endpoint.model, endpoint.base_url, given_input=price_input, given_output=price_output)
    if found is None and budget is not None:
        raise InputError(
            f"The price of '{endpoint.model}' is not known, so --budget-usd cannot be kept: give "
            "--price-input and --price-output in US dollars per million tokens."
        )
    return None if found is None else Price(prompt=found.input, completion=found.output)


def _send(
    journal: Journal, targets: list[Target], prices: dict[str, Price | None], budget_usd: float | None
) -> None:
    import asyncio

    from steiner.cli.ui import RichProgress
    from steiner.probe.run import run_probe

    progress = RichProgress()
    try:
        asyncio.run(run_probe(journal, targets, prices, budget_usd, progress))
    finally:
        progress.finish()


def read_series(journal: Journal) -> list[Series]:
    """Fit and judge all series of a folder."""
    from steiner.probe.analyse import make_series
    from steiner.probe.run import read_measurements, read_targets

    return [
        make_series(
            target.label, target.endpoint.base_url, target.endpoint.model, target.settings,
            read_measurements(journal, target),
        )
        for target in read_targets(journal)
    ]  # fmt: skip


def _write(series: list[Series], output: Path) -> tuple[Path, ...]:
    from steiner.probe.report import write_report

    return write_report(tuple(series), output)


def _print(series: list[Series], paths: tuple[Path, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    from steiner.cli.ui import out
    from steiner.probe.report import estimate_text, notes_of

    table = Table("series", "verdict", "replies", "p of a + b·tokens^p", "1000·b, s", "pace")
    for each in series:
        fits = each.fits
        slope = "–" if fits is None else f"{1000 * fits.line_slope.value:.2f}"
        table.add_row(
            Text(each.label), each.verdict.kind.value, str(0 if fits is None else fits.n),
            estimate_text(None if fits is None else fits.curve_power), slope,
            estimate_text(each.verdict.pace),
        )  # fmt: skip
    out.print(table)
    for each in series:
        out.print(Text(f"{each.label}: {each.verdict.text}"))
        for note in notes_of(each):
            out.print(Text(f"  {note}"))
    out.print(Text("Report: " + ", ".join(map(str, paths))))
