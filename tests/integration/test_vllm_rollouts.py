"""RL whose completions a real vLLM server writes: it has the weights in training, and keeps every limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_run
import torch
from control_model import installed
from odd_task import OddReader, odd_is_right
from test_processes import LAUNCH, MODES, SAME, TRAINEE, launched
from transformers import AutoModelForCausalLM, AutoTokenizer
from vllm_server import VllmServer, free_port, started

from steiner.core import InputError, NoProgress, StepBudget
from steiner.decode import Mode, StepControl
from steiner.decode.generate import generate
from steiner.protocol import ControlIds, ControlToken
from steiner.store import RunDir
from steiner.train.monitor.alarms import STALE
from steiner.train.monitor.figures import SAMPLING_GAP
from steiner.train.rl import _problems, train_rl
from steiner.train.rollout import Rollout, RolloutWriter
from steiner.train.rollout_engine import ask
from steiner.train.rollout_launch import VARIABLES, server_command
from steiner.train.rollout_server import RolloutServer
from steiner.train.settings import RlSettings
from steiner.train.stage import TrainingRecord
from steiner.train.supervised import train_cpt, train_sft

TESTS = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

SEARCH = f"{TESTS}:{TESTS / 'train'}"
"""Where the processes of a launcher find what the tests share."""
QUIET = 0.01
"""Nats that rounding may put between vLLM and transformers, in fp32."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_run(tmp_path_factory.mktemp("rollouts") / "run")


@pytest.fixture(scope="module")
def base(run: Path) -> Path:
    wide = tiny_run.ARCHITECTURE | {"hidden_size": 64}  # heads of 16 are too small for vLLM on the CPU
    model = {"architecture": wide, "tokenizer": str(run / "tokenizer")}
    train_cpt(tiny_run.cpt(run, run / "cpt", tokens=600, model=model))
    optimiser = tiny_run.OPTIMISER | {"learning_rate": 0.01, "save_every": 1000}
    known = {"tokens": 250_000, "packing": True, "optimiser": optimiser}  # enough to write several steps
    train_sft(tiny_run.sft(run, run / "sft", run / "cpt" / "model", **known))
    return run / "sft" / "model"


def rl(run: Path, base: Path, output: Path, port: int, **changes: Any) -> RlSettings:
    """Three updates, far enough that a model of before them writes something else."""
    values = {
        "steps": 3,
        "prompts": 4,
        "max_steps": 4,
        "max_reasoning_tokens": 300,
        "rollouts": {"engine": "vllm", "base_url": f"http://127.0.0.1:{port}"},
        "optimiser": tiny_run.OPTIMISER | {"batch_size": 8, "save_every": 1, "learning_rate": 0.003},
    }
    return tiny_run.rl(run, output, base, **values | changes)


@contextmanager
def serving(settings: RlSettings, python: Path, place: Path, port: int) -> Iterator[VllmServer]:
    """Run the server that `steiner train rollout-server` would start."""
    place.mkdir()
    more = ["--enforce-eager", "--max-num-seqs", "8"]
    command = server_command(settings, str(python), more)
    variables = VARIABLES | {"PYTHONPATH": installed(place / "installed"), "OMP_NUM_THREADS": "1"}
    with started(command, port, place / "server.log", variables) as server:
        yield server


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(
    run: Path, base: Path, vllm_python: Path, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    place = tmp_path_factory.mktemp("server") / "first"
    with serving(rl(run, base, run / "none", port), vllm_python, place, port) as running:
        yield running


def greedy_of_server(settings: RlSettings, tokenizer: Any, prompts: list[tuple[int, ...]]) -> list[list[int]]:
    server = RolloutServer(settings.rollouts)
    served = server.check(tokenizer)
    asked = [ask(prompt, StepBudget(max_steps=3, max_reasoning_tokens=120), 0, 6, 512) for prompt in prompts]
    return [list(one.completion_ids) for one in server.complete(served.name, asked, 0.0, None)]


def greedy_of_model(folder: Path, tokenizer: Any, prompts: list[tuple[int, ...]]) -> list[list[int]]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    budget = StepBudget(max_steps=3, max_reasoning_tokens=120)
    written = generate(model, tokenizer, prompts, budget, max_answer_tokens=6)
    return [list(one.completion_ids) for one in written]


def prompts_of(settings: RlSettings, tokenizer: Any) -> list[tuple[int, ...]]:
    with RunDir(settings.run, read_only=True) as run:
        return [one.prompt_ids for one in _problems(run, settings, tokenizer)]


class Trained(NamedTuple):
    """What a training on one process left."""

    record: TrainingRecord
    batches: list[list[Rollout]]
    model: Path


@pytest.fixture(scope="module")
def alone(run: Path, base: Path, server: VllmServer, port: int) -> Trained:
    settings = rl(run, base, run / "alone", port)
    with pytest.MonkeyPatch.context() as patch:
        batches = watch(patch)
        return Trained(train_rl(settings, odd_is_right, OddReader()), batches, run / "alone" / "model")


def watch(monkeypatch: pytest.MonkeyPatch) -> list[list[Rollout]]:
    """Return the batches that a training will have written, and lets each be written as ever."""
    batches: list[list[Rollout]] = []
    write = RolloutWriter.write

    def watched(self: RolloutWriter, *arguments: Any) -> list[Rollout]:
        batches.append(write(self, *arguments))
        return batches[-1]

    monkeypatch.setattr(RolloutWriter, "write", watched)
    return batches


def figures(record: TrainingRecord, name: str) -> list[float]:
    return [point.values[name] for point in record.curve]


def test_the_server_has_the_weights_in_training(run, base, alone, port):
    settings = rl(run, base, run / "alone", port)
    assert alone.record.steps == 3
    assert max(figures(alone.record, SAMPLING_GAP)) < QUIET
    assert min(figures(alone.record, "rollouts/weights_bytes")) > 4 * alone.record.parameters
    assert alone.record.settings["rollouts"] == {"engine": "vllm"}  # a server may move
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompts = prompts_of(settings, tokenizer)
    trained = greedy_of_model(alone.model, tokenizer, prompts)
    assert greedy_of_model(base, tokenizer, prompts) != trained
    assert greedy_of_server(settings, tokenizer, prompts) == trained


def test_each_prompt_keeps_its_own_limit(run, base, alone, port):
    settings = rl(run, base, run / "alone", port)
    ids = ControlIds.from_tokenizer(AutoTokenizer.from_pretrained(base))
    control = StepControl(ids, Mode.STRICT, settings.max_answer_tokens)
    rollouts = [one for batch in alone.batches for one in batch]
    assert len(rollouts) == 3 * settings.prompts * settings.group
    stopped = set()
    for one in rollouts:
        written, limit = one.completion.completion_ids, one.budget.max_steps
        assert written[-1] == ids.eos
        assert written.count(ids[ControlToken.STEP_END]) <= limit
        for place, number in enumerate(written):
            assert control.allowed(written[:place], one.budget).allows(number, ids)
        end = written.index(ids[ControlToken.END])
        if not one.chosen[end] and len(one.completion.parsed.steps) == limit:
            stopped.add(limit)
    assert len({one.budget.max_steps for one in rollouts}) >= 3
    assert len(stopped) >= 2, "no limit was ever reached: the test shows nothing"


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_share_a_server(mode, run, base, alone, port):
    settings = rl(run, base, run / mode, port)
    optimiser = settings.optimiser.model_dump() | {"batch_size": 4}
    values = settings.model_dump(mode="json") | {"optimiser": optimiser}
    values["rollouts"] = {"engine": "vllm", "base_url": settings.rollouts.base_url}
    file = run / f"{mode}.json"
    file.write_text(json.dumps(values))
    launched([*LAUNCH, TRAINEE, f"rl:{file}"], MODES[mode] | {"PYTHONPATH": SEARCH})
    record = TrainingRecord.model_validate_json((run / mode / "training.json").read_bytes())
    assert max(figures(record, SAMPLING_GAP)) < QUIET
    assert figures(record, "loss") == pytest.approx(figures(alone.record, "loss"), abs=SAME)
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompts = prompts_of(settings, tokenizer)
    trained = greedy_of_model(run / mode / "model", tokenizer, prompts)
    assert greedy_of_server(settings, tokenizer, prompts) == trained


def test_weights_that_do_not_arrive_are_seen(run, base, server, port, tmp_path, monkeypatch):
    settings = rl(run, base, tmp_path / "rl", port, steps=6)
    RolloutServer(settings.rollouts).load(base)
    monkeypatch.setattr(RolloutServer, "load", lambda *_: None)
    with pytest.raises(InputError, match=STALE):
        train_rl(settings, odd_is_right, OddReader())


class KillsServer(NoProgress):
    """Ends a server after the first update."""

    def __init__(self, server: VllmServer) -> None:
        self._server = server

    def update(self, done: float, note: str = "") -> None:
        if done == 1:
            self._server.kill()


def test_a_dead_server_ends_the_stage_which_goes_on_with_another(
    run, base, server, port, vllm_python, tmp_path, monkeypatch
):
    settings = rl(run, base, tmp_path / "rl", port)
    with pytest.raises(InputError, match="does not answer") as caught:
        train_rl(settings, odd_is_right, OddReader(), progress=KillsServer(server))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code != 0
    assert [folder.name for folder in (tmp_path / "rl").glob("checkpoint-*")] == ["checkpoint-1"]
    other = free_port()
    moved = rl(run, base, tmp_path / "rl", other)
    batches = watch(monkeypatch)
    with serving(moved, vllm_python, tmp_path / "second", other):
        record = train_rl(moved, odd_is_right, OddReader())
    assert record.steps == 3
    assert [batch[0].group for batch in batches] == [4, 8]  # the first update is not made again
    assert (
        max(figures(record, SAMPLING_GAP)) < QUIET
    )  # its weights, not those that the second server began with
