"""What calls share: the way JSON is asked for, rates, slots."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from aiohttp import web
from chat_servers import (
    QUICK,
    Behaviour,
    call,
    endpoint,
    error,
    fine,
    good,
    more,
    request,
    serving,
)

from steiner.core import SteinerWarning
from steiner.teacher.chat import FailureKind, Reply
from steiner.teacher.chat.client import ChatClient


def choosy(accepted: set[str]) -> Behaviour:
    """A server that takes only some sorts of response_format."""

    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        form = orjson.loads(await http.read()).get("response_format", {"type": "none"})["type"]
        await asyncio.sleep(0.02)
        return good(form) if form in accepted else error(400, f"response_format.type {form} is not supported")

    return behave


@pytest.mark.parametrize(
    ("accepted", "steps"),
    [({"json_schema"}, 0), ({"json_object", "none"}, 1), ({"none"}, 2)],
)
def test_structured_auto_steps_down_once_for_all_calls(accepted, steps):
    done = call(choosy(accepted), 30, ask={"response_schema": {"type": "object"}})
    assert {reply.text for reply in done.results} <= accepted
    assert len(done.told) == steps
    assert all("response_format" in text for text in done.told)
    refused = done.stats.sent - 30
    assert refused <= 2 * 16 * steps  # those that were in flight when the others found out


def test_structured_given_by_name_does_not_step_down():
    done = call(choosy({"none"}), ask={"response_schema": {"type": "object"}}, structured="json_schema")
    assert done.failure.kind is FailureKind.BAD_REQUEST
    assert done.told == []


def test_the_fallback_warns_where_nobody_listens():
    async def run() -> Reply:
        async with serving(choosy({"json_object"})) as served, ChatClient(endpoint(served), QUICK) as client:
            return await client.complete(request(response_schema={"type": "object"}))

    with pytest.warns(SteinerWarning, match="json_schema"):
        assert asyncio.run(run()).text == "json_object"


# Rates and concurrency


def test_no_more_in_flight_than_the_limit():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        await asyncio.sleep(0.005)
        return good()

    done = call(behave, 300, more(concurrency=20))
    assert done.served.most_open <= 20
    assert done.stats.concurrency <= 20
    assert len(done.results) == 300


def test_requests_per_minute_hold():
    done = call(fine, 14, more(requests_per_minute=240))  # 8 at once, then 4 a second
    times = sorted(done.served.times)
    assert times[-1] - times[0] >= 5 / 4


def test_tokens_per_minute_are_given_back():
    async def run() -> None:
        limits = more(tokens_per_minute=6000, concurrency=2)
        greedy = request().model_copy(update={"max_tokens": 6000})
        async with serving(fine) as served, ChatClient(endpoint(served), limits) as client:
            async with asyncio.timeout(30):  # each reserves a minute's tokens: 9 minutes if none came back
                await asyncio.gather(*(client.complete(greedy) for _ in range(10)))

    asyncio.run(run())


def test_thousands_in_flight_are_cancelled_cleanly():
    count = 3000

    async def run() -> None:
        arrived = asyncio.Event()

        async def behave(http: web.Request, before: int) -> web.StreamResponse:
            if before >= 400:
                arrived.set()
            await asyncio.sleep(60)
            return good()

        async with serving(behave) as served:
            limits = more(concurrency=1000, start_concurrency=1000, total_timeout=100)
            async with ChatClient(endpoint(served), limits) as client:
                tasks = [asyncio.ensure_future(client.complete(request(draw=n))) for n in range(count)]
                await asyncio.wait_for(arrived.wait(), 60)
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results)
                assert client.stats.in_flight == 0
                assert client.stats.concurrency == 1000
                # Every slot is free again.
                served._behaviour = fine
                replies = await asyncio.gather(*(client.complete(request(draw=n)) for n in range(50)))
                assert all(reply.text == "42" for reply in replies)

    asyncio.run(run())
