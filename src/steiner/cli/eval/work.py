"""What `steiner eval` does: load, ask, save, and print what came of it."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steiner.core import InputError, SteinerError, StepBudget, parse_settings

if TYPE_CHECKING:
    from steiner.cli.eval.endpoint import EndpointAsker
    from steiner.cli.eval.local import LocalAsker
    from steiner.evaluate.benchmarks import Loaded
    from steiner.evaluate.inspect_run import BenchmarkRun
    from steiner.evaluate.saved import SavedEvaluation

FOLDER = "benchmarks"
"""Below the run directory; one folder per benchmark, with the logs of inspect-ai."""
SAVED = "evaluation.json"


class Options(NamedTuple):
    """The command line."""

    target: str
    benchmarks: list[str]
    data: list[str]
    run: Path
    model: str | None
    key_env: str
    limit: int | None
    rows: str
    epochs: int
    seed: int
    temperature: float | None
    max_tokens: int
    min_steps: int
    max_steps: int | None
    max_reasoning_tokens: int | None
    control: str
    system: str
    template: str
    keep_choices: bool
    skip_bad: bool
    question_column: str | None
    answer_column: str | None
    concurrency: int
    engine_process: bool | None
    budget_usd: float | None
    price_input: float | None
    price_output: float | None
    display: str

    @property
    def remote(self) -> bool:
        """Whether the target is an address."""
        return self.target.startswith(("http://", "https://"))


class Failed(SteinerError):  # noqa: N818 - what happened to the run, no error of the program
    """Some questions have no answer."""


def run_benchmarks(options: Options) -> None:
    """Answer the benchmarks one after the other and print a line for each.

    Raises:
        Failed: if some questions have no answer; the same command asks them again.
        BudgetReached: if the budget was used up.
    """
    from steiner.cli.ui import err

    _check_installed()
    budget = _budget(options)
    # All are loaded before anything is asked: a wrong file is found out at once.
    loaded = [_load(name, options) for name in options.benchmarks]
    for one in loaded:
        for warning in one.warnings:
            err.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    runs: list[BenchmarkRun] = []
    with _asker(options, budget) as (name, asker):
        for one in loaded:
            runs.append(_one(one, name, options, budget, asker))
            _print(runs[-1], options)
        stopped = asker.stopped
    if stopped is not None:
        raise stopped
    errors = sum(one.counts.errors for one in runs)
    if errors:
        raise Failed(
            f"{errors:,} questions have no answer; the reasons are in the logs: inspect view --log-dir "
            f"{options.run / FOLDER}. Run the same command again to ask them again."
        )


def _one(
    loaded: Loaded, name: str, options: Options, budget: StepBudget, asker: LocalAsker | EndpointAsker
) -> BenchmarkRun:
    from steiner.evaluate.inspect_provider import hand_in
    from steiner.evaluate.inspect_run import check_settings, limits_of, run_task
    from steiner.evaluate.inspect_task import generation, make_task
    from steiner.evaluate.saved import save

    folder = options.run / FOLDER / loaded.benchmark.name.replace(":", "-")
    limits = limits_of(budget) | ({"control": options.control} if options.control != "strict" else {})
    check_settings(
        folder,
        {
            "model": name, "questions": loaded.version, "asked": len(loaded.problems),
            "epochs": options.epochs, "seed": options.seed, "temperature": options.temperature,
            "max_tokens": options.max_tokens, "limits": limits, "system": options.system,
            "template": options.template,
        },
    )  # fmt: skip
    # A local model finds its next questions waiting, while those that it has answered are graded and logged.
    at_once = options.concurrency * (1 if options.remote else 2)
    task = make_task(
        loaded, seed=options.seed, epochs=options.epochs, system=options.system, template=options.template
    )
    config = generation(temperature=options.temperature, max_tokens=options.max_tokens, limits=limits)
    started = time.monotonic()
    done = run_task(task, hand_in(name, asker), config, folder, at_once=at_once, display=options.display)
    if done.samples:
        seconds = time.monotonic() - started
        save(saved_evaluation(done, name, options, budget, loaded.benchmark.name, seconds), folder / SAVED)
    return done


def saved_evaluation(
    done: BenchmarkRun, name: str, options: Options, budget: StepBudget, benchmark: str, seconds: float
) -> SavedEvaluation:
    """Return the graded samples as `steiner evaluate` saves them, to compare runs."""
    from steiner.cli.circumstances import circumstances
    from steiner.evaluate.metrics import curve_point
    from steiner.evaluate.saved import SavedEvaluation

    others = budget.model_copy(update={"max_steps": None, "max_reasoning_tokens": None})
    return SavedEvaluation(
        model=name,
        run=str(options.run),
        stage=benchmark,
        temperature=options.temperature if options.temperature is not None else 1.0,
        seed=options.seed,
        max_reasoning_tokens=budget.max_reasoning_tokens,
        other_limits=others,
        seconds=seconds,
        curve=(curve_point(done.samples, budget.max_steps, options.seed),),
        samples=done.samples,
        questions=done.questions,
        written=done.written,
        circumstances=circumstances(),
    )


def _check_installed() -> None:
    if importlib.util.find_spec("inspect_ai") is None:
        raise InputError("Benchmarks run on inspect-ai, which is not installed: pip install 'steiner[eval]'.")


def _budget(options: Options) -> StepBudget:
    from steiner.cli.generate import check_mode, make_budget

    budget = make_budget(
        min_steps=options.min_steps,
        max_steps=options.max_steps,
        max_reasoning_tokens=options.max_reasoning_tokens,
    )
    check_mode(options.control, [budget])
    return budget


def _load(name: str, options: Options) -> Loaded:
    from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark

    benchmark = find_benchmark(name)
    values: dict[str, Any] = {
        "data": data_for(name, options.data, len(options.benchmarks)),
        "seed": options.seed,
        "limit": options.limit,
        "rows": options.rows,
        "keep_choices": options.keep_choices,
        "skip_bad": options.skip_bad,
        "question_column": options.question_column,
        "answer_column": options.answer_column,
    }
    return load_benchmark(benchmark, parse_settings(DataOptions, values, "steiner eval"))


def data_for(name: str, data: list[str], benchmarks: int) -> tuple[str, ...]:
    """Return the files or hub id of a benchmark: those named NAME=…, and all unnamed ones if it is the only.

    Raises:
        InputError: if a file is not said to belong to one of several benchmarks.
    """
    named = [item.partition("=")[2] for item in data if item.startswith(f"{name}=")]
    unnamed = [item for item in data if "=" not in item]
    if unnamed and benchmarks > 1:
        raise InputError(f"Which benchmark is {unnamed[0]} of? With several, give --data NAME={unnamed[0]}.")
    return (*named, *unnamed)


@contextmanager
def _asker(options: Options, budget: StepBudget) -> Iterator[tuple[str, LocalAsker | EndpointAsker]]:
    """Hold the run directory and make whoever answers; close both at the end."""
    from steiner.store import RunDir

    with ExitStack() as stack:
        if not options.remote:  # an endpoint's asker holds it itself
            stack.enter_context(RunDir(options.run))
        name, asker = _remote(options, budget) if options.remote else _local(options)
        stack.callback(asker.close)
        yield name, asker


def _local(options: Options) -> tuple[str, LocalAsker]:
    from steiner.cli.eval.local import LocalAsker

    if options.budget_usd is not None:
        raise InputError("A local model costs nothing: --budget-usd is for endpoints.")
    return options.target, LocalAsker.load(
        options.target, options.concurrency, process=options.engine_process
    )


def _remote(options: Options, budget: StepBudget) -> tuple[str, EndpointAsker]:
    from steiner.cli.eval.endpoint import EndpointAsker, served_model
    from steiner.cli.ui import err
    from steiner.evaluate.inspect_run import limits_of
    from steiner.synthesis.money import Budget
    from steiner.synthesis.prices import find_prices, require_prices
    from steiner.teacher.chat.client import ClientLimits
    from steiner.teacher.chat.types import Endpoint

    model = options.model or served_model(options.target, os.environ.get(options.key_env))
    values = {
        "base_url": options.target,
        "model": model,
        "key_env": options.key_env,
        "extra_body": limits_of(budget),
    }
    endpoint = parse_settings(Endpoint, values, "steiner eval")
    prices = find_prices(
        model, endpoint.base_url, given_input=options.price_input, given_output=options.price_output
    )
    if options.budget_usd is not None:
        prices = require_prices(prices, model)
    limits = ClientLimits(
        concurrency=options.concurrency, start_concurrency=min(options.concurrency, 16), total_timeout=3600
    )
    asker = EndpointAsker(options.run, endpoint, limits, Budget(options.budget_usd, None, prices), err.print)
    return f"{model}@{endpoint.base_url.partition('://')[2]}", asker


def _print(done: BenchmarkRun, options: Options) -> None:
    from rich.table import Table

    from steiner.cli.ui import out
    from steiner.evaluate.metrics import curve_point
    from steiner.evaluate.wording import interval, percent

    counts = done.counts
    if not done.samples:
        out.print(f"{done.name}: no question was answered.")
        return
    point = curve_point(done.samples, options.max_steps, options.seed)
    table = Table(show_header=False, title=done.name, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    rows = [
        ("accuracy", percent(point.accuracy)),
        ("95% interval", interval(point.low, point.high)),
        ("questions", f"{point.n:,}"),
        ("completions", f"{counts.done:,}"),
        *((f"  {name}", percent(share)) for name, share in done.subsets.items() if len(done.subsets) < 30),
        ("steps, mean", f"{point.mean_steps:.1f}"),
        ("backtracks, mean", f"{sum(s.backtracks for s in done.samples) / len(done.samples):.1f}"),
        ("reasoning tokens, mean", f"{point.mean_reasoning_tokens:,.0f}"),
        ("reasoning never ended", f"{counts.unclosed:,}"),
        ("  answer forced", f"{counts.forced:,}"),
        ("cut at the token limit", f"{counts.cut:,}"),
        ("without an answer (errors)", f"{counts.errors:,}"),
    ]
    for row in rows:
        table.add_row(*row)
    out.print(table)
    out.print(f"Log: {done.log}", soft_wrap=True)
