"""ASGI responses: an event stream that notices when its client leaves, and bodies read within limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from starlette.responses import Response

from steiner.serve.errors import ApiError, failed
from steiner.serve.settings import RequestLimits

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

log = logging.getLogger("steiner.serve")
Result = TypeVar("Result")

ABORT = "steiner.abort"
"""Key of a scope: closes the connection without waiting for what is still to be written."""
SEND = "steiner.send"
"""Key of a scope: the server's own `send`, for chunks: each layer around it costs a microsecond."""


class ClientLeft(Exception):  # noqa: N818 (no error: it happens)
    """Nobody is there any more to answer."""


async def read_body(request: Request, limits: RequestLimits) -> bytes:
    """Return a request's body.

    Raises:
        ApiError: 413 if it is too large, 408 if it is too slow.
        ClientLeft: if it ends before its end.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.body_bytes:
        raise _too_large(limits)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body_bytes:
                    raise _too_large(limits)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise ApiError(
            408,
            f"The body of the request did not come within {limits.body_seconds:g} s.",
            code="request_timeout",
            headers={"Connection": "close"},
        ) from None


def _too_large(limits: RequestLimits) -> ApiError:
    return ApiError(
        413,
        f"The body of a request may have at most {limits.body_bytes:,} bytes.",
        code="request_too_large",
        headers={"Connection": "close"},
    )


async def watched(receive: Receive, work: Awaitable[Result]) -> Result:
    """Await work, unless the client leaves, which cancels it.

    Raises:
        ClientLeft: if it does.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class JsonReply(Response):
    """JSON by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return orjson.dumps(content)


class EventReply(Response):
    """Server-sent events.

    The stream is closed, which frees its places in the engine, as soon as the client leaves or takes nothing
    for `write_seconds`.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        write_seconds: float,
        on_end: Callable[[int], None],
    ) -> None:
        """Prepare a reply; `on_end` is told the status in the end: 200, 500, or 499 if the client left."""
        self.status_code = 200
        self.background = None
        self.body = b""
        self.raw_headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        self._events = events
        self._patience = write_seconds
        self._on_end = on_end
        self._sending_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        status = 499
        try:
            status = await watched(receive, self._send(send, scope))
        except ClientLeft:
            pass
        finally:
            await self._events.aclose()
            self._on_end(status)

    async def _send(self, send: Send, scope: Scope) -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        stalled = False
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer, stalled
            since = self._sending_since
            if since is not None and loop.time() - since > self._patience:
                stalled = True
                task.cancel()
                return
            timer = loop.call_later(self._patience / 4, look)

        timer = loop.call_later(self._patience / 4, look)
        try:
            return await self._send_all(send, scope.get(SEND, send), loop)
        except asyncio.CancelledError:
            if stalled:
                scope.get(ABORT, lambda: None)()
                raise ClientLeft from None
            raise
        finally:
            timer.cancel()

    async def _send_all(self, send: Send, send_body: Send, loop: asyncio.AbstractEventLoop) -> int:
        status = 200

        async def put(message: dict[str, Any]) -> None:
            self._sending_since = loop.time()
            await send(message)
            self._sending_since = None

        await put({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._events) as events:
            try:
                async for event in events:
                    self._sending_since = loop.time()
                    await send_body({"type": "http.response.body", "body": event, "more_body": True})
                    self._sending_since = None
            except Exception as error:
                if not isinstance(error, ApiError):
                    log.exception("a stream failed")
                    error = failed()
                status = error.status
                body = b"data: " + orjson.dumps(error.body()) + b"\n\n"
                await put({"type": "http.response.body", "body": body, "more_body": True})
        await put({"type": "http.response.body", "body": b"", "more_body": False})
        return status
