"""Harnesses that ask the same server, for `benchmarks/evaluation.py harnesses`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
from servers import Running, save_model, steiner

AT_ONCE = 64
LM_EVAL_TASK = """task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["never said"], max_gen_toks: {tokens}, do_sample: false, temperature: 0.0}}
metric_list: [{{metric: exact_match}}]
"""
INSPECT_TASK = """from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import match
from inspect_ai.solver import generate


@task
def sums():
    fields = FieldSpec(input="question", target="answer")
    return Task(dataset=json_dataset({file!r}, fields), solver=generate(), scorer=match(numeric=True))
"""


class Rate(NamedTuple):
    """What one way came to."""

    tokens: int
    seconds: float
    cpu: float
    below: float = 0.0
    """Of `cpu`, what processes below the one that is measured took."""


def write_questions(path: Path, n: int, name: str) -> Path:
    """Write made-up questions; the name makes them unlike all others."""
    rows = (
        {"question": f"{name} {i}: what is {i % 97} + 5?", "answer": f"#### {i % 97 + 5}"} for i in range(n)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def quiet() -> dict[str, str]:
    """Return the environment of a child."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def bare_loop(address: str, file: Path, tokens: int) -> None:
    """Ask everything with `AT_ONCE` tasks that do nothing else."""
    questions = iter([json.loads(line)["question"] for line in file.read_text().splitlines()])

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:

            async def worker() -> None:
                for question in questions:
                    body = {
                        "model": "model", "messages": [{"role": "user", "content": question}],
                        "max_tokens": tokens, "temperature": 0.0,
                    }  # fmt: skip
                    async with session.post(f"{address}/v1/chat/completions", json=body) as reply:
                        assert reply.status == 200, await reply.text()
                        await reply.read()

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    asyncio.run(ask())


def commands(given: argparse.Namespace, address: str, place: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Return for each harness what its command is, given a file of questions."""
    tokens, url = str(given.tokens), f"{address}/v1"

    def ours(file: Path) -> list[str]:
        options = ("--benchmark", "gsm8k", "--data", str(file), "--max-tokens", tokens)
        run = ("--run", str(file.with_suffix("")), "--concurrency", str(AT_ONCE))
        return [sys.executable, "-m", "steiner.cli.main", "eval", url, *options, *run]

    def inspect(file: Path) -> list[str]:
        task = file.with_suffix(".py")
        task.write_text(INSPECT_TASK.format(file=str(file)))
        program = Path(sys.executable).with_name("inspect")
        return [
            *(str(program), "eval", task.name, "--model", "openai-api/here/model", "--display", "none"),
            *("--max-connections", str(AT_ONCE), "--max-tokens", tokens, "--temperature", "0"),
            *("--log-dir", str(file.with_suffix(""))),
        ]

    def lm_eval(file: Path) -> list[str]:
        folder = file.with_suffix("")
        folder.mkdir()
        (folder / "sums.yaml").write_text(LM_EVAL_TASK.format(file=file, tokens=tokens))
        where = f"model=model,base_url={url}/chat/completions,num_concurrent={AT_ONCE},tokenizer_backend=None"
        return [
            *(str(given.lm_eval_python.absolute()), "-m", "lm_eval", "--model", "local-chat-completions"),
            *("--tasks", "sums", "--include_path", str(folder), "--apply_chat_template"),
            *("--model_args", where, "--output_path", str(folder), "--log_samples"),
        ]

    def bare(file: Path) -> list[str]:
        return [sys.executable, str(Path(__file__).resolve()), address, str(file), tokens]

    found = {"bare aiohttp loop": bare, "steiner eval": ours, "inspect-ai": inspect}
    return found | ({"lm-evaluation-harness": lm_eval} if given.lm_eval_python else {})


def written(address: str) -> int:
    """Return the tokens that the server has written so far."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=60) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("steiner_completion_tokens_total "):
                return int(float(line.split()[1]))
    raise RuntimeError("the server's metrics have no steiner_completion_tokens_total")


def watch(command: Sequence[str], running: Running, log: Path) -> tuple[Rate, float]:
    """Run a harness; return the server's tokens with their seconds, the harness' CPU, and its whole time."""
    import psutil

    base = last = written(running.address)
    begin = first = final = time.perf_counter()
    variables = quiet() | {
        "HERE_BASE_URL": f"{running.address}/v1",
        "HERE_API_KEY": "none",
        "OPENAI_API_KEY": "none",
    }
    cpu = 0.0
    with log.open("wb") as output:
        process = psutil.Popen(
            list(command), stdout=output, stderr=subprocess.STDOUT, env=variables, cwd=log.parent
        )
        while process.poll() is None:
            time.sleep(0.1)
            now = written(running.address)
            if now != last:
                first = time.perf_counter() if last == base else first
                last, final = now, time.perf_counter()
            try:
                cpu = max(cpu, sum(process.cpu_times()[:4]))
            except psutil.NoSuchProcess:
                break
    if process.wait():
        raise RuntimeError(f"{command[0]} failed:\n{log.read_text(errors='replace')[-2000:]}")
    return Rate(last - base, final - first, cpu), time.perf_counter() - begin


def harnesses(given: argparse.Namespace, place: Path) -> None:
    """Print each harness against the same server."""
    model = save_model(place / "model", given.hidden, given.layers)
    with steiner(model, place, 1, "--batch", str(AT_ONCE)) as running:
        asked = commands(given, running.address, place)
        found: dict[str, list[tuple[Rate, float]]] = {name: [] for name in asked}
        for turn in range(given.rounds):
            for name, command in asked.items():
                file = write_questions(
                    place / f"{name.split()[0]}{turn}.jsonl", given.samples, f"{name} {turn}"
                )
                found[name].append(watch(command(file), running, file.with_suffix(".log")))
                one, whole = found[name][-1]
                print(
                    f"  {name}: {one.tokens:,} tokens in {one.seconds:.1f} s, {whole:.1f} s in all",
                    flush=True,
                )
    best = {name: max(one.tokens / one.seconds for one, _ in rounds) for name, rounds in found.items()}
    print(f"{'':24} {'tokens/s':>9} {'of the loop':>12} {'whole s':>8} {'CPU ms a sample':>16}")
    for name, rounds in found.items():
        cpu = min(one.cpu for one, _ in rounds) / given.samples * 1000
        share = best[name] / best["bare aiohttp loop"]
        print(f"{name:24} {best[name]:9,.0f} {share:12.1%} {min(w for _, w in rounds):8.1f} {cpu:16.1f}")
    if not given.lm_eval_python:
        print("lm-evaluation-harness: not installed here (--lm-eval-python)")


if __name__ == "__main__":
    bare_loop(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
