"""The engine in a process of its own writes what the thread writes, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError
from steiner.decode.request import StepRequest
from steiner.serve.engines.base import (
    EngineError,
    EngineState,
    EngineStats,
    Finish,
    Generation,
    TokenChunk,
    TokenLogprob,
)
from steiner.serve.engines.embedded import own_process
from steiner.serve.engines.frames import Frames, News, frame, pack_news, unpack_news
from steiner.serve.engines.local import LocalEngine
from steiner.serve.engines.process import ProcessEngine
from steiner.serve.run import make_server, open_socket
from steiner.serve.settings import EngineSettings, ServeSettings

PATIENCE = 600
"""Seconds until something counts as hung, on the busiest machine."""
PROMPT = tuple(range(60, 90))
SHORT = Generation(PROMPT, StepRequest(max_steps=2, max_reasoning_tokens=60), 90, 0.0)
LONG = Generation(PROMPT, StepRequest(min_steps=100), 1900, 1.0, seed=1)
CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Numbers 3 5 7, target 22"}], "max_steps": 1}

numbers = st.integers(0, 2**18)
logprobs = st.builds(TokenLogprob, st.floats(max_value=0), st.just(((5, -0.5), (7, -1.25))))
chunks = st.none() | st.builds(
    TokenChunk,
    st.lists(numbers).map(tuple),
    st.lists(logprobs, max_size=3).map(tuple),
    st.none() | st.sampled_from(Finish),
    numbers,
)
news = st.builds(
    News,
    st.builds(EngineStats, *[numbers] * 5),
    st.lists(st.tuples(numbers, chunks)),
)


@given(st.lists(news), st.integers(1, 50))
def test_messages_arrive_as_they_were_however_the_bytes_come(sent, size):
    stream = b"".join(pack_news(one) for one in sent)
    frames = Frames()
    pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
    found = [unpack_news(message) for piece in pieces for message in frames.feed(piece)]
    assert found == sent


def test_a_shared_prompt_stays_shared():
    (orders,) = Frames().feed(frame([SHORT, SHORT._replace(seed=2)]))
    assert orders[0] == SHORT
    assert orders[0].prompt is orders[1].prompt


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model, tokenizer) -> Path:
    place = tmp_path_factory.mktemp("model") / "tiny"
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


class Loop:
    """An engine with an event loop of its own."""

    def __init__(self, engine) -> None:
        self.engine = engine
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(engine.start())

    def run(self, work):
        return self._loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def close(self) -> None:
        self.run(self.engine.close())
        self._loop.close()


@pytest.fixture(scope="module")
def process(folder) -> Iterator[Loop]:
    loop = Loop(ProcessEngine.load(str(folder), EngineSettings()))
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def thread(model, tokenizer) -> Iterator[Loop]:
    loop = Loop(LocalEngine(model, tokenizer, EngineSettings()))
    yield loop
    loop.close()


async def written(engine, generation: Generation) -> tuple[tuple[int, ...], tuple, Finish | None, int]:
    ids: tuple[int, ...] = ()
    thought: tuple = ()
    async with aclosing(engine.stream(generation)) as stream:
        async for chunk in stream:
            ids += chunk.ids
            thought += chunk.logprobs
    return ids, thought, chunk.finish, chunk.cached_tokens


async def until(holds, what: str) -> None:
    for _ in range(100 * PATIENCE):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(what)


GENERATIONS = [
    SHORT,
    SHORT._replace(prompt=PROMPT[:7], temperature=0.8, top_p=0.9, seed=5),
    SHORT._replace(prompt=PROMPT[::-1], top_logprobs=3),
    SHORT._replace(prompt=PROMPT * 9, steps=StepRequest(control="off"), max_tokens=20),
]


def test_process_and_thread_write_the_same(process, thread):
    async def all_at_once(engine):
        return await asyncio.gather(*(written(engine, one) for one in GENERATIONS))

    ours = process.run(all_at_once(process.engine))
    theirs = thread.run(all_at_once(thread.engine))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0] == other[0]
        assert mine[2:] == other[2:]
        assert [one.logprob for one in mine[1]] == pytest.approx([one.logprob for one in other[1]], abs=1e-5)
    assert len(ours[2][1]) == len(ours[2][0])
    assert process.engine.context == thread.engine.context
    assert process.engine.stats().completion_tokens == sum(len(one[0]) for one in ours)


def test_several_completions_read_their_prompt_once(process):
    async def several():
        return await asyncio.gather(
            *(written(process.engine, SHORT._replace(seed=seed)) for seed in range(3))
        )

    before = process.engine.stats()
    process.run(several())
    after = process.engine.stats()
    read = after.prompt_tokens - before.prompt_tokens - (after.cached_tokens - before.cached_tokens)
    assert after.prompt_tokens - before.prompt_tokens == 3 * len(PROMPT)
    assert read <= len(PROMPT) + 2


def test_a_stream_that_is_closed_frees_its_place(process):
    async def leave():
        async with aclosing(process.engine.stream(LONG)) as stream:
            async for _ in stream:
                break
            assert process.engine.stats().running == 1
        await until(lambda: process.engine.stats()[:2] == (0, 0), "the place was not freed")

    process.run(leave())


def test_a_late_completion_is_cut(process, thread):
    async def late(engine):
        return await written(engine, LONG._replace(deadline=time.monotonic() + 0.2))

    for loop in (process, thread):
        ids, _, finish, _ = loop.run(late(loop.engine))
        assert finish is Finish.LENGTH
        assert len(ids) < LONG.max_tokens


def test_what_is_late_before_its_turn_is_cut_too(model, tokenizer):
    async def crowd(engine):
        waiting = LONG._replace(deadline=time.monotonic() + 0.3)
        async with aclosing(engine.stream(LONG)) as first:
            await anext(first)
            return await written(engine, waiting)

    loop = Loop(LocalEngine(model, tokenizer, EngineSettings(batch=1, flush_seconds=0)))
    assert loop.run(crowd(loop.engine)) == ((), (), Finish.LENGTH, 0)
    loop.close()


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, ProcessEngine]]:
    settings = ServeSettings(port=0, name="tiny")
    engine = ProcessEngine.load(str(folder), settings.engine)
    listening = open_socket(settings)
    running = make_server(engine, settings, settings.name)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", engine
    finally:
        running.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


def wait_for(holds, what: str) -> None:
    for _ in range(100 * PATIENCE):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError(what)


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_once(folder, caplog):
    with server(folder) as (address, engine):
        long = {**ASK, "max_steps": None, "min_steps": 100, "max_tokens": 1900}
        replies: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: replies.append(httpx.post(address + CHAT, json=long, timeout=PATIENCE))
        )
        asking.start()
        wait_for(lambda: engine.stats().running, "the completion did not begin")
        first = engine.pid
        os.kill(first, signal.SIGKILL)
        asking.join()
        assert replies[0].status_code == 500
        assert replies[0].json()["error"]["code"] == "internal_error"
        refused = httpx.post(address + CHAT, json=ASK, timeout=PATIENCE)
        health = httpx.get(address + "/health", timeout=PATIENCE)
        assert (refused.status_code, health.status_code) == (503, 503)
        assert refused.json()["error"]["code"] == "engine_unavailable"
        assert int(refused.headers["retry-after"]) > 0
        assert health.json() == {"status": "starting"}

        wait_for(lambda: engine.state is EngineState.READY, "the engine did not come back")
        assert engine.pid != first
        assert httpx.get(address + "/health", timeout=PATIENCE).json() == {"status": "ok"}
        # It has finished nothing yet: dying again is the end.
        os.kill(engine.pid, signal.SIGKILL)
        wait_for(lambda: engine.state is EngineState.FAILED, "the failure was not seen")
        assert httpx.get(address + "/health", timeout=PATIENCE).json() == {"status": "failed"}
        assert httpx.post(address + CHAT, json=ASK, timeout=PATIENCE).status_code == 503
        wait_for(lambda: "not started any more" in caplog.text, "the log does not say so")
    assert "signal 9" in caplog.text
    assert not psutil.pid_exists(engine.pid)


@pytest.mark.slow
def test_a_completion_waits_for_the_process_that_is_started_again(folder):
    loop = Loop(ProcessEngine.load(str(folder), EngineSettings()))
    engine = loop.engine

    def kill() -> None:
        os.kill(engine.pid, signal.SIGKILL)
        loop.run(until(lambda: engine.state is EngineState.STARTING, "the end was not seen"))

    kill()
    ids = loop.run(written(engine, SHORT))[0]
    assert engine.stats().completion_tokens == len(ids) > 0
    kill()  # That one has finished a completion, so there is another one.
    assert engine.stats().completion_tokens == len(ids)
    loop.run(asyncio.sleep(0.1))
    loop.close()
    assert not psutil.pid_exists(engine.pid)


ASKER = """
import sys, time
from steiner.serve.engines.process import ProcessEngine
from steiner.serve.settings import EngineSettings
engine = ProcessEngine.load(sys.argv[1], EngineSettings())
print(engine.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_nothing_outlives_the_asker(folder):
    asker = subprocess.Popen([sys.executable, "-c", ASKER, str(folder)], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(asker.stdout.readline()))
    child.send_signal(signal.SIGINT)  # As from a terminal: not for the engine to decide.
    child.send_signal(signal.SIGTERM)
    assert child.status() != psutil.STATUS_ZOMBIE
    asker.kill()
    asker.wait(PATIENCE)
    asker.stdout.close()
    child.wait(PATIENCE)


def started_here() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True)}


def test_errors_of_loading_are_those_of_the_thread(folder, tmp_path, model, tokenizer):

    def complaint(engine, place: Path) -> str:
        with pytest.raises(InputError) as raised:
            engine.load(str(place), EngineSettings())
        return str(raised.value)

    before = started_here()
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    model.save_pretrained(broken)
    tokenizer.save_pretrained(broken)
    (broken / "model.safetensors").unlink()
    for place in (empty, broken):
        assert complaint(ProcessEngine, place) == complaint(LocalEngine, place)
    assert started_here() == before


def test_a_process_that_ends_while_it_loads_is_an_input_error(folder, monkeypatch):
    monkeypatch.setattr("steiner.serve.engines.started._PROGRAM", "import os; os._exit(3)")
    with pytest.raises(InputError, match=r"status 3"):
        ProcessEngine.load(str(folder), EngineSettings())


def test_where_the_engine_runs(monkeypatch):
    monkeypatch.setattr("steiner.serve.engines.embedded._cores", lambda: 4)
    assert own_process(EngineSettings(device="cpu"))
    assert not own_process(EngineSettings(device="cuda:1"))
    assert own_process(EngineSettings(device="cuda:1", process=True))
    assert not own_process(EngineSettings(device="cpu", process=False))
    monkeypatch.setattr("steiner.serve.engines.embedded._cores", lambda: 1)
    assert not own_process(EngineSettings(device="cpu"))
    assert pickle.loads(pickle.dumps(EngineSettings(batch=3))) == EngineSettings(batch=3)


def test_closing_cuts_what_runs_and_leaves_no_process(process):
    async def cut():
        async with aclosing(process.engine.stream(LONG)) as stream:
            await anext(stream)
            await process.engine.close()
            with pytest.raises(EngineError):
                async for _ in stream:
                    pass

    process.run(cut())
    assert not psutil.pid_exists(process.engine.pid)
