"""A small real server with one behaviour per test, and what clients of it are made of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from steiner.teacher.chat import ChatFailure, ChatRequest, Endpoint, Message, Reply
from steiner.teacher.chat.client import ChatClient, ClientLimits, ClientStats

KEY = "sk-test-0123456789abcdefKEYKEYKEY"
QUICK = ClientLimits(backoff_seconds=0.01, total_timeout=20, idle_timeout=5)

Behaviour = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
"""Takes a request and how many came before it."""


class Served:
    """A running server: its address and what it was asked."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.open = 0
        self.most_open = 0
        self._behaviour = behaviour

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and behave."""
        before = len(self.bodies)
        self.bodies.append(orjson.loads(await request.read()))
        self.headers.append(dict(request.headers))
        self.times.append(asyncio.get_running_loop().time())
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self._behaviour(request, before)
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[Served]:
    """Run a server on a free port of this machine."""
    served = Served(behaviour)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", served.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    port = runner.addresses[0][1]
    served.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield served
    finally:
        await runner.cleanup()


def endpoint(served: Served, **more: Any) -> Endpoint:
    return Endpoint(base_url=served.url, model="m", key_env="STEINER_TEST_KEY", **more)


def request(text: str = "How much is 6 * 7?", **more: Any) -> ChatRequest:
    return ChatRequest(kind="draft", messages=(Message(role="user", content=text),), max_tokens=100, **more)


def reply_value(text: Any = "42", finish: Any = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def good(text: str = "42") -> web.Response:
    return web.Response(body=orjson.dumps(reply_value(text)), content_type="application/json")


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
    body = orjson.dumps({"error": {"message": message, "type": "some_error", **more}})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def events(*values: Any, done: bool = True) -> bytes:
    parts = [b"data: " + orjson.dumps(value) + b"\n\n" for value in values]
    return b"".join(parts) + (b"data: [DONE]\n\n" if done else b"")


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


USAGE_EVENT = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}


async def reset(http: web.Request, before: int) -> web.StreamResponse:
    """Drop the connection in the middle of a reply."""
    body = orjson.dumps(reply_value("x" * 4000))
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": str(len(body))}
    )
    await response.prepare(http)
    await response.write(body[:2000])
    await asyncio.sleep(0.02)
    http.transport.abort()
    return response


async def half_stream(http: web.Request, before: int) -> web.StreamResponse:
    """End a stream in good order but without its end."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(http)
    await response.write(events(delta(content="four ty"), done=False) + b'data: {"choices": [{"del')
    return response


async def hang_up(http: web.Request, before: int) -> web.StreamResponse:
    http.transport.abort()
    return web.Response()


class Outcome:
    """What calls of one server gave."""

    def __init__(self, served: Served, results: list[Any], stats: ClientStats, told: list[str]) -> None:
        self.served = served
        self.results = results
        self.stats = stats
        self.told = told

    @property
    def reply(self) -> Reply:
        """The only reply."""
        (reply,) = self.results
        assert isinstance(reply, Reply), reply
        return reply

    @property
    def failure(self) -> ChatFailure:
        """The only failure."""
        (failure,) = self.results
        assert isinstance(failure, ChatFailure), failure
        return failure


def call(
    behaviour: Behaviour,
    count: int = 1,
    limits: ClientLimits = QUICK,
    ask: dict[str, Any] | None = None,
    **settings: Any,
) -> Outcome:
    """Make `count` calls at once and return what they gave."""

    async def run() -> Outcome:
        told: list[str] = []
        async with serving(behaviour) as served:
            async with ChatClient(endpoint(served, **settings), limits, told.append) as client:
                calls = [client.complete(request(draw=n, **(ask or {}))) for n in range(count)]
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert client.stats.in_flight == 0
            return Outcome(served, results, client.stats, told)

    return asyncio.run(run())


def more(limits: ClientLimits = QUICK, **changes: Any) -> ClientLimits:
    return limits.model_copy(update=changes)


async def fine(http: web.Request, before: int) -> web.StreamResponse:
    return good()
