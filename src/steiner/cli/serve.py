"""`steiner serve`: an OpenAI-compatible server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steiner.core import InputError
from steiner.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from steiner.serve.settings import ServeSettings

app = typer.Typer(add_completion=False)

EXAMPLES = """
\b
Examples:
  steiner serve
  steiner serve runs/quickstart/rl/model
  steiner serve MODEL --host 0.0.0.0 --api-key-file key.txt --allow-host chat.example
  steiner serve MODEL --engine vllm --effort high=8..32 --reasoning summaries
  steiner serve MODEL --config serve.toml
"""


@app.command(epilog=EXAMPLES)
def serve(
    model: Annotated[
        str | None,
        typer.Argument(help=f"Model folder, hub id, or name in `steiner models`. Default: {DEFAULT_MODEL}."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: 8000.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model. Default: its folder's.")] = None,
    engine: Annotated[str | None, typer.Option(help="transformers or vllm.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cuda:1.")] = None,
    engine_process: Annotated[
        bool | None,
        typer.Option(
            "--engine-process/--no-engine-process",
            help="Engine in a process of its own. Default: on a CPU with more than one core.",
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Completions written at once.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Completions accepted at once; more get status 429.")
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File with the key that clients must send. Or set STEINER_API_KEY.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name that the server answers to besides its address.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Web pages that may use the server, as https://chat.example.")
    ] = None,
    control: Annotated[str | None, typer.Option(help="strict, report or off, unless a request says.")] = None,
    reasoning: Annotated[str | None, typer.Option(help="full, summaries or hidden, likewise.")] = None,
    history: Annotated[str | None, typer.Option(help="keep, summaries or drop, likewise.")] = None,
    effort: Annotated[
        list[str] | None,
        typer.Option(help="WORD for requests without one, or WORD=MIN..MAX for the steps that a word means."),
    ] = None,
    announce: Annotated[
        bool, typer.Option("--announce", help="Tell the model a request's limits in its system message.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="System message of chats that bring none.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any setting; options go first.")] = None,
) -> None:
    """Serve a model to OpenAI clients, and a chat page at /. Ctrl-C lets running requests end."""
    default, ranges = _efforts(effort or [])
    given = {
        "host": host,
        "port": port,
        "name": name,
        "concurrency": concurrency,
        "api_key": _key(api_key_file),
        "hosts": allow_host,
        "origins": allow_origin,
        "control": control,
        "reasoning": reasoning,
        "history": history,
        "effort": default,
        "efforts": ranges or None,
        "announce": announce or None,
        "system_prompt": system,
    }
    settings = read_settings(
        config,
        given,
        {"kind": engine, "device": device, "process": engine_process, "batch": batch},
    )
    from steiner.cli.common import named_model
    from steiner.serve.run import name_of, serve

    place = named_model(model, "steiner serve MODEL")

    def ready(port: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        where = f"http://{host}:{port}"
        typer.echo(f"Serving {name_of(place, settings)} at {where} (Ctrl-C stops it).", err=True)

    typer.echo(f"Loading {place} …", err=True)
    serve(place, settings, ready)


def read_settings(config: Path | None, given: dict[str, Any], engine: dict[str, Any]) -> ServeSettings:
    """Return the settings of a file, overridden by options that are not None.

    Raises:
        InputError: if the file cannot be read or a value is wrong.
    """
    import tomllib

    from steiner.core.settings import parse_settings
    from steiner.serve.settings import ServeSettings

    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise InputError(f"the settings in '{config}' cannot be read: {error}") from error
    values |= {key: value for key, value in given.items() if value is not None}
    changes = {key: value for key, value in engine.items() if value is not None}
    if changes:
        values["engine"] = {**values.get("engine", {}), **changes}
    return parse_settings(ServeSettings, values, str(config or "steiner serve"))


def _key(file: Path | None) -> str | None:
    """Return the API key of a file or the environment. Not of the command line: others can read it."""
    import os

    if file is None:
        return os.environ.get("STEINER_API_KEY") or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the key in '{file}' cannot be read: {error}") from error
    if not key:
        raise InputError(f"the file '{file}' holds no key")
    return key


def _efforts(given: list[str]) -> tuple[str | None, dict[str, dict[str, int]]]:
    """Read WORD and WORD=MIN..MAX."""
    default: str | None = None
    ranges: dict[str, dict[str, int]] = {}
    for one in given:
        word, equals, steps = one.partition("=")
        if not equals:
            default = word
            continue
        least, dots, most = steps.partition("..")
        if not dots or not least.isdigit() or not (most.isdigit() or not most):
            raise InputError(f"--effort takes WORD or WORD=MIN..MAX, for example high=8..32. Got '{one}'.")
        ranges[word] = {"min_steps": int(least), **({"max_steps": int(most)} if most else {})}
    return default, ranges
