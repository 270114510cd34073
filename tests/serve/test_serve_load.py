"""A server process under load: nothing lost, nothing leaked, and SIGTERM lets what runs end."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import httpx
import psutil
import pytest
from tiny_server import make_model

from tiny_model import chat_tokenizer

pytestmark = pytest.mark.slow

CLIENTS = 200
CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Numbers 3 5 7, target 22"}]}
SHORT = {**ASK, "max_steps": 1, "max_step_tokens": 16, "max_tokens": 40}
LEAK_BYTES = 40_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("model") / "tiny"
    tokenizer = chat_tokenizer()
    make_model(tokenizer).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, psutil.Popen]]:
    """Run `steiner serve` on a free port."""
    port = _free_port()
    command = [sys.executable, "-m", "steiner.cli.main", "serve", str(folder), "--port", str(port), *options]
    process = psutil.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if line.startswith("Serving"):
                break
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def metric(address: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{address}/metrics", timeout=60).text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def whole(session: aiohttp.ClientSession) -> str:
    async with session.post(CHAT, json=SHORT) as reply:
        body = await reply.json()
        assert reply.status == 200, body
        assert body["choices"][0]["finish_reason"] in ("stop", "length")
    return "whole"


async def streamed(session: aiohttp.ClientSession, pause: float = 0.0) -> str:
    async with session.post(CHAT, json={**SHORT, "stream": True}) as reply:
        parts = []
        async for line in reply.content:
            parts.append(line)
            await asyncio.sleep(pause)
        assert parts[-2].strip() == b"data: [DONE]"
    return "streamed"


async def slow(session: aiohttp.ClientSession) -> str:
    await streamed(session, 0.02)
    return "slow"


async def leaving(session: aiohttp.ClientSession) -> str:
    body = {**ASK, "stream": True, "min_steps": 100, "max_tokens": 1900}
    async with session.post(CHAT, json=body) as reply:
        await reply.content.readline()
        reply.close()
    return "leaving"


async def malformed(session: aiohttp.ClientSession) -> str:
    async with session.post(CHAT, data=b'{"messages": [') as reply:
        assert reply.status == 400
    return "malformed"


async def huge(session: aiohttp.ClientSession) -> str:
    try:
        async with session.post(CHAT, data=b"x" * 10_000_000) as reply:
            assert reply.status == 413
    except (ConnectionError, aiohttp.ClientConnectionError):
        pass  # The server may hang up before it has read everything.
    return "huge"


KINDS = [whole, whole, whole, streamed, streamed, streamed, slow, leaving, malformed, huge]


async def crowd(address: str, seed: int) -> Counter[str]:
    """Let all clients come at once; each does two things."""
    generator = random.Random(seed)
    kinds = [KINDS[index % len(KINDS)] for index in range(2 * CLIENTS)]
    generator.shuffle(kinds)
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    timeout = aiohttp.ClientTimeout(total=85)
    async with aiohttp.ClientSession(address, connector=connector, timeout=timeout) as session:
        return Counter(await asyncio.gather(*(kind(session) for kind in kinds)))


def test_a_crowd_loses_and_leaks_nothing(folder):
    with served(folder, "--concurrency", "500") as (address, process):
        sizes, files = [], []
        for seed in range(2):
            done = asyncio.run(crowd(address, seed))
            assert sum(done.values()) == 2 * CLIENTS
            for _ in range(200):
                if not metric(address, "steiner_running") and not metric(address, "steiner_in_flight"):
                    break
                time.sleep(0.05)
            assert metric(address, "steiner_in_flight") == 0
            assert metric(address, "steiner_running") == 0
            assert metric(address, "steiner_waiting") == 0
            sizes.append(process.memory_info().rss)
            files.append(process.num_fds())
        assert sizes[1] - sizes[0] < LEAK_BYTES
        assert files[1] <= files[0] + 5


def test_sigterm_drains(folder):
    async def ask(session: aiohttp.ClientSession, begun: asyncio.Event) -> bool:
        body = {
            **ASK,
            "stream": True,
            "min_steps": 3,
            "max_steps": 4,
            "max_step_tokens": 30,
            "max_tokens": 300,
        }
        last = b""
        async with session.post(CHAT, json=body) as reply:
            async for line in reply.content:
                begun.set()
                last = line if line.strip() else last
        return last.strip() == b"data: [DONE]"

    async def under_load(address: str, process: psutil.Popen) -> list[bool]:
        async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(total=60)) as session:
            begun = [asyncio.Event() for _ in range(40)]
            asking = [asyncio.create_task(ask(session, event)) for event in begun]
            await asyncio.gather(*(event.wait() for event in begun))
            process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*asking)

    with served(folder) as (address, process):
        assert all(asyncio.run(under_load(address, process)))
        assert process.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")


def test_what_outlasts_the_draining_is_cut(folder, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("drain_seconds = 1\n")
    body = {**ASK, "stream": True, "min_steps": 100, "max_tokens": 1900}
    with (
        served(folder, "--config", str(config)) as (address, process),
        httpx.stream("POST", address + CHAT, json=body, timeout=60) as reply,
    ):
        lines = reply.iter_lines()
        assert json.loads(next(lines).removeprefix("data: "))["object"] == "chat.completion.chunk"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.HTTPError):
            list(lines)
        assert process.wait(30) == 0
