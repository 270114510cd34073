"""Run a server in the running event loop, or a process for one."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from steiner.core import StorageError
from steiner.testing.app import ChatServer
from steiner.testing.settings import ServerSettings

BACKLOG = 8_192
"""Connections that may wait for being accepted; the kernel's own limit may be lower."""
LARGEST_BODY = 64 * 1024**2
KEEP_ALIVE_S = 600.0


@contextlib.asynccontextmanager
async def running(settings: ServerSettings) -> AsyncIterator[tuple[ChatServer, str]]:
    """Serve in the running event loop; give the server and its base URL.

    Raises:
        StorageError: the log cannot be written.
        OSError: the port is taken.
    """
    try:
        chat = ChatServer(settings)
    except OSError as error:
        raise StorageError(f"the request log cannot be written: {error}; choose another file") from error
    loop = asyncio.get_running_loop()

    def make_request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LARGEST_BODY)

    server = web.Server(
        chat.handle,
        request_factory=make_request,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_S,
    )
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG).start()
        port = runner.addresses[0][1]
        yield chat, f"http://{settings.host}:{port}/v1"
    finally:
        await runner.cleanup()
        chat.close()


async def serve_until(settings: ServerSettings, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set, or SIGINT or SIGTERM comes; tell `ready` the base URL once it listens."""
    raise_file_limit()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows, nor outside the main thread; there only `stop` ends it.
        with contextlib.suppress(NotImplementedError, ValueError):
            loop.add_signal_handler(number, stop.set)
    async with running(settings) as (_, base_url):
        ready(base_url)
        await stop.wait()


def raise_file_limit() -> None:
    """Allow as many open connections as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
