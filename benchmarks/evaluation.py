"""Evaluation beside the engine alone, its memory, and beside other harnesses that ask the same server.

    python benchmarks/evaluation.py rate [--samples 256] [--hidden 512 --layers 8 | --model countdown-nano]
    python benchmarks/evaluation.py memory [--samples 10000]
    python benchmarks/evaluation.py harnesses [--samples 256] [--lm-eval-python .lm-eval/bin/python]

Untrained models unless one is named; the questions are made up and read as a file of GSM8K's form, so that
each harness grades a number. All completions of an untrained model end at the limit, so that the rows of a
plain loop stand level, which is less work than rows that begin when there is room; a trained model's do not.
`rate`: `steiner eval` (its engine in a thread, and in a process) and `steiner evaluate` in this process
beside their engines in plain loops, on the same prompts and limits, in turns, each with a fresh engine.
`memory`: each command in a process of its own, which prints VmHWM, its own peak. `harnesses`: one server;
each harness in a process of its own with questions of its own (the server knows no prompt yet); tokens are
those that the server counted, from the first to the last of them, so that a harness' start is not part of its
rate.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
from evaluation_rivals import AT_ONCE, Rate, harnesses, quiet, write_questions
from servers import save_model

if TYPE_CHECKING:
    from steiner.evaluate.benchmarks.load import Loaded

ANSWER = 12
IN_FLIGHT = 2 * AT_ONCE
"""As `steiner eval` has it for a local model."""


def load(path: Path) -> Loaded:
    """Return the questions as `steiner eval` loads them."""
    from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark

    return load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(str(path),)))


def below() -> float:
    """Return CPU seconds of the processes below this one."""
    found = 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found += sum(child.cpu_times()[:2])
    return found


def timed(work: Callable[[], int]) -> Rate:
    """Return tokens, seconds, and CPU seconds of this process and of those below it."""
    begin, cpu, others = time.perf_counter(), time.process_time(), below()
    tokens = work()
    others = below() - others
    return Rate(tokens, time.perf_counter() - begin, time.process_time() - cpu + others, others)


# --- rate ---------------------------------------------------------------------------------------------------


class Work(NamedTuple):
    """A model, what it is asked, and how much it may write."""

    model: str
    asked: Loaded
    tokens: int


def batch_loop(work: Work) -> Rate:
    """Run the engine of `steiner eval` in a plain loop."""
    from steiner.decode.load import load_model
    from steiner.decode.request import StepRequest
    from steiner.protocol import ControlIds, Message, encode_prompts
    from steiner.serve.engines.base import Generation
    from steiner.serve.engines.batch import Batch, BatchLimits
    from steiner.serve.settings import EngineSettings

    model, tokenizer = load_model(work.model)
    known = EngineSettings(batch=AT_ONCE)
    limits = BatchLimits(known.batch, known.cache_tokens, known.prefix_tokens, known.prefill_tokens)
    prompts = [[Message("user", problem.blind().prompt)] for problem in work.asked.problems]
    steps = StepRequest().within(work.tokens)

    def write() -> int:
        batch = Batch(model, ControlIds.from_tokenizer(tokenizer), limits)
        encoded = encode_prompts(tokenizer, prompts)
        rows = [batch.add(Generation(tuple(ids), steps, work.tokens, 0.0)) for ids in encoded]
        while batch.busy:
            batch.step()
        return sum(row.written for row in rows)

    return timed(write)


def beside_a_busy_core(work: Work) -> Rate:
    """Run the plain loop while a process computes that shares nothing with this one but the machine.

    What the loop loses beside it is what cores of one chip take from each other; whoever asks the engine from
    another core cannot take less.
    """
    process = subprocess.Popen([sys.executable, "-c", "while True: sorted(map(str, range(10_000)))"])
    try:
        return batch_loop(work)
    finally:
        process.kill()
        process.wait()


def through_inspect(work: Work, *, process: bool) -> Rate:
    """Run `steiner eval` without its start: questions in, graded and logged samples out."""
    from steiner.cli.eval.local import LocalAsker
    from steiner.evaluate.inspect_provider import hand_in
    from steiner.evaluate.inspect_run import run_task
    from steiner.evaluate.inspect_task import generation, make_task

    asker = LocalAsker.load(work.model, AT_ONCE, process=process)
    task, config = make_task(work.asked), generation(temperature=0.0, max_tokens=work.tokens)
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place)

        def ask() -> int:
            done = run_task(task, hand_in(logs.name, asker), config, logs, at_once=IN_FLIGHT)
            return sum(sample.tokens or 0 for sample in done.samples)

        try:
            return timed(ask)
        finally:
            asker.close()


def generate_loop(work: Work) -> Rate:
    """Run the engine of `steiner evaluate` alone."""
    from steiner.core import StepBudget
    from steiner.decode.engine import LocalEngine

    engine = LocalEngine.load(work.model, max_answer_tokens=ANSWER, batch_size=AT_ONCE)
    questions = [problem.blind().prompt for problem in work.asked.problems]
    budget = StepBudget(max_reasoning_tokens=work.tokens - ANSWER)
    return timed(lambda: sum(len(one.completion_ids) for one in engine.generate(questions, budget)))


def through_evaluate(work: Work) -> Rate:
    """Run `steiner evaluate` under one limit, which is never reached."""
    from steiner.cli.common import is_right
    from steiner.decode.engine import LocalEngine
    from steiner.evaluate.run import evaluate

    engine = LocalEngine.load(work.model, max_answer_tokens=ANSWER, batch_size=AT_ONCE)
    most = work.tokens - ANSWER

    def measure() -> int:
        _, whole = evaluate(engine, work.asked.problems, [10**6], is_right, max_reasoning_tokens=most)
        return sum(len(one.completion_ids) for one in whole)

    return timed(measure)


COMMANDS: dict[str, tuple[Callable[[Work], Rate], Callable[[Work], Rate]]] = {
    "eval-process": (batch_loop, partial(through_inspect, process=True)),
    "eval-thread": (batch_loop, partial(through_inspect, process=False)),
    "busy-core": (batch_loop, beside_a_busy_core),
    "evaluate": (generate_loop, through_evaluate),
}
"""What is held against which engine alone."""


def puzzles(count: int) -> Loaded:
    """Return Countdown puzzles of the kind that the shipped model knows."""
    from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark
    from steiner.problems.countdown import CountdownSettings

    kind = CountdownSettings(count=3, low=1, high=20, target_low=1, target_high=30, max_result=30)
    return load_benchmark(find_benchmark("countdown"), DataOptions(countdown=kind, limit=count))


def rate(given: argparse.Namespace, place: Path) -> None:
    """Print each command beside its engine."""
    import torch

    torch.set_num_threads(1)
    if given.model:
        work = Work(given.model, puzzles(given.samples), given.tokens)
    else:
        model = save_model(place / "model", given.hidden, given.layers)
        asked = load(write_questions(place / "questions.jsonl", given.samples, "Question"))
        work = Work(str(model), asked, given.tokens)
    few = work.asked._replace(problems=work.asked.problems[:4], subsets=work.asked.subsets[:4])
    through_inspect(work._replace(asked=few), process=False)
    pairs: dict[str, list[tuple[Rate, Rate]]] = {name: [] for name in given.commands}
    for _ in range(given.rounds):
        # One run of an engine alone serves all commands of a round that are held against it.
        alone = {engine: engine(work) for engine in {COMMANDS[name][0] for name in pairs}}
        for name, rounds in pairs.items():
            engine, command = COMMANDS[name]
            rounds.append((alone[engine], command(work)))
    tokens = next(iter(pairs.values()))[0][0].tokens
    print(f"{given.samples} samples, {tokens / given.samples:.0f} tokens each, best of {given.rounds}")
    print("CPU share: what the engine alone takes, of what the command takes; of what its process takes")
    print(
        f"{'':12} {'engine tokens/s':>16} {'command':>9} {'share':>7} {'pairs':>15} "
        f"{'CPU share':>10} {'process':>8} {'other CPU ms a sample':>22}"
    )
    for name, rounds in pairs.items():
        alone_best, through_best = (
            max(one.tokens / one.seconds for one in column) for column in zip(*rounds, strict=True)
        )
        shares = sorted((b.tokens / b.seconds) / (a.tokens / a.seconds) for a, b in rounds)
        cpu = min(a.cpu for a, _ in rounds) / min(b.cpu for _, b in rounds)
        least = min((b for _, b in rounds), key=lambda one: one.cpu)
        ours = f"{min(a.cpu for a, _ in rounds) / least.below:8.1%}" if least.below else f"{'–':>8}"
        beside = (least.cpu - (least.below or min(a.cpu for a, _ in rounds))) / given.samples * 1000
        print(
            f"{name:12} {alone_best:16,.0f} {through_best:9,.0f} {through_best / alone_best:7.1%} "
            f"{shares[0]:6.1%} … {shares[-1]:6.1%} {cpu:10.1%} {ours} {beside:22.1f}"
        )


# --- memory -------------------------------------------------------------------------------------------------


def peak() -> float:
    """Return the highest resident memory of this process so far, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM: memory is measured on Linux only")


class Tenths:
    """Prints the peak of memory after each tenth of the samples."""

    def __init__(self, count: int) -> None:
        self._every = max(1, count // 10)
        self._done = 0

    def one(self) -> None:
        """Count a sample."""
        self._done += 1
        if self._done % self._every == 0:
            print(f"{self._done:7,}: {peak():7.1f} MiB", flush=True)


def remember(given: argparse.Namespace, place: Path) -> None:
    """Be the process whose memory is measured."""
    from steiner.cli.common import is_right
    from steiner.cli.eval.local import LocalAsker
    from steiner.core import Problem
    from steiner.decode.engine import LocalEngine
    from steiner.evaluate.inspect_provider import Answered, Asked, hand_in
    from steiner.evaluate.inspect_run import run_task
    from steiner.evaluate.inspect_task import generation, make_task
    from steiner.evaluate.run import evaluate

    tenths = Tenths(given.samples)
    loaded = load(place / "questions.jsonl")
    print(f"{0:7,}: {peak():7.1f} MiB", flush=True)
    if given.what == "memory-evaluate":
        engine = LocalEngine.load(place / "model", max_answer_tokens=ANSWER)

        def graded(problem: Problem, answer: str) -> bool:
            tenths.one()
            return is_right(problem, answer)

        evaluate(engine, loaded.problems, [10**6], graded, max_reasoning_tokens=given.tokens - ANSWER)
    else:
        asker = LocalAsker.load(str(place / "model"), AT_ONCE, process=given.engine_process)

        class Counted:
            async def ask(self, asked: Asked) -> Answered:
                answered = await asker.ask(asked)
                tenths.one()
                return answered

        config = generation(temperature=0.0, max_tokens=given.tokens)
        run_task(make_task(loaded), hand_in("counted", Counted()), config, place / "logs", at_once=IN_FLIGHT)
        asker.close()
    print(f"    end: {peak():7.1f} MiB", flush=True)


def memory(given: argparse.Namespace, place: Path) -> None:
    """Print the peaks of both commands."""
    save_model(place / "model", hidden=32, layers=1)
    write_questions(place / "questions.jsonl", given.samples, "Question")
    for what in ("memory-eval", "memory-evaluate"):
        print(what.replace("memory-", "steiner "), flush=True)
        begin = time.monotonic()
        numbers = ["--samples", str(given.samples), "--tokens", "32"]
        numbers += [] if given.engine_process else ["--no-engine-process"]
        subprocess.run(
            [sys.executable, __file__, what, "--place", str(place), *numbers], check=True, env=quiet()
        )
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    works = {"rate": rate, "memory": memory, "harnesses": harnesses}
    parser.add_argument("what", choices=(*works, "memory-eval", "memory-evaluate"))
    parser.add_argument("--samples", type=int)
    for name, value in (("tokens", 256), ("rounds", 3), ("hidden", 512), ("layers", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--model", default="", help="rate: a trained model, asked Countdown puzzles")
    parser.add_argument(
        "--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS), help="rate: all by default"
    )
    parser.add_argument(
        "--engine-process", action=argparse.BooleanOptionalAction, default=True, help="memory"
    )
    parser.add_argument("--lm-eval-python", type=Path, help="interpreter with lm-eval installed")
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.samples = given.samples or (10_000 if given.what == "memory" else 256)
    if given.what.startswith("memory-"):
        remember(given, given.place)
    else:
        print(f"load {os.getloadavg()[0]:.1f}", flush=True)
        with tempfile.TemporaryDirectory() as place:
            works[given.what](given, Path(place))
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
