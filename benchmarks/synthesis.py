"""Speed and memory of synthesis with a language model, against a server with 50 ms latency on this machine.

    python benchmarks/synthesis.py [--full] [--memory] [--rival-python PATH]

The server has a process of its own and answers every request with the same 2.4 kB. In turns, in one process
and under the same settings of the garbage collector, these make the same calls with the same bodies:

    bare        aiohttp alone: posts bytes made beforehand, reads the reply, looks at nothing
    calls       the client and the call book: body, parsing, limits, budget, journal (committed before use)
    synthesis   `synthesise_with_llm`: prompts, checks, grading, traces and accounts as well

All figures come from this run: only their ratios say something, the rest depends on the machine and on what
else it does. Rates and shares are medians of the rounds, CPU times the least of them. The ideal is in flight
by latency, what an endpoint without limits would give. With `--full` also 32, 256 and 4,000 in flight, and
memory; `--rival-python` names the Python of an environment with bespokelabs-curator, which then makes the
same calls.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import orjson

from steiner.core import Grading, Problem, Settings
from steiner.store import RunDir, Stage, StoredRecord
from steiner.synthesis.calls import CallBook
from steiner.synthesis.collector import patient_collector
from steiner.synthesis.llm_stage import LlmRun, LlmSynthesisSettings, synthesise_with_llm
from steiner.synthesis.money import Budget
from steiner.synthesis.pipeline import synthesise_async
from steiner.synthesis.stage import is_right
from steiner.teacher.chat.client import ChatClient, ClientLimits
from steiner.teacher.chat.transport import raise_file_limit
from steiner.teacher.chat.types import ChatRequest, Endpoint, Finish, Reply, Usage
from steiner.teacher.chat.wire import request_body
from steiner.teacher.llm.teacher import LlmTeacher
from steiner.teacher.llm.templates import load_prompts
from steiner.testing import ArithmeticModel, CannedModel, Faults, FaultyServer, arithmetic_problems

LATENCY = 0.05
RIVAL = Path(__file__).parent / "rivals" / "with_curator.py"
ANSWER = "4242"
LAST = 5
REPLY = {
    "steps": [
        {
            "name": f"Work out part {number} of the harvest",
            "thought": f"In week {number} the farmer picks {number * 12} baskets, and each basket holds "
            f"{number + 7} apples. So this week gives {number * 12 * (number + 7)} apples, and together with "
            "what was counted in the weeks before, the sum grows by just that much.",
            "summary": f"Week {number} adds {number * 12 * (number + 7)} apples"
            + (f", which makes {ANSWER} coins in all." if number == LAST else " to the sum."),
            "reflection": "This fits what the question says about the week, so the next week can be counted.",
            "back_to": None,
        }
        for number in range(1, LAST + 1)
    ],
    "answer": ANSWER,
}
"""What the server answers to every draft and attempt: right, in English, about 2.4 kB on the wire."""
SETTINGS = LlmSynthesisSettings(drafts=2, truncations=4, shares={})
CALLS_PER_QUESTION = 6


class Source(Settings):
    """Settings of the `problems` stage."""

    count: int


class Timing(NamedTuple):
    """What some calls took."""

    calls: int
    seconds: float
    cpu: float
    """CPU seconds of this process."""

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per call."""
        return self.cpu / self.calls * 1e3


class Task(NamedTuple):
    """The same calls for everybody."""

    endpoint: Endpoint
    in_flight: int
    problems: list[Problem]
    requests: list[ChatRequest]

    @property
    def limits(self) -> ClientLimits:
        """As many in flight from the beginning: growth is not what is measured."""
        return ClientLimits(concurrency=self.in_flight, start_concurrency=self.in_flight)


def problem(number: int) -> Problem:
    """Make a question like those of school books, each one different, all with the same answer."""
    rng = random.Random(number)
    return Problem(
        question=f"Farmer number {number} has {rng.randrange(200, 900)} trees in the orchard. In each of "
        f"{rng.randrange(3, 9)} weeks the farmer picks some baskets of apples, and in the last week "
        f"{rng.randrange(10, 99)} of the apples are bad and are thrown away. The rest is sold on the market "
        "for two coins each. How many coins does the farmer have in the end?",
        answer=ANSWER,
        grading=Grading.NUMERIC,
        source="benchmark",
    )


def recorded(endpoint: Endpoint, problems: list[Problem]) -> list[ChatRequest]:
    """Return the calls that synthesis makes for these questions."""
    requests: list[ChatRequest] = []
    text = orjson.dumps(REPLY).decode()
    reply = Reply(
        text=text,
        finish=Finish.STOP,
        usage=Usage(prompt_tokens=500, completion_tokens=500),
        seconds=0.0,
        tries=1,
    )

    async def complete(request: ChatRequest) -> Reply:
        requests.append(request)
        return reply

    async def run() -> None:
        teacher = LlmTeacher(complete, endpoint, SETTINGS.teacher, load_prompts())
        for item in problems:
            await synthesise_async(item, teacher, is_right, SETTINGS, "en")

    asyncio.run(run())
    assert len(requests) == CALLS_PER_QUESTION * len(problems)
    return requests


def timed(calls: int, work: Callable[[], object]) -> Timing:
    """Time `work`, which makes so many calls, with the garbage collector as synthesis has it."""
    with patient_collector():
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return Timing(calls, time.perf_counter() - wall, time.process_time() - cpu)


async def side_by_side(count: int, in_flight: int, make: Callable[[int], Awaitable[object]]) -> None:
    """Make calls 0 to `count` - 1, so many at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await make(number)

    await asyncio.gather(*(worker() for _ in range(in_flight)))


def bare(task: Task) -> Timing:
    """Post and read with aiohttp, nothing else."""
    bodies = [request_body(task.endpoint, request, "json_schema") for request in task.requests]
    url = f"{task.endpoint.base_url}/chat/completions"
    headers = {"Content-Type": "application/json"}

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

            async def make(number: int) -> None:
                async with session.post(url, data=bodies[number]) as response:
                    await response.read()

            await side_by_side(len(bodies), task.in_flight, make)

    return timed(len(bodies), lambda: asyncio.run(run()))


def calls(task: Task) -> Timing:
    """Make the calls through client and call book."""

    async def run(journalled: RunDir) -> None:
        async with ChatClient(task.endpoint, task.limits) as client:
            book = CallBook(journalled.journal, task.endpoint, client.complete, Budget())
            # Drafts that differ in nothing but their draw would share a reply that is on its way.
            await side_by_side(len(task.requests), task.in_flight, lambda n: book.complete(task.requests[n]))
            assert book.sent == len(task.requests)

    with tempfile.TemporaryDirectory() as folder, RunDir(Path(folder) / "run") as journalled:
        return timed(len(task.requests), lambda: asyncio.run(run(journalled)))


def synthesis(task: Task) -> Timing:
    """Write the traces of the questions."""
    with tempfile.TemporaryDirectory() as folder, RunDir(Path(folder) / "run") as run:
        put_problems(run, iter(task.problems), len(task.problems))
        return timed(len(task.requests), lambda: synthesise(run, task.endpoint, task.limits, SETTINGS))


def put_problems(run: RunDir, problems: Iterator[Problem], count: int) -> None:
    """Store questions as `steiner problems` does."""
    stage = Stage(run, "problems", Source(count=count))
    stage.put(StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(problems))
    stage.finish({})


def synthesise(run: RunDir, endpoint: Endpoint, limits: ClientLimits, settings: LlmSynthesisSettings) -> int:
    """Run the stage, in which all questions must succeed; return the number of calls."""
    given = LlmRun(settings, endpoint, limits, Budget(), load_prompts())
    total, report = synthesise_with_llm(run, given)
    assert report.stopped is None
    assert total.rejected == {}
    assert report.failed_now == 0
    return report.sent


@contextlib.contextmanager
def server() -> Iterator[FaultyServer]:
    """Serve the one reply."""
    model = CannedModel(text=orjson.dumps(REPLY).decode())
    with FaultyServer(model, Faults(latency_s=LATENCY), count_bodies=False) as served:
        yield served


def endpoint_of(served: FaultyServer) -> Endpoint:
    """Return how the server is called."""
    return Endpoint(model="m", base_url=served.base_url, structured="json_schema")


def compare(served: FaultyServer, in_flight: int, questions: int, rounds: int) -> Task:
    """Make the same calls in the three ways, in turns, and print a line each."""
    endpoint = endpoint_of(served)
    problems = [problem(number) for number in range(questions)]
    task = Task(endpoint, in_flight, problems, recorded(endpoint, problems))
    ideal = in_flight / LATENCY
    ways = {"bare": bare, "calls": calls, "synthesis": synthesis}
    timings: dict[str, list[Timing]] = {name: [] for name in ways}
    before = served.stats()
    for _ in range(rounds):
        for name, way in ways.items():
            timings[name].append(way(task))
    after = served.stats()
    for name, found in timings.items():
        shares = [ours.rate / other.rate for ours, other in zip(found, timings["bare"], strict=True)]
        rate = statistics.median(timing.rate for timing in found)
        print(
            f"{in_flight:>9,} {name:10} {rate:9,.0f} {rate / ideal:10.0%} {statistics.median(shares):10.0%} "
            f"{min(timing.cpu_ms for timing in found):11.3f}"
        )
    cost = (after.cpu_s - before.cpu_s) / (after.requests - before.requests)
    print(f"{'':9} (the server itself takes {cost * 1e3:.3f} ms CPU a call)")
    return task


def against_rival(task: Task, python: str | None) -> None:
    """Have the rival make the same calls, between two runs of ours."""
    if python is None:
        print("rival: skipped; --rival-python takes the Python of an environment with bespokelabs-curator")
        return
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "messages.jsonl"
        lines = [
            orjson.dumps([message.model_dump() for message in request.messages]) for request in task.requests
        ]
        asked.write_bytes(b"\n".join(lines))
        command = [python, str(RIVAL), task.endpoint.base_url, str(asked), str(task.in_flight)]
        before = synthesis(task)
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        after = synthesis(task)
    if done.returncode:
        print(f"rival: failed: {done.stderr.strip().splitlines()[-1:]}")
        return
    rival = Timing(**json.loads(done.stdout.splitlines()[-1]))
    ours = (before.rate + after.rate) / 2
    print(
        f"rival: {rival.rate:,.0f} calls/s, {rival.cpu_ms:.2f} ms CPU a call; ours {ours / rival.rate:.1f}x"
    )


def mixed(questions: int) -> None:
    """Print the CPU time per call where replies differ: drafts, attempts right and wrong, resolves."""
    with tempfile.TemporaryDirectory() as folder, RunDir(Path(folder) / "run") as run:
        put_problems(run, iter(arithmetic_problems(questions)), questions)
        with FaultyServer(ArithmeticModel(), Faults(latency_s=LATENCY), count_bodies=False) as served:
            limits = ClientLimits(concurrency=1000, start_concurrency=1000)
            made: list[int] = []
            timing = timed(1, lambda: made.append(synthesise(run, endpoint_of(served), limits, SETTINGS)))
    print(
        f"drafts, attempts and resolves of {questions:,} arithmetic questions: {made[0]:,} calls, "
        f"{timing.cpu / made[0] * 1e3:.3f} ms CPU a call (here the scripted model is what limits the rate)"
    )


def memory(sizes: list[int]) -> None:
    """Print the most memory that a process needs for so many questions, one call each."""
    print("questions  peak MiB  seconds")
    with server() as served:
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "run"
                with RunDir(path) as run:
                    put_problems(run, (problem(number) for number in range(size)), size)
                command = [sys.executable, __file__, "--one-run", str(path), served.base_url]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            peak, seconds = json.loads(done.stdout)
            print(f"{size:9,} {peak:9.0f} {seconds:8.1f}", flush=True)


def one_run(path: str, base_url: str) -> None:
    """Be the process whose memory is measured."""
    endpoint = Endpoint(model="m", base_url=base_url, structured="json_schema")
    settings = LlmSynthesisSettings(drafts=1, truncations=0, shares={})
    started = time.perf_counter()
    with RunDir(Path(path)) as run:
        synthesise(run, endpoint, ClientLimits(concurrency=256, start_concurrency=256), settings)
    # Not `ru_maxrss`: that counts what the parent held when it started this process, too.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
    print(json.dumps([peak, time.perf_counter() - started]))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--questions", type=int, default=500, help="six calls each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1000])
    parser.add_argument("--full", action="store_true", help="32, 256, 1,000 and 4,000 in flight, and memory")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rival-python", metavar="PATH")
    parser.add_argument("--one-run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_run:
        one_run(*options.one_run)
        return
    in_flight = [32, 256, 1000, 4000] if options.full else options.in_flight
    raise_file_limit(max(in_flight))
    print(
        f"{os.cpu_count()} cores, latency {LATENCY * 1e3:.0f} ms, {len(orjson.dumps(REPLY)):,} bytes of text"
    )
    print("in flight            calls/s   of ideal    of bare  CPU ms/call")
    with server() as served:
        for number in in_flight:
            questions = max(options.questions, number // 3)  # at least two calls for each place in flight
            task = compare(served, number, questions, options.rounds)
            if number == 1000:
                against_rival(task, options.rival_python)
    mixed(options.questions // 2)
    if options.memory or options.full:
        memory(options.sizes)


if __name__ == "__main__":
    main()
