"""The models of `steiner.testing.latency` behind HTTP: streamed chat completions that take their time.

It waits on the clock of its event loop. In `run_virtual` that costs no time; otherwise `scale` shortens it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from aiohttp import web

from steiner.testing.latency import SimulatedReply, SimulatedServer, replies
from steiner.testing.models import texts, tokens

WORD = "word"
PIECES = 8
"""Events of a reply; each holds several tokens, as from servers that bundle them."""
EVENTS = {"Content-Type": "text/event-stream"}


@contextlib.asynccontextmanager
async def latency_server(
    server: SimulatedServer, seed: int = 0, scale: float = 1.0, usage: bool = True, pieces: int = PIECES
) -> AsyncIterator[str]:
    """Serve in the running event loop; give the base URL.

    Args:
        server: how long replies take and what they bill.
        seed: of its randomness.
        scale: times this are all waits.
        usage: whether it reports usage.
        pieces: most events of a reply.
    """
    answer = replies(server, seed)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        return await _stream(request, answer(wanted_tokens(body)), scale, usage, pieces)

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def wanted_tokens(body: Mapping[str, Any]) -> int:
    """Return how long the answer to a request is: as it asks (`120 words`), else by the numbers in it."""
    prompt = " ".join(text for _, text in texts(body))
    asked = re.search(r"(\d+) words", prompt)
    if asked:
        return max(1, round(int(asked[1]) / 0.75))
    return max(1, 12 * len(re.findall(r"\d+", prompt)))


async def _stream(
    request: web.BaseRequest, reply: SimulatedReply, scale: float, usage: bool, pieces: int
) -> web.StreamResponse:
    response = web.StreamResponse(headers=EVENTS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    count = max(1, min(pieces, reply.visible))
    at, sent = 0.0, 0
    for number in range(1, count + 1):
        share = 0.0 if count == 1 else (number - 1) / (count - 1)
        moment = reply.first_s + share * (reply.last_s - reply.first_s)
        await asyncio.sleep((moment - at) * scale)
        at, until = moment, round(number * reply.visible / count)
        await response.write(_event({"content": WORD * (until - sent)}))
        sent = until
    await asyncio.sleep((reply.total_s - at) * scale)
    await response.write(_event({}, "stop"))
    if usage:
        await response.write(_data({"choices": [], "usage": _usage(reply, request)}))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _usage(reply: SimulatedReply, request: web.BaseRequest) -> dict[str, Any]:
    asked = tokens(" " * (request.content_length or 0))
    return {
        "prompt_tokens": asked,
        "completion_tokens": reply.billed,
        "total_tokens": asked + reply.billed,
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning},
    }


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return _data({"model": "simulated", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
