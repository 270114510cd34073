"""`python -m steiner.testing`: start the server by hand."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from steiner.core import InputError, SteinerError, parse_settings
from steiner.testing.faults import Faults
from steiner.testing.settings import ServerSettings

PRESETS: dict[str, Callable[[float], Faults]] = {
    "none": lambda rate: Faults(),
    "transport": Faults.transport,
    "everything": Faults.everything,
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port; 0: any free one, printed at the start.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    model: Annotated[
        str, typer.Option(help="arithmetic, canned, echo, or package.module:attribute of your own.")
    ] = "arithmetic",
    faults: Annotated[
        str,
        typer.Option(help="none; transport: only what is met by sending the same request again; everything."),
    ] = "none",
    rate: Annotated[float, typer.Option(help="Share of replies that meet a fault of --faults.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Decides which replies meet which fault.")] = 0,
    latency_ms: Annotated[float, typer.Option(help="From request to reply.")] = 0.0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, repeatable: faults.storm_every_s=10, model.error_rate=0.5, "
            "context_tokens=4096, refuses=seed,json_schema.",
        ),
    ] = None,
    key_env: Annotated[
        str, typer.Option(help="Name of the environment variable with the key that clients must send.")
    ] = "",
    log: Annotated[Path | None, typer.Option(help="JSONL file for the bodies of all requests.")] = None,
    settings_from_stdin: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    r"""Serve /v1/chat/completions with scripted answers and seeded faults.

    Also GET /v1/models, GET /stats (?by_body=1) and POST /reset.

    \b
    Examples:
      python -m steiner.testing --port 8000
      python -m steiner.testing --faults transport --rate 0.3 --seed 1 --log requests.jsonl
      python -m steiner.testing --model canned --latency-ms 50
      python -m steiner.testing --set faults.rate_limit=0.1 --set faults.storm_every_s=10
      TEST_KEY=secret python -m steiner.testing --key-env TEST_KEY --port 0

    \b
    Then, for example:
      curl localhost:8000/v1/chat/completions \
        -d '{"messages": [{"role": "user", "content": "What is 2 + 3 * 4 - 1?"}]}'
    """
    try:
        if settings_from_stdin:
            _serve(_from_line(sys.stdin.readline()), watch_stdin=True)
            return
        if faults not in PRESETS:
            raise InputError(f"--faults must be one of {', '.join(PRESETS)}, not '{faults}'")
        values: dict[str, Any] = {
            "port": port,
            "host": host,
            "seed": seed,
            "log": log,
            "model": {"kind": "imported", "name": model} if ":" in model else {"kind": model},
            "faults": PRESETS[faults](rate).model_dump()
            | ({"latency_s": latency_ms / 1000} if latency_ms else {}),
            "api_key": _key(key_env),
        }
        for item in set_ or ():
            _assign(values, item)
        _serve(parse_settings(ServerSettings, values, "the command line"), watch_stdin=False)
    except SteinerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        typer.echo(f"error: cannot listen at {host}:{port}: {error}; choose another --port", err=True)
        raise typer.Exit(1) from None


def _serve(settings: ServerSettings, watch_stdin: bool) -> None:
    # After the options are read: aiohttp is not needed to say that one is wrong.
    from steiner.testing.run import serve_until

    async def run() -> None:
        stop = asyncio.Event()
        if watch_stdin:
            threading.Thread(
                target=_wait_for_end, args=(asyncio.get_running_loop(), stop), daemon=True
            ).start()
        await serve_until(settings, _ready, stop)

    asyncio.run(run())


def _wait_for_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the other end of the standard input is closed: whoever started this server has ended."""
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _ready(base_url: str) -> None:
    typer.echo(base_url)
    sys.stdout.flush()


def _from_line(line: str) -> ServerSettings:
    return ServerSettings.model_validate_json(line)


def _key(variable: str) -> str:
    if not variable:
        return ""
    if not os.environ.get(variable):
        raise InputError(f"the environment variable {variable} of --key-env is not set; set it to the key")
    return os.environ[variable]


def _assign(values: dict[str, Any], item: str) -> None:
    """Put `a.b=value` into nested values; numbers and lists are left to the settings to read."""
    match = re.fullmatch(r"([\w.]+)=(.*)", item)
    if match is None:
        raise InputError(f"--set takes NAME=VALUE, for example faults.drip=0.1, not '{item}'")
    *path, last = match[1].split(".")
    place = values
    for part in path:
        place = place.setdefault(part, {})
    place[last] = match[2].split(",") if last == "refuses" else match[2]


if __name__ == "__main__":
    app(prog_name="python -m steiner.testing")
