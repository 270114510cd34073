"""A server in this process: sockets, signals, and how it ends."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn

from steiner.core import InputError
from steiner.decode.shipped import RECORD, find_model, read_record
from steiner.serve.app import make_app
from steiner.serve.conversation import PromptEncoder
from steiner.serve.engines.base import Engine
from steiner.serve.settings import EngineSettings, ServeSettings

log = logging.getLogger("steiner.serve")


def load_engine(place: str, settings: EngineSettings) -> Engine:
    """Load a model into the engine that the settings name.

    Raises:
        InputError: if the model cannot be served, or the engine is not installed.
    """
    place = find_model(place)
    if settings.kind == "vllm":
        try:
            from steiner.serve.engines.vllm import VllmEngine
        except ImportError as error:
            raise InputError(
                f"the engine vllm cannot be used: {error}. vLLM needs an environment of its own, with vllm "
                "and steiner[serve] in it; see docs/serving.md."
            ) from error
        return VllmEngine.load(place, settings)
    from steiner.serve.engines.embedded import load_embedded

    return load_embedded(place, settings)


def name_of(place: str, settings: ServeSettings) -> str:
    """Return the model's name in the API."""
    return settings.name or Path(place).expanduser().name or place


def with_examples(settings: ServeSettings, place: str) -> ServeSettings:
    """Return the settings with the questions that the record of a shipped model offers, if they have none."""
    folder = Path(find_model(place)).expanduser()
    if settings.examples or not (folder / RECORD).is_file():
        return settings
    try:
        examples = read_record(folder).examples
    except InputError as error:
        # It may be somebody else's file of that name; the model can be served without.
        log.warning("The chat page offers no examples: %s", error)
        return settings
    return settings.model_copy(update={"examples": examples})


def open_socket(settings: ServeSettings) -> socket.socket:
    """Return a listening socket.

    Raises:
        InputError: if the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((settings.host, settings.port))
    except OSError as error:
        opened.close()
        raise InputError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. Choose another "
            "--host or --port."
        ) from error
    opened.listen(2048)
    return opened


class _Server(uvicorn.Server):
    """Says when it is ready."""

    on_ready: Callable[[], object] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self.on_ready()


def make_server(engine: Engine, settings: ServeSettings, name: str) -> _Server:
    """Return a server that is ready to run. SIGTERM and SIGINT let what runs come to its end."""
    app, _ = make_app(engine, settings, name)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        timeout_keep_alive=20,
        h11_max_incomplete_event_size=64 * 1024,
        ws="none",
        lifespan="on",
        backlog=2048,
    )
    return _Server(config)


def serve(place: str, settings: ServeSettings, on_ready: Callable[[int], object] = lambda _: None) -> None:
    """Load a model and serve it until a signal comes. `on_ready` is told the port.

    Raises:
        InputError: if the model or the address cannot be used.
    """
    listening = open_socket(settings)
    try:
        settings = with_examples(settings, place)
        engine = load_engine(place, settings.engine)
        PromptEncoder(engine.tokenizer).try_template()
        server = make_server(engine, settings, name_of(place, settings))
        server.on_ready = partial(on_ready, listening.getsockname()[1])
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises a signal again when it has drained; by then all is well.
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])
    finally:
        listening.close()
