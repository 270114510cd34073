"""Two processes on CPUs (gloo), with DDP and with FSDP2, learn what one process learns."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from test_stages_killed import save_toml
from trainee import STAGES, in_a_process
from transformers import AutoModelForCausalLM, AutoTokenizer

from steiner.train.settings import CptSettings, RlSettings, SftSettings
from steiner.train.stage import TrainingRecord
from steiner.train.supervised import train_cpt

pytestmark = pytest.mark.slow

TRAINEE = Path(__file__).with_name("trainee.py")
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
"""What `accelerate launch` sets by recipes/accelerate/8-gpus-fsdp2.yaml."""
MODES = {"ddp": {}, "fsdp2": FSDP2}
SAME = 1e-3

Settings = CptSettings | SftSettings | RlSettings


def launched(words: list[str | Path], more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run words of a command, which has to end well."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}
    result = subprocess.run(
        [str(word) for word in words], env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-6000:]
    return result


def on_two(settings: dict[str, Settings], folder: Path, more: dict[str, str]) -> None:
    """Train one stage after the other on two processes."""
    jobs = []
    for stage, one in settings.items():
        file = folder / f"{stage}.json"
        file.write_text(one.model_dump_json())
        jobs.append(f"{stage}:{file}")
    launched([*LAUNCH, TRAINEE, *jobs], more)


def make(run: Path, output: Path, processes: int, **optimiser: Any) -> dict[str, Settings]:
    """Return all stages' settings, with the same sequences in each update on any number of processes."""
    base = run / "cpt" / "model"
    shared = tiny_run.OPTIMISER | {"save_every": 100} | optimiser
    sixteen = shared | {"batch_size": 8 // processes, "gradient_accumulation": 2}
    return {
        "cpt": tiny_run.cpt(run, output / "cpt", tokens=9600, optimiser=sixteen),
        "sft": tiny_run.sft(run, output / "sft", base, tokens=9600, optimiser=sixteen),
        "rl": tiny_run.rl(
            run, output / "rl", base, steps=3, prompts=4, optimiser=shared | {"batch_size": 8 // processes}
        ),
    }


def record(output: Path) -> TrainingRecord:
    return TrainingRecord.model_validate_json((output / "training.json").read_bytes())


def figures(output: Path, name: str) -> list[float]:
    return [point.values[name] for point in record(output).curve]


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tiny_run.make_run(tmp_path_factory.mktemp("tiny") / "run")
    train_cpt(tiny_run.cpt(run, run / "cpt"))
    return run


@pytest.fixture(scope="module")
def alone(run: Path) -> Path:
    """Outputs of all stages on one process."""
    for stage, settings in make(run, run / "alone", 1).items():
        in_a_process(stage, settings)
    return run / "alone"


@pytest.fixture(scope="module")
def together(run: Path) -> Callable[[str], Path]:
    """Outputs of all stages on two processes, by mode; trained when first asked for."""
    done: set[str] = set()

    def output(mode: str) -> Path:
        if mode not in done:
            (run / mode).mkdir()
            on_two(make(run, run / mode, 2), run / mode, MODES[mode])
            done.add(mode)
        return run / mode

    return output


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_learn_what_one_learns(mode, stage, alone, together):
    one, two = alone / stage, together(mode) / stage
    assert record(two).steps == record(one).steps > 2
    assert record(two).tokens == record(one).tokens
    assert record(two).parameters == record(one).parameters
    assert figures(two, "loss") == pytest.approx(figures(one, "loss"), abs=SAME)
    assert figures(two, "grad_norm") == pytest.approx(figures(one, "grad_norm"), rel=1e-2, abs=SAME)
    if stage == "rl":
        assert figures(two, "reward") == pytest.approx(figures(one, "reward"), abs=SAME)
        assert max(map(abs, figures(one, "loss"))) > SAME
    found, wanted = weights(two), weights(one)
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, atol=SAME, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_what_two_processes_leave_is_a_plain_model(mode, alone, together, run):
    output = together(mode) / "sft"
    model = AutoModelForCausalLM.from_pretrained(output / "model")
    plain = AutoModelForCausalLM.from_pretrained(alone / "sft" / "model")
    tokenizer = AutoTokenizer.from_pretrained(output / "model")
    ids = tokenizer("From 3 5 7", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, plain(ids).logits, atol=1e-2, rtol=0)
    assert {path.name for path in output.iterdir()} == {path.name for path in (alone / "sft").iterdir()}
    assert not list((output / "model").glob("*.bin"))


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_go_on_from_a_checkpoint(mode, run, together, tmp_path):
    whole = together(mode) / "sft"
    settings = make(run, tmp_path, 2, save_every=2)["sft"]
    file = tmp_path / "sft.json"
    file.write_text(settings.model_dump_json())
    died = subprocess.run(
        [*LAUNCH, str(TRAINEE), f"sft:{file}"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "DIE_AT": "3", **MODES[mode]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode != 0
    assert [path.name for path in (tmp_path / "sft").glob("checkpoint-*")] == ["checkpoint-2"]
    launched([*LAUNCH, TRAINEE, f"sft:{file}"], MODES[mode])
    assert record(tmp_path / "sft").steps == record(whole).steps
    found, wanted = weights(tmp_path / "sft"), weights(whole)
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def test_the_command_line_under_torchrun_and_accelerate(run, tmp_path):
    configs = {}
    for name in ("torchrun", "accelerate"):
        settings = tiny_run.sft(run, tmp_path / name, run / "cpt" / "model", tokens=600)
        configs[name] = save_toml(settings, tmp_path / f"{name}.toml")
    command = ["-m", "steiner.cli.main", "train", "sft", "--config"]
    first = launched([*LAUNCH, *command, configs["torchrun"]], {})
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    second = launched([*accelerate, *command, configs["accelerate"]], {"ACCELERATE_USE_CPU": "true"})
    for result in (first, second):
        assert result.stdout.count("model: ") == 1, "one process tells what came out"
    # On CPUs accelerate starts several processes through MPI only, and one without it.
    assert "processes" in record(tmp_path / "torchrun").inputs
    assert weights(tmp_path / "torchrun").keys() == weights(tmp_path / "accelerate").keys()


def test_a_mistake_is_told_once(run, tmp_path):
    settings = tiny_run.sft(run, tmp_path / "sft", run / "cpt" / "model", tokens=600)
    config = save_toml(settings, tmp_path / "sft.toml")
    launched([*LAUNCH, "-m", "steiner.cli.main", "train", "sft", "--config", config], {})
    config.write_text(config.read_text().replace("seed = 0", "seed = 1"))
    result = subprocess.run(
        [*LAUNCH, "-m", "steiner.cli.main", "train", "sft", "--config", str(config)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert result.stderr.count("seed was 0, now 1") == 1
    # torchrun writes a traceback of its own when a process ends with an error.
    assert "ResumeError" not in result.stderr
