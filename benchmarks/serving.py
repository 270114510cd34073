"""What the server costs beside the model, and what history policies save.

    python benchmarks/serving.py overhead
    python benchmarks/serving.py history [--model FOLDER]
    python benchmarks/serving.py batching [--rows 1 8 64]

`overhead`: CPU time of the server's thread, sockets included, with an engine that hands out ready tokens.
`history`: prompt tokens that a conversation of six turns reads anew, by policy. `batching`: tokens per second
of the embedded engine beside `generate` and the continuous batching of transformers, same model, one thread.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "serve"))

from tiny_server import make_model, running

from steiner.core import Move, ReasoningPath, Step
from steiner.decode.request import StepRequest
from steiner.protocol import ControlIds, encode_path
from steiner.serve.engines.base import EngineState, EngineStats, Finish, Generation, TokenChunk
from steiner.serve.run import make_server, open_socket
from steiner.serve.settings import ServeSettings
from tiny_model import chat_tokenizer

CHAT = "/v1/chat/completions"
ASK = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Numbers 3 5 7, target 22"},
]


class ReadyEngine:
    """Hands out the same completion again and again, `step` tokens at a time."""

    def __init__(self, ids: tuple[int, ...], step: int) -> None:
        self.tokenizer = chat_tokenizer()
        self.ids = ControlIds.from_tokenizer(self.tokenizer)
        self.context = 100_000
        self.state = EngineState.READY
        self._chunks = [TokenChunk(ids[i : i + step]) for i in range(0, len(ids), step)]
        self._chunks[-1] = self._chunks[-1]._replace(finish=Finish.STOP)

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    def stats(self) -> EngineStats:
        """Return nothing."""
        return EngineStats(0, 0, 0, 0, 0)

    async def stream(self, generation: Generation) -> AsyncGenerator[TokenChunk, None]:
        """Yield the completion; lets others run between chunks, as a model would."""
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield chunk


def completion(tokens: int) -> tuple[int, ...]:
    """Return a well-formed completion of about so many tokens."""
    step = Step(name="From 3 5 7", thought="3 + 5 = 8 " * 8, summary="left 7 8", reflection="go on")
    steps = max(1, tokens // 120)
    moves = tuple(Move.BACKTRACK if place % 3 else Move.PROCEED for place in range(steps - 1))
    path = ReasoningPath(steps=(step,) * steps, moves=moves, answer="7 + (3 * 5) = 22")
    return tuple(encode_path(chat_tokenizer(), path).ids)


async def ask(address: str, count: int, at_once: int, body: dict[str, Any]) -> None:
    """Send requests from a loop of its own."""
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(address, connector=connector) as session:

        async def one() -> None:
            async with session.post(CHAT, json=body) as reply:
                await reply.read()

        await asyncio.gather(*(one() for _ in range(count)))


def cpu_of_server(tokens: int, step: int, count: int, body: dict[str, Any]) -> float:
    """Return the seconds that the server's thread computes for one request."""
    settings = ServeSettings(port=0, name="ready", concurrency=10_000)
    server = make_server(ReadyEngine(completion(tokens), step), settings, "ready")
    listening = open_socket(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    clock = time.pthread_getcpuclockid(thread.ident)
    found = []
    for turn in range(4):
        begin = time.clock_gettime(clock)
        asyncio.run(ask(address, count, 16, {"messages": ASK, **body}))
        if turn:
            found.append((time.clock_gettime(clock) - begin) / count)
    server.should_exit = True
    thread.join()
    return min(found)


def overhead() -> None:
    """Print CPU time of a request, and of a streamed token as the difference of a long and a short stream."""
    short = cpu_of_server(120, 10_000, 300, {})
    print(f"whole reply of {len(completion(120))} tokens at once: {short * 1e3:.2f} ms of CPU a request")
    for step in (1, 4, 8):
        small, large = len(completion(120)), len(completion(2400))
        least = cpu_of_server(120, step, 100, {"stream": True})
        most = cpu_of_server(2400, step, 20, {"stream": True})
        token = (most - least) / (large - small)
        print(
            f"streamed, {step} tokens a chunk: {least * 1e3:.2f} ms a request, {token * 1e6:.1f} µs a token"
        )


def history(folder: Path | None) -> None:
    """Print the prompt tokens of six turns, and those read anew."""
    from steiner.decode.load import load_model

    tokenizer: Any
    model: Any
    if folder:
        model, tokenizer = load_model(folder)
    else:
        tokenizer = chat_tokenizer()
        model = make_model(tokenizer)
        model.config.max_position_embeddings = 32_768
    limits = {
        "max_steps": 4,
        "min_steps": 4,
        "max_step_tokens": 60,
        "max_answer_tokens": 20,
        "temperature": 0.7,
    }
    print("policy     client sends   prompt tokens   read anew   saved")
    with running(model, tokenizer) as address:
        for policy in ("keep", "summaries", "drop"):
            for sends_back in (True, False):
                messages: list[dict[str, Any]] = [ASK[0]]
                prompt = cached = 0
                for turn in range(6):
                    content = f"Question {turn}, {policy}, {sends_back}: and if the target were {turn + 20}?"
                    messages.append({"role": "user", "content": content})
                    body = {"messages": messages, "history": policy, "seed": turn, **limits}
                    reply = httpx.post(address + CHAT, json=body, timeout=120).json()
                    said = reply["choices"][0]["message"]
                    messages.append(said if sends_back else {"role": "assistant", "content": said["content"]})
                    prompt += reply["usage"]["prompt_tokens"]
                    cached += reply["usage"]["prompt_tokens_details"]["cached_tokens"]
                what = "reasoning" if sends_back else "answers"
                print(f"{policy:10} {what:12} {prompt:15,} {prompt - cached:11,} {cached / prompt:7.0%}")


def batching(rows: list[int], new_tokens: int = 128) -> None:
    """Print tokens per second, best of three in turns."""
    from steiner.decode.generate import generate
    from steiner.serve.engines.batch import Batch, BatchLimits

    torch.set_num_threads(1)
    tokenizer = chat_tokenizer()
    model = make_model(tokenizer)
    ids = ControlIds.from_tokenizer(tokenizer)
    steps = StepRequest(min_steps=100)

    def ours(count: int) -> int:
        batch = Batch(model, ids, BatchLimits(64, 262_144, 0, 2048))
        for seed in range(count):
            batch.add(Generation(tuple(range(50, 90)), steps, new_tokens, 1.0, seed=seed))
        while batch.busy:
            batch.step()
        return count * new_tokens

    def theirs(count: int) -> int:
        from steiner.core import StepBudget

        prompts = [tuple(range(50, 90))] * count
        budget = StepBudget(min_steps=7)
        done = generate(
            model, tokenizer, prompts, budget, temperature=1.0, seed=0, max_new_tokens=new_tokens,
            max_answer_tokens=16, batch_size=64,
        )  # fmt: skip
        return sum(len(one.completion_ids) for one in done)

    def paged(count: int) -> int:
        from transformers import GenerationConfig
        from transformers.generation import ContinuousBatchingConfig

        from steiner.decode.continuous import control_steps

        settings = GenerationConfig(
            max_new_tokens=new_tokens, do_sample=True, eos_token_id=ids.eos, pad_token_id=ids.pad
        )
        manager = model.init_continuous_batching(settings, ContinuousBatchingConfig(use_async_batching=False))
        control_steps(manager, ids)
        manager.start()
        try:
            for _ in range(count):
                manager.add_request(list(range(50, 90)), max_new_tokens=new_tokens, steps=steps)
            found = 0
            while found < count:
                result = manager.get_result(timeout=60)
                if result is None:
                    raise RuntimeError("no result within a minute")
                found += result.is_finished()
        finally:
            manager.stop(block=True)
        return count * new_tokens

    for count in rows:
        speeds: dict[str, list[float]] = {}
        for _ in range(3):
            for name, work in (("steiner", ours), ("generate", theirs), ("paged", paged)):
                begin = time.perf_counter()
                try:
                    tokens = work(count)
                except Exception as error:
                    print(f"{name}: {type(error).__name__}: {error}")
                    continue
                speeds.setdefault(name, []).append(tokens / (time.perf_counter() - begin))
        best = {name: max(values) for name, values in speeds.items()}
        middle = {name: statistics.median(values) for name, values in speeds.items()}
        print(count, "rows, tokens/s best:", {name: round(value) for name, value in best.items()}, end=" ")
        print("median:", {name: round(value) for name, value in middle.items()})


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("overhead", "history", "batching"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 64])
    given = parser.parse_args()
    if given.what == "overhead":
        overhead()
    elif given.what == "history":
        history(given.model)
    else:
        batching(given.rows)


if __name__ == "__main__":
    main()
