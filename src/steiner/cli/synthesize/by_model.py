"""A language model as the teacher: options and a TOML file become settings, then the run or the estimate."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from steiner.core import InputError, Settings, parse_settings
from steiner.synthesis.llm_stage import LlmRun, LlmSynthesisSettings
from steiner.teacher.chat.client import ClientLimits
from steiner.teacher.chat.types import Endpoint

if TYPE_CHECKING:
    from steiner.synthesis.prices import Prices


class Options(NamedTuple):
    """What was given on the command line; None where it was not."""

    model: str | None
    base_url: str | None
    key_env: str | None
    plan: dict[str, Any]
    temperature: float | None
    language: str | None
    shares: list[str] | None
    prompts: Path | None
    concurrency: int | None
    budget_usd: float | None
    max_tokens_total: int | None
    price_input: float | None
    price_output: float | None
    prices: Path | None
    config: Path | None


class SynthesisFile(Settings):
    """The file given by `--config`: a table for each of these."""

    endpoint: dict[str, Any] = Field(default_factory=dict)
    """Keys of `Endpoint`."""
    limits: ClientLimits = ClientLimits()
    synthesis: dict[str, Any] = Field(default_factory=dict)
    """Keys of `LlmSynthesisSettings`."""


def load_problems(
    run: Path,
    files: Sequence[Path],
    preset: str | None,
    question_column: str | None,
    answer_column: str | None,
    limit: int | None,
    *,
    force: bool,
) -> None:
    """Load question files into the run, as `steiner problems file` does; nothing happens if it holds them."""
    from steiner.cli.ui import RichProgress
    from steiner.problems.files import FileSettings
    from steiner.problems.source import file_source, write_problems
    from steiner.store import RunDir

    values = {
        "files": [path.name for path in files],
        "preset": preset,
        "question_column": question_column,
        "answer_column": answer_column,
        "limit": limit,
    }
    given = {name: value for name, value in values.items() if value is not None}
    settings = parse_settings(FileSettings, given, "steiner synthesize")
    with RunDir(run) as held:
        write_problems(held, file_source(list(files), settings), force=force, progress=RichProgress())


def dry_run(path: Path, options: Options) -> None:
    """Print what a run would take; nothing is sent."""
    from steiner.cli.synthesize.tables import estimate_table
    from steiner.cli.ui import out
    from steiner.store import RunDir
    from steiner.synthesis.estimate import estimate

    with RunDir(path, read_only=True) as run:
        given = llm_run(options)
        dry = estimate(run, given)
    title = f"{given.endpoint.model} on {dry.questions:,} questions of {path}: typical, low and worst case"
    out.print(estimate_table(dry, title))
    for line in dry.assumptions:
        out.print(f"  {line}")
    if given.budget.prices is None:
        out.print(
            f"The price of '{given.endpoint.model}' is not known: give --price-input and --price-output in "
            "US dollars per million tokens to see the cost."
        )
    out.print("Nothing was sent.")


def synthesize(path: Path, options: Options, *, force: bool, retry_failed: bool) -> None:
    """Write the traces of a run, print what came of them, and say why if not all are done."""
    from steiner.cli.synthesize.tables import spent_line, yield_table
    from steiner.cli.ui import RichProgress, err, out
    from steiner.store import RunDir
    from steiner.synthesis.llm_stage import synthesise_with_llm

    given = llm_run(options)
    RunDir(path, read_only=True).close()  # refuses what is no run directory, which the next line would create
    with RunDir(path) as run:
        total, report = synthesise_with_llm(
            run, given, force=force, retry_failed=retry_failed, progress=RichProgress(), notice=err.print
        )
    out.print(yield_table(total, str(path)))
    out.print(spent_line(report))
    if report.stopped is not None:
        raise report.stopped


def llm_run(options: Options) -> LlmRun:
    """Put the command line and the configuration file together; the command line wins.

    Raises:
        InputError: if a setting is wrong or none says which model to call.
    """
    from steiner.synthesis.money import Budget
    from steiner.teacher.llm.templates import load_prompts

    file = _read(options.config)
    source = "steiner synthesize" if options.config is None else f"steiner synthesize and {options.config}"
    named = {"model": options.model, "base_url": options.base_url, "key_env": options.key_env}
    address = file.endpoint | {name: value for name, value in named.items() if value is not None}
    if "model" not in address:
        raise InputError(
            f"Which model is to be called? Give --model, or set model under [endpoint] in {options.config}."
        )
    endpoint = parse_settings(Endpoint, address, source)
    settings = parse_settings(LlmSynthesisSettings, _synthesis(options, file.synthesis), source)
    limits = file.limits
    if options.concurrency is not None:
        changed = limits.model_dump() | {
            "concurrency": options.concurrency,
            "start_concurrency": min(limits.start_concurrency, options.concurrency),
        }
        limits = parse_settings(ClientLimits, changed, source)
    budget = Budget(options.budget_usd, options.max_tokens_total, _prices(options, endpoint))
    return LlmRun(settings, endpoint, limits, budget, load_prompts(options.prompts))


def _read(path: Path | None) -> SynthesisFile:
    if path is None:
        return SynthesisFile()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}.") from error
    return parse_settings(SynthesisFile, values, str(path))


def _synthesis(options: Options, file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the synthesis, the command line before the file."""
    values = {**file, **options.plan}
    if options.temperature is not None:
        values["teacher"] = {**file.get("teacher", {}), "attempt_temperature": options.temperature}
    if options.language is not None:
        values["language"] = options.language
        values.setdefault("shares", {})  # a language that was asked for is meant for all questions
    if options.shares is not None:
        values["shares"] = _shares(options.shares)
    return values


def _shares(pairs: Sequence[str]) -> dict[str, float]:
    shares = {}
    for pair in pairs:
        language, _, number = pair.partition("=")
        try:
            shares[language] = float(number)
        except ValueError:
            raise InputError(
                f"--share {pair}: give a language and a share of the questions, such as zh=0.1."
            ) from None
    return shares


def _prices(options: Options, endpoint: Endpoint) -> Prices | None:
    from steiner.synthesis.prices import find_prices, require_prices

    prices = find_prices(
        endpoint.model,
        endpoint.base_url,
        given_input=options.price_input,
        given_output=options.price_output,
        table=options.prices,
    )
    return prices if options.budget_usd is None else require_prices(prices, endpoint.model)
