"""Our benchmarks under their names in inspect-ai, and generated tasks from question to verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import read_eval_log

from steiner.core import InputError
from steiner.evaluate.benchmarks import NAMES, DataOptions, find_benchmark, load_benchmark
from steiner.evaluate.inspect_provider import Answered, Asked, hand_in
from steiner.evaluate.inspect_registry import TASKS
from steiner.evaluate.inspect_run import read_run, run_task
from steiner.evaluate.inspect_task import generation, make_task
from steiner.testing import CannedModel, FaultyServer


class Fixed:
    """Answers what it was given for a prompt."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers

    async def ask(self, asked: Asked) -> Answered:
        return Answered(answer=self._answers.get(asked.prompt, "I do not know"))


def sums(tmp_path: Path, count: int = 3) -> Path:
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_every_benchmark_has_a_name_there():
    assert set(TASKS) == {name.partition(":")[0] for name in NAMES} | {"benchmark"}


def test_inspect_finds_a_benchmark_by_name(tmp_path):
    fixed = Fixed({"Q: What is 0 + 1?": "1", "Q: What is 2 + 1?": "It is 3."})
    (log,) = inspect_eval(
        "steiner/gsm8k",
        model=hand_in("by-name", fixed),
        task_args={"data": str(sums(tmp_path)), "template": "Q: {question}"},
        log_dir=str(tmp_path / "logs"),
        display="none",
    )
    assert log.status == "success"
    assert log.eval.task_registry_name == "steiner/gsm8k"
    run = read_run(log)
    assert sorted(sample.right for sample in run.samples) == [False, True, True]
    assert run.name == "gsm8k"


def test_names_with_a_second_part_and_lists_of_files(tmp_path):
    task = TASKS["reasoning-gym"](of="chain_sum", limit=2)
    assert len(task.dataset) == 2
    with pytest.raises(InputError, match="reasoning-gym:NAME"):
        TASKS["reasoning-gym"]()
    with pytest.raises(InputError, match="did you mean 'gsm8k'"):
        TASKS["gsm8k"](of="x")
    one, other = sums(tmp_path), tmp_path / "more.jsonl"
    other.write_text(json.dumps({"question": "What is 8 + 1?", "answer": "#### 9"}))
    for data in ([str(one), str(other)], f"{one},{other}"):
        assert len(TASKS["gsm8k"](data=data).dataset) == 4
    assert [s.target for s in TASKS["gsm8k"](data=str(one), rows="1:3").dataset] == ["2", "3"]
    with pytest.raises(InputError, match="rows"):
        TASKS["gsm8k"](data=str(one), rows="some")


@pytest.mark.parametrize("name", ["chain_sum", "family_relationships", "n_queens"])
def test_generated_tasks_are_asked_and_graded_by_their_own_scorer(name, tmp_path):
    pytest.importorskip("reasoning_gym")
    loaded = load_benchmark(find_benchmark(f"reasoning-gym:{name}"), DataOptions(limit=4, seed=3))
    again = load_benchmark(find_benchmark(f"reasoning-gym:{name}"), DataOptions(limit=4, seed=3))
    assert loaded.version == again.version
    assert len(loaded.problems) == 4
    # The first two are answered with the reference, after reasoning; the others not at all.
    known = {problem.blind().prompt: f"<think>7</think>{problem.answer}" for problem in loaded.problems[:2]}
    run = run_task(
        make_task(loaded), hand_in(name, Fixed(known)), generation(temperature=0.0, max_tokens=64),
        tmp_path / "logs", at_once=2,
    )  # fmt: skip
    right = {sample.problem_id: sample.right for sample in run.samples}
    assert [right[problem.id] for problem in loaded.problems] == [True, True, False, False]


@pytest.mark.slow
def test_the_command_line_of_inspect(tmp_path):
    command = [
        *(str(Path(sys.executable).with_name("inspect")), "eval", "steiner/gsm8k", "--display", "none"),
        *("--model", "openai-api/local/m", "--log-dir", str(tmp_path / "logs"), "--log-format", "json"),
        *("-T", f"data={sums(tmp_path)}", "-T", "limit=2"),
    ]
    with FaultyServer(CannedModel(text="<think>7</think>It is 2.")) as server:
        here = {"LOCAL_BASE_URL": server.base_url, "LOCAL_API_KEY": "none"}
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=300,
            env=os.environ | here,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "logs").glob("*.json")
    samples = read_run(read_eval_log(str(path))).samples
    assert sorted((sample.answer, sample.right) for sample in samples) == [("2", False), ("2", True)]
