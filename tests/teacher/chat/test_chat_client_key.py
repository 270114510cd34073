"""The key is in no message, log or value that a user can see."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
import warnings
from typing import Any

from aiohttp import web
from chat_servers import (
    KEY,
    endpoint,
    error,
    events,
    half_stream,
    hang_up,
    more,
    reply_value,
    request,
    reset,
    serving,
)

from steiner.teacher.chat import ChatFailure
from steiner.teacher.chat.client import ChatClient


async def echo(http: web.Request, before: int) -> web.StreamResponse:
    """Repeat the key in every way and place."""
    given = http.headers["Authorization"]
    key = given.removeprefix("Bearer ")
    ways = [
        error(401, f"Incorrect API key provided: {key}. {given}", {"X-Key": key}, param=key),
        error(500, f"{key[:14]}…{key[-10:]}"),
        error(302, "", {"Location": f"https://elsewhere/v1?key={key}"}),
        web.Response(body=f"<html><title>{given}</title></html>".encode(), content_type="text/html"),
        web.json_response({"error": {"message": given, "code": 500}}),
        web.json_response(reply_value(None, "stop", note=given)),
        error(429, given, {"Retry-After": "0"}),
        error(400, f"response_format is not supported for {key}"),
        web.json_response(reply_value(f"You sent {given}", reasoning_content=key)),
        web.Response(body=f"{{{given}".encode(), content_type="application/json"),
        web.Response(body=events({"error": {"message": given}}), content_type="text/event-stream"),
    ]
    return ways[before % len(ways)]


def test_the_key_is_nowhere(caplog):
    caplog.set_level(logging.DEBUG)

    async def run() -> list[Any]:
        asyncio.get_running_loop().set_debug(True)
        found: list[Any] = []
        told: list[str] = []
        for behave in (echo, reset, hang_up, half_stream):
            async with (
                serving(behave) as served,
                ChatClient(
                    endpoint(served), more(tries=1, bad_reply_tries=1, rate_limit_tries=1), told.append
                ) as client,
            ):
                for draw in range(11 if behave is echo else 1):
                    try:
                        asked = request(draw=draw, response_schema={"type": "object"})
                        found.append(await client.complete(asked))
                    except ChatFailure as failure:
                        found.append(failure)
                found += [client, vars(client), client.stats, client.endpoint]
        return [*found, told]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = asyncio.run(run())
        gc.collect()
    failures = [item for item in found if isinstance(item, ChatFailure)]
    assert len(failures) >= 10
    texts = [repr(item) for item in found] + [str(item) for item in found] + [caplog.text]
    for failure in failures:
        texts += traceback.format_exception(failure)
        texts.append(repr(vars(failure)))
        context: BaseException | None = failure
        while context is not None:  # aiohttp's errors hold the headers
            assert isinstance(context, ChatFailure)
            texts.append(repr(context.args))
            context = context.__cause__ or context.__context__
    whole = "\n".join(texts)
    assert "[key]" in whole
    for start in range(len(KEY) - 7):
        assert KEY[start : start + 8] not in whole
