"""Tokens per second at many clients: our server beside its engine offline and beside other servers.

    python benchmarks/serving_clients.py [--clients 64] [--vllm-python .vllm/bin/python] [--transformers]

One untrained model for all, servers in processes of their own with the same number of threads, asked in
turns. Every client sends one request at a time and reads its stream to the end. vLLM has our step control (by
the plugin), so it writes the same kind of text; `transformers serve` has none. `offline` is the embedded
engine in a plain loop, without a server, on the same prompts, seeds and limits. Our server runs twice: with
its engine in a thread and in a process of its own. CPU is that of the server with all its processes, clients
not counted: on a machine with few cores the clock tells of the clients' work too. The last column is that of
the processes below the server alone: what the engine itself takes where it has a process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp
import orjson
import psutil
from servers import Running, free_port, save_model, server, steiner, vllm_variables

CHAT = "/v1/chat/completions"


class Round(NamedTuple):
    """What one round came to."""

    tokens: int
    clock: float
    cpu: float
    below: float = 0.0
    """Of `cpu`, what processes below the server's own took."""


def messages(number: int) -> list[dict[str, str]]:
    """Return the conversation of a request."""
    return [{"role": "user", "content": f"Question {number}: numbers 3 5 7, target {number % 90 + 10}"}]


def cpu_of(pid: int) -> tuple[float, float]:
    """Return CPU seconds of a process, and of all below it."""
    try:
        process = psutil.Process(pid)
        below = sum(sum(one.cpu_times()[:2]) for one in process.children(recursive=True))
        return sum(process.cpu_times()[:2]), below
    except psutil.NoSuchProcess:
        return 0.0, 0.0


def tokens_of(stream: bytes) -> int:
    """Return the completion's tokens, as the usage in the last chunk says."""
    for line in reversed(stream.split(b"\n\n")):
        if b'"completion_tokens"' in line:
            return int(orjson.loads(line.removeprefix(b"data: "))["usage"]["completion_tokens"])
    # Without usage: one chunk a token.
    return sum(b'"content"' in line for line in stream.split(b"\n\n"))


async def _ask(running: Running, given: argparse.Namespace, body: dict[str, Any]) -> int:
    connector = aiohttp.TCPConnector(limit=given.clients)
    patience = aiohttp.ClientTimeout(600)
    numbers = iter(range(given.clients * given.requests))
    async with aiohttp.ClientSession(running.address, connector=connector, timeout=patience) as session:

        async def client() -> int:
            tokens = 0
            for number in numbers:
                sent = {
                    "messages": messages(number), "stream": True, "stream_options": {"include_usage": True},
                    "temperature": 1.0, "max_tokens": given.tokens, "seed": number, **body,
                }  # fmt: skip
                async with session.post(CHAT, json=sent) as reply:
                    found = await reply.read()
                    if reply.status != 200 or b'"error"' in found:
                        raise RuntimeError(found[:2000].decode(errors="replace"))
                tokens += tokens_of(found)
            return tokens

        return sum(await asyncio.gather(*(client() for _ in range(given.clients))))


def served(running: Running, given: argparse.Namespace, body: dict[str, Any]) -> Round:
    """Run all clients once against a server."""
    begin, before = time.perf_counter(), cpu_of(running.pid)
    tokens = asyncio.run(_ask(running, given, body))
    own, below = (now - then for now, then in zip(cpu_of(running.pid), before, strict=True))
    return Round(tokens, time.perf_counter() - begin, own + below, below)


def offline(folder: Path, given: argparse.Namespace) -> Callable[[], Round]:
    """Return what runs the embedded engine in a plain loop, with as many places as there are clients."""
    import torch

    from steiner.decode.load import load_model
    from steiner.decode.request import StepRequest
    from steiner.protocol import ControlIds, Message, encode_prompts
    from steiner.serve.engines.base import Generation
    from steiner.serve.engines.batch import Batch, BatchLimits
    from steiner.serve.settings import EngineSettings

    torch.set_num_threads(given.threads)
    model, tokenizer = load_model(folder)
    settings = EngineSettings()
    limits = BatchLimits(
        given.clients, settings.cache_tokens, settings.prefix_tokens, settings.prefill_tokens
    )
    count = given.clients * given.requests
    prompts = encode_prompts(tokenizer, [[Message(**messages(number)[0])] for number in range(count)])
    steps = StepRequest().within(given.tokens)

    # One engine for all rounds: like the servers it keeps the keys and values of earlier rounds' prompts.
    batch = Batch(model, ControlIds.from_tokenizer(tokenizer), limits)

    def run() -> Round:
        begin, used = time.perf_counter(), time.process_time()
        rows = [
            batch.add(Generation(tuple(prompt), steps, given.tokens, 1.0, seed=number))
            for number, prompt in enumerate(prompts)
        ]
        while batch.busy:
            batch.step()
        tokens = sum(row.written for row in rows)
        return Round(tokens, time.perf_counter() - begin, time.process_time() - used)

    return run


def start(stack: ExitStack, folder: Path, given: argparse.Namespace) -> dict[str, Callable[[], Round]]:
    """Start what is asked for; return what runs each once."""
    model, threads = folder / "model", given.threads
    ways: dict[str, Callable[[], Round]] = {"offline": offline(model, given)}
    for name, option in (("thread", "--no-engine-process"), ("process", "--engine-process")):
        ours = stack.enter_context(steiner(model, folder, threads, "--batch", str(given.clients), option))
        ways[f"steiner serve, {name}"] = partial(served, ours, given, {})
    if given.vllm_python:
        port = free_port()
        command = [
            *(given.vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", model),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", "1024", "--block-size", "32"),
            *("--max-num-seqs", str(given.clients), "--reasoning-parser", "steiner"),
            *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", "model"),
        ]
        variables = vllm_variables(folder / "installed", threads)
        theirs = stack.enter_context(server(command, port, folder / "vllm.log", variables))
        # On a CPU a seed ends vLLM's engine as soon as a prompt is read in portions.
        ways["vllm serve"] = lambda: served(theirs, given, {"model": "model", "seed": None})
    if given.transformers:
        port = free_port()
        command = [
            *(Path(sys.executable).with_name("transformers"), "serve", model, "--continuous-batching"),
            *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"),
            *("--cb-block-size", "32", "--cb-num-blocks", str(given.clients * (4 + given.tokens // 32))),
            *("--cb-max-batch-tokens", str(max(512, given.clients))),
        ]
        others = stack.enter_context(
            server(command, port, folder / "transformers.log", {"OMP_NUM_THREADS": str(threads)})
        )
        ways["transformers serve"] = lambda: served(others, given, {"model": str(model)})
    return ways


def main() -> None:
    """Print one line per way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vllm-python", type=Path, help="interpreter of an environment that holds vLLM")
    parser.add_argument("--transformers", action="store_true", help="also run `transformers serve`")
    for name, value in (
        ("clients", 64), ("requests", 2), ("tokens", 128), ("rounds", 4), ("threads", 1),
        ("hidden", 512), ("layers", 8),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        save_model(Path(place) / "model", given.hidden, given.layers)
        ways = start(stack, Path(place), given)
        print(
            f"{given.clients} clients, {given.requests} requests each, at most {given.tokens} tokens; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        found: dict[str, list[Round]] = {name: [] for name in ways}
        for turn in range(given.rounds + 1):
            for name, run in ways.items():
                one = run()
                print(f"  {name}: {one.tokens:,} tokens, {one.clock:.2f} s, CPU {one.cpu:.2f} s", flush=True)
                if turn:
                    found[name].append(one)
        print(
            f"load {os.getloadavg()[0]:.1f}\n{'':22}  tokens/s: best  median   CPU µs a token: least  below"
        )
        for name, rounds in found.items():
            speeds = [one.tokens / one.clock for one in rounds]
            least = min(1e6 * one.cpu / one.tokens for one in rounds)
            below = min(1e6 * one.below / one.tokens for one in rounds)
            print(f"{name:22}  {max(speeds):14,.0f}  {median(speeds):6,.0f}   {least:20,.0f}  {below:5,.0f}")


if __name__ == "__main__":
    main()
