"""The client against real servers that misbehave in one way each."""

from __future__ import annotations

import asyncio
import socket

import orjson
import pytest
from aiohttp import web
from chat_servers import (
    KEY,
    QUICK,
    USAGE_EVENT,
    Behaviour,
    call,
    delta,
    endpoint,
    error,
    events,
    fine,
    good,
    half_stream,
    hang_up,
    more,
    reply_value,
    request,
    reset,
    serving,
)

from steiner.core import InputError
from steiner.teacher.chat import ChatFailure, Endpoint, FailureKind, Finish, Reply, Usage
from steiner.teacher.chat.client import ChatClient


def test_a_good_reply():
    done = call(fine)
    assert done.reply.text == "42"
    assert done.reply.finish is Finish.STOP
    assert done.reply.usage == Usage(prompt_tokens=11, completion_tokens=7)
    assert (done.reply.tries, done.reply.model) == (1, "m-1")
    assert done.reply.seconds > 0
    assert done.served.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert (done.stats.sent, done.stats.succeeded, done.stats.failed) == (1, 1, 0)
    assert done.stats.bytes_sent == int(done.served.headers[0]["Content-Length"])
    assert done.stats.bytes_received == len(orjson.dumps(reply_value()))


def test_connections_are_kept():
    peers = set()

    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        peers.add(http.transport.get_extra_info("peername"))
        return good()

    done = call(behave, 40, more(concurrency=2))
    assert done.served.most_open <= 2
    assert len(peers) <= 2


def test_a_local_server_needs_no_key_and_a_public_one_does(monkeypatch):
    monkeypatch.delenv("STEINER_TEST_KEY")
    done = call(fine)
    assert done.reply.text == "42"
    assert "Authorization" not in done.served.headers[0]
    with pytest.raises(InputError, match="STEINER_TEST_KEY"):
        ChatClient(Endpoint(model="m", key_env="STEINER_TEST_KEY"))


def test_a_stream():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(http)
        raw = events(
            delta(reasoning="hm"), delta(content="4"), delta(content="2"), delta("stop"), USAGE_EVENT
        )
        for start in range(0, len(raw), 7):
            await response.write(raw[start : start + 7])
        return response

    done = call(behave, stream=True)
    assert (done.reply.text, done.reply.reasoning) == ("42", "hm")
    assert done.reply.usage == Usage(prompt_tokens=11, completion_tokens=7)
    assert done.served.bodies[0]["stream"] is True


def test_a_stream_asked_for_but_answered_whole():
    assert call(fine, stream=True).reply.text == "42"


def test_a_reply_without_usage_is_estimated():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        value = reply_value("four and then two")
        del value["usage"]
        return web.json_response(value)

    usage = call(behave).reply.usage
    assert not usage.reported
    assert usage.prompt_tokens >= 6
    assert usage.completion_tokens >= 4


# Faults


def test_a_burst_of_429s_is_one_episode_and_waits_as_asked():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return error(429, "slow down", {"Retry-After": "0.4"}) if before < 16 else good()

    done = call(behave, 60, more(start_concurrency=16))
    assert all(isinstance(reply, Reply) for reply in done.results)
    assert done.stats.rate_limit_episodes == 1
    assert done.stats.retried == {FailureKind.RATE_LIMIT: 16}
    times = sorted(done.served.times)
    assert times[16] - times[15] >= 0.4
    assert sorted(reply.tries for reply in done.results) == [1] * 44 + [2] * 16


def test_endless_429s_end_in_a_failure():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return error(429, "slow down")

    done = call(behave, limits=more(rate_limit_tries=3))
    assert done.failure.kind is FailureKind.RATE_LIMIT
    assert done.failure.tries == 3
    assert "slow down" in done.failure.message
    assert not done.failure.stops_run


def test_a_long_wait_is_told():
    async def run() -> list[str]:
        async def behave(http: web.Request, before: int) -> web.StreamResponse:
            return error(429, "come back", {"Retry-After": "3600"})

        told: list[str] = []
        async with (
            serving(behave) as served,
            ChatClient(endpoint(served), QUICK, told.append) as client,
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.complete(request()), 0.5)
            assert len(served.bodies) == 1
            assert client.stats.in_flight == 0
        return told

    (text,) = asyncio.run(run())
    assert "3600 seconds" in text


@pytest.mark.parametrize("status", [500, 502, 503, 529, 408])
def test_server_errors_are_tried_again_without_a_cut(status):
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return error(status, "oops") if before < 3 else good()

    done = call(behave)
    assert done.reply.tries == 4
    assert done.stats.retried == {FailureKind.SERVER: 3}
    assert done.stats.concurrency == 16
    assert done.stats.rate_limit_episodes == 0


def test_server_errors_for_ever_end_in_a_failure():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return error(500, "engine is dead")

    done = call(behave, limits=more(tries=3))
    assert done.failure.kind is FailureKind.SERVER
    assert "engine is dead" in done.failure.message
    assert "3 tries" in done.failure.message
    assert len(done.served.bodies) == done.failure.tries == 3
    assert done.failure.usage == Usage(prompt_tokens=0, completion_tokens=0)


@pytest.mark.parametrize(
    ("status", "message", "kind", "stops", "says"),
    [
        (401, "Incorrect key", FailureKind.AUTH, True, "STEINER_TEST_KEY"),
        (403, "not yours", FailureKind.AUTH, True, "STEINER_TEST_KEY"),
        (404, "The model does not exist", FailureKind.NOT_FOUND, True, "base_url"),
        (302, "", FailureKind.NOT_FOUND, True, "https://elsewhere/v1"),
        (400, "maximum context length is 2048 tokens", FailureKind.CONTEXT_LENGTH, False, "fewer tokens"),
        (400, "bad seed", FailureKind.BAD_REQUEST, False, "bad seed"),
        (429, "insufficient_quota", FailureKind.AUTH, True, "credit"),
    ],
)
def test_what_trying_again_does_not_cure(status, message, kind, stops, says):
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return error(status, message, {"Location": "https://elsewhere/v1"})

    done = call(behave)
    assert done.failure.kind is kind
    assert done.failure.stops_run is stops
    assert says in done.failure.message
    assert len(done.served.bodies) == done.failure.tries == 1


@pytest.mark.parametrize("broken", [reset, half_stream, hang_up])
@pytest.mark.parametrize("stream", [False, True])
def test_broken_connections_are_tried_again_and_never_taken_for_whole(broken, stream):
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return await broken(http, before) if before < 2 else good()

    done = call(behave, stream=stream)
    assert (done.reply.text, done.reply.tries) == ("42", 3)
    assert done.stats.retried == {FailureKind.CONNECTION: 2}
    assert (done.reply.wasted.prompt_tokens > 0) is (broken is not hang_up)
    assert done.stats.concurrency == 16


@pytest.mark.parametrize(
    "body",
    [b"<html><title>Sign in</title></html>", b'{"choices": [{"message"', b'{"choices": []}', b"{}", b""],
)
def test_bad_replies_are_tried_a_few_times(body):
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        kind = "text/html" if b"<" in body else "application/json"
        return web.Response(body=body, content_type=kind)

    done = call(behave)
    assert done.failure.kind is FailureKind.BAD_REPLY
    assert len(done.served.bodies) == done.failure.tries == QUICK.bad_reply_tries
    assert done.failure.usage.prompt_tokens > 0
    assert not done.failure.usage.reported


def test_a_bad_reply_that_reports_its_usage_is_counted_as_wasted():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return web.json_response(reply_value(None)) if before == 0 else good()

    done = call(behave)
    assert done.reply.wasted == Usage(prompt_tokens=11, completion_tokens=7)
    assert done.reply.usage == Usage(prompt_tokens=11, completion_tokens=7)


def dripping(gap: float) -> Behaviour:
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(http)
        for byte in orjson.dumps(reply_value("x" * 1000)):
            await response.write(bytes([byte]))
            await asyncio.sleep(gap)
        return response

    return behave


def test_a_drip_ends_at_the_total_time_and_a_stall_at_the_idle_time():
    done = call(dripping(0.01), limits=more(tries=1, total_timeout=0.3, idle_timeout=0.2))
    assert done.failure.kind is FailureKind.TIMEOUT
    assert "total_timeout" in done.failure.message
    done = call(dripping(10), limits=more(tries=1, total_timeout=8, idle_timeout=0.1))
    assert done.failure.kind is FailureKind.TIMEOUT
    assert "idle_timeout" in done.failure.message


def test_the_time_to_the_first_byte_is_not_idle():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return good()

    assert call(behave, limits=more(tries=1, idle_timeout=0.1)).reply.text == "42"


def test_nobody_listens():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"

        async def run() -> None:
            async with ChatClient(Endpoint(base_url=url, model="m"), more(tries=2)) as client:
                await client.complete(request())

        with pytest.raises(ChatFailure) as caught:
            asyncio.run(run())
    assert caught.value.kind is FailureKind.CONNECTION
    assert caught.value.tries == 2
    assert url in caught.value.message
    assert "base_url" in caught.value.message


def test_a_name_that_does_not_exist():
    url = "http://no-such-host/v1"

    async def run() -> None:
        async def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        # In place of a question to a name server, which would need the network.
        asyncio.get_running_loop().getaddrinfo = unknown  # type: ignore[method-assign]
        async with ChatClient(Endpoint(base_url=url, model="m"), more(tries=2)) as client:
            await client.complete(request())

    with pytest.raises(ChatFailure) as caught:
        asyncio.run(run())
    assert caught.value.kind is FailureKind.CONNECTION
    assert url in caught.value.message
    assert "base_url" in caught.value.message


def test_an_empty_reply_is_asked_for_again_as_it_is():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return good("" if before < 2 else "42")

    done = call(behave)
    assert (done.reply.text, done.reply.tries) == ("42", 3)
    assert done.reply.wasted == Usage(prompt_tokens=22, completion_tokens=14)
    assert done.stats.retried == {FailureKind.BAD_REPLY: 2}


def test_what_is_empty_each_time_is_the_reply():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return good("")

    done = call(behave, limits=more(bad_reply_tries=2))
    assert (done.reply.text, done.reply.finish, done.reply.tries) == ("", Finish.STOP, 2)
    assert done.reply.wasted == Usage(prompt_tokens=11, completion_tokens=7)
    assert (done.stats.succeeded, done.stats.failed) == (1, 0)


def test_a_model_that_thought_and_said_nothing_is_not_asked_again():
    async def behave(http: web.Request, before: int) -> web.StreamResponse:
        return web.json_response(reply_value("", reasoning_content="hm"))

    done = call(behave)
    assert (done.reply.text, done.reply.reasoning, done.reply.tries) == ("", "hm", 1)
