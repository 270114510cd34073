"""Whether the server's memory stays flat.

    python benchmarks/serving_memory.py [--requests 10000] [--no-engine-process]

`steiner serve` with a tiny untrained model; short requests, each with a prompt of
its own, 16 at once; of ten, six are whole, two streamed, one streamed and left after the first bytes, one
malformed. Prints resident memory (MiB) of the server, and of its engine's process where it has one, after
each tenth of the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil
from servers import save_model, steiner

AT_ONCE = 16
BODY = {"max_tokens": 24, "max_steps": 1}


def resident(pid: int, field: str = "VmRSS") -> float:
    """Return memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} of process {pid}")


def family(pid: int) -> str:
    """Return the memory of a server and of its engine's process, in words."""
    pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return " + ".join(f"{resident(one):.1f} MiB (highest {resident(one, 'VmHWM'):.1f})" for one in pids)


async def one(session: aiohttp.ClientSession, number: int) -> None:
    """Send a request of the kind that its number says."""
    kind = number % 10
    messages = [{"role": "user", "content": f"Question {number}: numbers {number % 97} and 5"}]
    body = {"messages": messages, **BODY, "stream": kind in (6, 7, 8)}
    if kind == 9:
        body["min_steps"] = 0
    async with session.post("/v1/chat/completions", json=body) as reply:
        assert reply.status == (400 if kind == 9 else 200), await reply.text()
        if kind == 8:
            await reply.content.readany()
            reply.close()
        else:
            await reply.read()


async def ask(address: str, first: int, count: int) -> None:
    """Send `count` requests, `AT_ONCE` at once."""
    numbers = iter(range(first, first + count))
    async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(120)) as session:

        async def worker() -> None:
            for number in numbers:
                await one(session, number)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def main() -> None:
    """Print one line per tenth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--engine-process", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    count = given.requests
    where = "--engine-process" if given.engine_process else "--no-engine-process"
    with tempfile.TemporaryDirectory() as place:
        model = save_model(Path(place) / "model", hidden=32, layers=1)
        with steiner(model, Path(place), 1, where) as running:
            print(f"started: {family(running.pid)}", flush=True)
            begin = time.monotonic()
            for part in range(10):
                asyncio.run(ask(running.address, part * count // 10, count // 10))
                print(
                    f"{(part + 1) * count // 10:6,} requests, {time.monotonic() - begin:5.0f} s: "
                    f"{family(running.pid)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
