"""The server's manners: what it counts, refuses and logs, and how it starts and ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import psutil
import pytest
from bare_client import chat, post, posted

from steiner.core import InputError, StorageError
from steiner.testing import (
    ArithmeticModel,
    CannedModel,
    Completion,
    EchoModel,
    Fault,
    Faults,
    FaultyServer,
    ImportedModel,
)

WAIT_SECONDS = 30


SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


class Shouting:
    """A model of somebody's own."""

    def __init__(self, mark: str = "!") -> None:
        self.mark = mark

    def complete(self, body):
        if body.get("fail"):
            raise RuntimeError("asked to fail")
        return Completion(body["messages"][-1]["content"].upper() + self.mark, "thinking aloud")


SHOUTING = ImportedModel(name="test_faulty_server:Shouting", arguments={"mark": "?"})


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def gone(pid: int) -> bool:
    """Wait for the end of a process that is not ours to wait for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_a_process_of_its_own_answers_counts_and_ends():
    with FaultyServer(EchoModel(), seed=3) as server:
        pid = server.pid
        assert pid is not None
        assert pid != os.getpid()
        first, again, other = posted(server, chat("a"), chat("a"), chat("b"))
        assert [got.choice["message"]["content"] for got in (first, again, other)] == ["a", "a", "b"]
        assert first.text == again.text
        assert first.json["model"] == "any"
        stats = server.stats(by_body=True)
        assert (stats.requests, stats.bodies, stats.delivered, stats.delivered_again) == (3, 2, 3, 1)
        assert sorted(stats.delivered_by_body.values()) == [1, 2]
        assert server.stats().delivered_by_body == {}
        assert stats.cpu_s > 0
        url = server.base_url
        server.reset()
        assert server.stats().requests == 0
    assert not psutil.pid_exists(pid)
    assert server.base_url == ""
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/models", timeout=5)


def test_it_ends_although_requests_are_in_flight():
    with FaultyServer(EchoModel(), Faults(latency_s=600.0)) as server:
        pid = server.pid

        async def leave() -> None:
            waiting = asyncio.create_task(post(server, chat()))
            while not server.stats().in_flight:
                await asyncio.sleep(0.01)
            waiting.cancel()

        asyncio.run(leave())
    assert not psutil.pid_exists(pid)


def test_it_ends_with_the_process_that_started_it():
    script = (
        "import time\n"
        "from steiner.testing import FaultyServer\n"
        "server = FaultyServer().start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    assert gone(pid)


def test_a_server_that_cannot_start_says_so(tmp_path, capfd):
    with pytest.raises(InputError, match="exit code 74"):
        FaultyServer(log=tmp_path / "none" / "log").start()
    assert "request log cannot be written" in capfd.readouterr().err
    with pytest.raises(InputError, match="does not run"):
        FaultyServer().stats()


def test_unknown_settings_are_refused_at_once():
    with pytest.raises(InputError, match="did you mean 'api_key'"):
        FaultyServer(apikey="x")


def test_a_key_is_required_where_one_is_set():
    with FaultyServer(EchoModel(), api_key="right") as server:
        (without,), (wrong,), (right,) = (posted(server, chat(), key=key) for key in ("", "wrong", "right"))
        assert (without.status, wrong.status, right.status) == (401, 401, 200)
        assert wrong.json["error"]["code"] == "invalid_api_key"
        assert server.stats().outcomes == {"ok": 1, "unauthorised": 2}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{server.base_url}/models", timeout=5)
        command = " ".join(psutil.Process(server.pid).cmdline())
        assert "right" not in command
    assert "right" not in repr(server.settings)


def test_models_are_listed():
    with (
        FaultyServer(name="mine") as server,
        urllib.request.urlopen(f"{server.base_url}/models", timeout=5) as reply,
    ):
        assert [item["id"] for item in json.load(reply)["data"]] == ["mine"]


def test_unknown_paths_and_methods():
    with FaultyServer() as server:
        for path, status in (("/nothing", "404"), ("/chat/completions", "405")):
            with pytest.raises(urllib.error.HTTPError, match=status):
                urllib.request.urlopen(server.base_url + path, timeout=5)


@pytest.mark.parametrize(
    ("settings", "body", "status", "code"),
    [
        ({"any_name": False}, chat(), 404, "model_not_found"),
        ({"any_name": False, "name": "any"}, chat(), 200, None),
        ({"refuses": ("seed",)}, chat(seed=1), 400, "unsupported_parameter"),
        ({"refuses": ("seed",)}, chat(), 200, None),
        ({"refuses": ("json_schema",)}, chat(response_format=SCHEMA), 400, "unsupported_parameter"),
        ({"refuses": ("json_schema",)}, chat(response_format={"type": "json_object"}), 200, None),
        ({"context_tokens": 100}, chat("x" * 500), 400, "context_length_exceeded"),
        ({"context_tokens": 100}, chat("x" * 40, max_tokens=100), 400, "context_length_exceeded"),
        ({"context_tokens": 100}, chat("x" * 40, max_completion_tokens=10), 200, None),
        ({}, {"model": "any", "messages": []}, 400, None),
        ({}, ["no", "object"], 400, None),
        ({}, b'{"messages": [', 400, None),
    ],
)  # fmt: skip
def test_requests_that_no_retry_helps(settings, body, status, code):
    async def run():
        async with FaultyServer(EchoModel(), **settings) as server:
            return await post(server, body), server.stats()

    got, stats = asyncio.run(run())
    assert got.status == status
    if status != 200:
        assert got.json["error"]["code"] == code
        assert list(stats.outcomes) == ["not_found" if status == 404 else "bad_request"]
        assert stats.delivered == 0


def test_the_log_has_every_body_and_no_key(tmp_path):
    log = tmp_path / "requests.jsonl"
    with FaultyServer(EchoModel(), api_key="a-secret-key", log=log) as server:
        posted(server, chat("eins"), chat("zwei"), b"no json", key="a-secret-key")
        digests = set(server.stats(by_body=True).delivered_by_body)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["body"] for line in lines] == [chat("eins"), chat("zwei"), "no json"]
    assert digests == {line["digest"] for line in lines[:2]}
    assert "a-secret-key" not in log.read_text()


def test_an_unwritable_log_in_this_process(tmp_path):
    async def run():
        async with FaultyServer(log=tmp_path):
            raise AssertionError("started")

    with pytest.raises(StorageError, match="choose another file"):
        asyncio.run(run())


def test_the_token_limit_is_kept():
    text = "word " * 100

    async def run():
        async with FaultyServer(EchoModel()) as server:
            return [
                await post(server, chat(text, **{name: 10}))
                for name in ("max_tokens", "max_completion_tokens")
            ]

    for got in asyncio.run(run()):
        assert got.choice["finish_reason"] == "length"
        assert got.choice["message"]["content"] == text[:40]
        assert got.json["usage"]["completion_tokens"] == 10


@pytest.mark.parametrize("place", ["none", "reasoning_content", "reasoning", "think"])
def test_reasoning_stands_where_it_is_put(place):
    async def run():
        async with FaultyServer(SHOUTING, reasoning=place) as server:
            return [await post(server, chat("hello", stream=stream)) for stream in (False, True)]

    whole, streamed = asyncio.run(run())
    message = whole.choice["message"]
    deltas = [json.loads(event)["choices"][0]["delta"] for event in streamed.events[:-1]]
    joined = {name: "".join(delta.get(name, "") for delta in deltas) for name in message if name != "role"}
    assert joined == {name: text for name, text in message.items() if name != "role"}
    expected = {"none": {}, "think": {}}.get(place, {place: "thinking aloud"})
    thought = "<think>\nthinking aloud\n</think>\n\n" if place == "think" else ""
    assert message == {"role": "assistant", "content": f"{thought}HELLO?"} | expected
    assert whole.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == (
        0 if place == "none" else 4
    )


def test_a_model_of_ones_own_gets_into_the_process(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with FaultyServer(SHOUTING) as server:
        (got,) = posted(server, chat("hello"))
    assert got.choice["message"]["content"] == "HELLO?"


def test_a_model_that_raises_is_a_500_and_counted():
    async def run():
        async with FaultyServer(SHOUTING) as server:
            return await post(server, chat(fail=True)), await post(server, chat("a")), server.stats()

    failed, fine, stats = asyncio.run(run())
    assert (failed.status, fine.status) == (500, 200)
    assert stats.outcomes == {"crashed": 1, "ok": 1}


@pytest.mark.parametrize("name", ["json", "json:none", "no.such.module:x", ":", "json:loads"])
def test_a_model_that_cannot_be_imported(name):
    with pytest.raises(InputError, match=r"cannot be imported|no method complete"):
        ImportedModel(name=name).load()


@pytest.mark.parametrize("count_bodies", [False, True])
def test_canned_replies(count_bodies):
    async def run():
        async with FaultyServer(CannedModel(), count_bodies=count_bodies) as server:
            got = [await post(server, chat(text)) for text in ("a", "b", "a")]
            return got, await post(server, chat("a", stream=True)), server.stats()

    (first, second, third), streamed, stats = asyncio.run(run())
    assert first.text == second.text == third.text
    assert 2_200 < len(first.text) < 2_600
    assert len(first.choice["message"]["content"]) == 2_000
    assert first.json["usage"]["completion_tokens"] == 500
    assert streamed.events[-1] == "[DONE]"
    assert (stats.delivered, stats.bodies) == (4, 3 if count_bodies else 0)


def burst(server: FaultyServer, count: int):
    return asyncio.gather(*(post(server, chat(f"question {index}")) for index in range(count)))


def test_beyond_its_capacity_there_are_429s():
    async def run():
        faults = Faults(capacity=5, latency_s=1.0, retry_after_s=2)
        async with FaultyServer(EchoModel(), faults) as server:
            return await burst(server, 20), server.stats()

    got, stats = asyncio.run(run())
    assert stats.outcomes == {"capacity": 15, "ok": 5}
    assert {item.headers["Retry-After"] for item in got if item.status == 429} == {"2"}


def test_a_storm_refuses_what_is_beyond_its_limit_and_ends():
    async def run():
        # One long storm from the first second on; each body is refused once at most.
        faults = Faults(
            storm_every_s=600, storm_s=600, storm_in_flight=4, latency_s=1.0, max_faults_per_request=1
        )
        async with FaultyServer(EchoModel(), faults) as server:
            waves = [[item.status for item in await burst(server, 10)] for _ in range(3)]
            return waves, server.stats()

    waves, stats = asyncio.run(run())
    assert waves[0].count(429) == 6
    assert stats.outcomes["storm"] <= 10
    assert stats.outcomes["ok"] + stats.outcomes["storm"] == 30


def test_a_storm_is_a_stretch_of_time():
    async def run():
        faults = Faults(storm_every_s=600, storm_s=1, storm_in_flight=0)
        async with FaultyServer(EchoModel(), faults, seed=1) as server:
            return (await post(server, chat())).status

    assert asyncio.run(run()) == 200


def test_slots_are_waited_for():
    async def run():
        # Replies that drip for ever keep their slots.
        faults = Faults.only("drip", drip_s=600.0, slots=2)
        async with FaultyServer(EchoModel(), faults) as server:
            bodies = [chat(f"question {index}") for index in range(8)]
            holders = [asyncio.create_task(post(server, body, timeout_s=600.0)) for body in bodies[:2]]
            while server.stats().in_flight < 2:
                await asyncio.sleep(0.01)
            waiters = await asyncio.gather(*(post(server, body, timeout_s=1.0) for body in bodies[2:]))
            held = [holder.done() for holder in holders]
            for holder in holders:
                holder.cancel()
            await asyncio.gather(*holders, return_exceptions=True)
            return held, waiters

    held, waiters = asyncio.run(run())
    assert held == [False, False]
    assert [(item.status, item.broken) for item in waiters] == [(0, "TimeoutError")] * 6


def test_a_client_that_leaves_frees_its_place_and_has_nothing_delivered():
    async def run():
        async with FaultyServer(EchoModel(), Faults(latency_s=600)) as server:
            got = await asyncio.gather(*(post(server, chat(), timeout_s=2.0) for _ in range(20)))
            while server.stats().in_flight:
                await asyncio.sleep(0.01)
            return got, server.stats()

    got, stats = asyncio.run(run())
    assert {item.broken for item in got} == {"TimeoutError"}
    assert stats.outcomes == {"disconnected": 20}
    assert stats.delivered == 0


def test_a_connection_is_kept_for_many_requests():
    made: list[object] = []
    trace = aiohttp.TraceConfig()

    async def count(*event: object) -> None:
        made.append(event)

    trace.on_connection_create_end.append(count)

    async def run():
        async with (
            FaultyServer(CannedModel()) as server,
            aiohttp.ClientSession(trace_configs=[trace]) as session,
        ):
            for _ in range(5):
                async with session.post(f"{server.base_url}/chat/completions", json=chat()) as response:
                    await response.read()

    asyncio.run(run())
    assert len(made) == 1


def test_settings_survive_the_way_to_the_process():
    server = FaultyServer(ArithmeticModel(error_rate=0.7), Faults.transport(0.2), 5, refuses=("seed",))
    text = server.settings.model_dump_json()
    assert type(server.settings).model_validate_json(text) == server.settings
    assert server.settings.faults.rates[Fault.HTML] > 0
