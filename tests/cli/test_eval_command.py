"""`steiner eval` with real parts: an endpoint with faults, a budget, a kill, a model in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from steiner.cli.eval.endpoint import outline_only, to_answered
from steiner.cli.eval.work import data_for
from steiner.cli.main import app
from steiner.core import InputError
from steiner.evaluate import saved
from steiner.teacher.chat.types import Finish, Reply, Usage
from steiner.testing import CannedModel, Faults, FaultyServer

USAGE = Usage(prompt_tokens=10, completion_tokens=20, reasoning_tokens=7)


def sums(tmp_path, count: int):
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def command(server, path, run, *more: str) -> list[str]:
    address = [
        server.base_url,
        "--model",
        "m",
        "--benchmark",
        "gsm8k",
        "--data",
        str(path),
        "--run",
        str(run),
    ]
    return ["eval", *address, "--max-tokens", "50", *more]


def test_a_budget_stops_before_it_and_more_goes_on_through_faults(tmp_path):
    path, run = sums(tmp_path, 12), tmp_path / "run"
    with FaultyServer(CannedModel(text="<think>7</think>It is 3."), Faults.transport(0.3), seed=2) as server:
        few = command(server, path, run, "--price-input", "10", "--price-output", "10", "--concurrency", "2")
        first = CliRunner().invoke(app, [*few, "--budget-usd", "0.008"])
        assert first.exit_code == 5
        assert "is used up" in first.output
        delivered = server.stats().delivered
        assert 0 < delivered < 12
        # A question that met too many faults is an error, which the same command asks again.
        codes = [CliRunner().invoke(app, [*few, "--budget-usd", "1"]).exit_code for _ in range(4)]
        assert set(codes) <= {0, 1}
        assert codes[-1] == 0
        assert server.stats().delivered_again == 0
    evaluation = saved.load(run / "benchmarks" / "gsm8k" / "evaluation.json")
    assert len(evaluation.samples) == 12
    assert sum(sample.right for sample in evaluation.samples) == 1
    changed = CliRunner().invoke(app, [*few, "--seed", "4"])
    assert changed.exit_code != 0


@pytest.mark.slow
def test_after_a_kill_the_same_command_asks_only_for_the_rest(tmp_path):
    path, run = sums(tmp_path, 30), tmp_path / "run"
    with FaultyServer(CannedModel(text="It is 3."), Faults(latency_s=0.15)) as server:
        line = [sys.executable, "-m", "steiner.cli.main", *command(server, path, run, "--concurrency", "3")]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.stats().delivered < 8 and process.poll() is None:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = server.stats().delivered
        assert before < 30
        assert subprocess.run(line, check=False, stdout=subprocess.DEVNULL).returncode == 0
        # What was on its way at the kill had to be sent again; nothing else.
        assert server.stats().delivered <= 30 + 3
    evaluation = saved.load(run / "benchmarks" / "gsm8k" / "evaluation.json")
    assert len({sample.problem_id for sample in evaluation.samples}) == 30


def test_what_is_stored_of_a_hidden_question_is_letter_and_moves():
    outline = "● secret a\nsecret\n\n↓ b\nsecret\n\n↩ c\nsecret\n"
    reply = Reply(
        text="The option 'lead' is right.",
        reasoning=outline,
        finish=Finish.STOP,
        usage=USAGE,
        seconds=1,
        tries=1,
    )
    kept = outline_only(reply, ("gold", "lead"))
    assert "secret" not in kept.model_dump_json()
    assert "lead" not in kept.text
    full, short = to_answered(reply), to_answered(kept)
    assert (
        (short.steps, short.backtracks, short.closed) == (full.steps, full.backtracks, True) == (3, 1, True)
    )
    assert "(B)" in short.answer
    unclosed = outline_only(reply.model_copy(update={"text": "<think>secret", "reasoning": ""}), ("x", "y"))
    assert not to_answered(unclosed).closed
    assert "secret" not in unclosed.model_dump_json()


def test_each_of_several_benchmarks_needs_its_own_data():
    assert data_for("gsm8k", ["a.jsonl", "b.jsonl"], 1) == ("a.jsonl", "b.jsonl")
    assert data_for("aime24", ["gsm8k=a.jsonl", "aime24=b.jsonl"], 2) == ("b.jsonl",)
    with pytest.raises(InputError, match="NAME="):
        data_for("aime24", ["a.jsonl"], 2)


def test_a_wrong_file_is_found_out_before_anything_is_asked(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"prompt": "a", "answer": "#### 1"}')
    result = CliRunner().invoke(
        app, ["eval", "http://127.0.0.1:9/v1", "--model", "m", "--benchmark", "gsm8k", "--data", str(path)]
    )
    assert result.exit_code == 2
    assert "no column 'question'" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("control", ["strict", "off"])
def test_a_local_model_always_answers(tmp_path, control, monkeypatch):
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "integration"))
    from control_model import save_model

    save_model(tmp_path / "model")
    found = []
    for where in ("--engine-process", "--no-engine-process"):
        run = tmp_path / where
        result = CliRunner().invoke(
            app,
            ["eval", str(tmp_path / "model"), "--benchmark", "countdown", "--limit", "6",
             "--max-tokens", "120", "--control", control, "--run", str(run), where],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        samples = saved.load(run / "benchmarks" / "countdown" / "evaluation.json").samples
        found.append([sample.model_copy(update={"seconds": None}) for sample in samples])
    assert len(found[0]) == 6
    # Whether it ended by itself or was closed for it, each got as far as an answer.
    assert all(sample.tokens and sample.tokens > sample.reasoning_tokens for sample in found[0])
    assert found[0] == found[1]
