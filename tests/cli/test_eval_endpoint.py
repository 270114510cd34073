"""Benchmarks at an endpoint that goes away in the middle, and at one whose reasoning never ends."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from steiner.cli.eval.endpoint import EndpointAsker
from steiner.cli.main import app
from steiner.evaluate.benchmarks import DataOptions, Loaded, find_benchmark, load_benchmark
from steiner.evaluate.inspect_provider import Answered, Asked, hand_in
from steiner.evaluate.inspect_run import BenchmarkRun, run_task
from steiner.evaluate.inspect_task import generation, make_task
from steiner.synthesis.money import Budget
from steiner.teacher.chat.client import ClientLimits
from steiner.teacher.chat.types import Endpoint
from steiner.testing import CannedModel, FaultyServer

MODEL = CannedModel(text="<think>7</think>It is 3.")
IMPATIENT = ClientLimits(concurrency=1, start_concurrency=1, tries=2, backoff_seconds=0)


def sums(tmp_path: Path, count: int) -> Path:
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


class Stopping:
    """Stops the server before the question after so many."""

    def __init__(self, asker: EndpointAsker, server: FaultyServer, after: int) -> None:
        self._asker, self._server, self._left = asker, server, after

    async def ask(self, asked: Asked) -> Answered:
        if not self._left:
            self._server.stop()
        self._left -= 1
        return await self._asker.ask(asked)


def answered(server: FaultyServer, loaded: Loaded, tmp_path: Path, after: int) -> BenchmarkRun:
    """Run the benchmark with a server that lasts for so many questions."""
    endpoint = Endpoint(base_url=server.base_url, model="m")
    asker = EndpointAsker(tmp_path / "run", endpoint, IMPATIENT, Budget(None, None, None), lambda _: None)
    try:
        name = hand_in("stopping", Stopping(asker, server, after))
        config = generation(temperature=0.0, max_tokens=50)
        return run_task(make_task(loaded), name, config, tmp_path / "logs", at_once=1)
    finally:
        asker.close()


def test_an_endpoint_that_goes_away_and_comes_back(tmp_path):
    loaded = load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(str(sums(tmp_path, 8)),)))
    server = FaultyServer(MODEL).start()
    port = int(server.base_url.rpartition(":")[2].partition("/")[0])
    try:
        first = answered(server, loaded, tmp_path, after=5)
    finally:
        server.stop()
    # What has no answer is an error and no wrong answer.
    assert (first.counts.done, first.counts.errors) == (5, 3)
    assert [sample.answer for sample in first.samples] == ["3"] * 5
    with FaultyServer(MODEL, port=port) as server:
        second = answered(server, loaded, tmp_path, after=8)
        assert server.stats().delivered == 3
    assert (second.counts.done, second.counts.errors) == (8, 0)
    assert sum(sample.right for sample in second.samples) == 1


def test_reasoning_that_never_ends_is_counted_and_wrong(tmp_path):
    run = tmp_path / "run"
    with FaultyServer(CannedModel(text="<think>It is 1, or 2, or 3")) as server:
        line = ["eval", server.base_url, "--model", "m", "--benchmark", "gsm8k", "--run", str(run)]
        result = CliRunner().invoke(app, [*line, "--data", str(sums(tmp_path, 3))])
    assert result.exit_code == 0, result.output
    lines = [line.replace("│", " ").split() for line in result.output.splitlines()]
    assert ["reasoning", "never", "ended", "3"] in lines
    assert ["answer", "forced", "0"] in lines
    stored = json.loads((run / "benchmarks" / "gsm8k" / "evaluation.json").read_text())
    assert [sample["right"] for sample in stored["samples"]] == [False] * 3
    assert [sample["answer"] for sample in stored["samples"]] == [""] * 3
