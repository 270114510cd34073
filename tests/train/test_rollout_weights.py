"""Weights on their way to a rollout server, and the command that starts one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS
from steiner.train import rollout_launch
from steiner.train.model import load_model, load_tokenizer
from steiner.train.rollout_launch import served_folder, server_command
from steiner.train.rollout_weights import write_weights
from steiner.train.settings import ModelSettings, RlSettings
from tiny_base import PLAIN_TOKENS, base_model

PROMPT = torch.tensor([[1, 2, *range(PLAIN_TOKENS, PLAIN_TOKENS + 14), 3]])


def load(place: str, lora: dict[str, object] | None = None):
    given = ModelSettings.model_validate({"path": place, "lora": lora, "weights": "fp32"})
    return load_model(given, load_tokenizer(given), 0, "fp32").eval()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=PROMPT).logits


def changed(model) -> None:
    """Move every weight that is trained."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.parametrize("lora", [None, {"rank": 4}])
@pytest.mark.parametrize("tied", [True, False])
def test_what_travels_is_the_model_in_training(tmp_path, tied, lora):
    if lora:
        pytest.importorskip("peft")
    model = load(base_model(tmp_path / "base", tied=tied, rows=PLAIN_TOKENS), lora)
    changed(model)
    before = logits(model)
    for untie in (False, True):
        sent = write_weights(model, tmp_path / "sent", "fp32", untie=untie)
        file = tmp_path / "sent" / "model.safetensors"
        assert sent == file.stat().st_size
        assert ("lm_head.weight" in load_file(file)) == (untie or not tied)
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "sent").eval()
        assert plain.config.tie_word_embeddings == (tied and not untie)
        torch.testing.assert_close(logits(plain), before, atol=1e-5, rtol=0)
    assert torch.equal(logits(model), before)


def test_weights_travel_in_the_precision_of_the_training(tmp_path):
    model = load(base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS))
    whole = write_weights(model, tmp_path / "sent", "fp32")
    half = write_weights(model, tmp_path / "sent", "bf16", model.state_dict())
    assert half < 0.6 * whole
    kept = load_file(tmp_path / "sent" / "model.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def settings(tmp_path: Path, place: str, **changes: object) -> RlSettings:
    rollouts = {"engine": "vllm", "base_url": "http://127.0.0.1:8377", "weights": str(tmp_path / "weights")}
    values = {
        "output": str(tmp_path / "out"),
        "run": "run",
        "steps": 1,
        "model": {"path": place},
        "rollouts": rollouts,
        "optimiser": {"precision": "fp32"},
    }
    return RlSettings.model_validate(values | changes)


def test_a_server_begins_with_a_whole_model_of_the_right_shape(tmp_path):
    place = base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS)
    folder = served_folder(settings(tmp_path, place))
    assert folder == tmp_path / "weights" / "start"
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(model), logits(load(place)), atol=1e-6, rtol=0)
    assert {str(token) for token in CONTROL_TOKENS} <= set(AutoTokenizer.from_pretrained(folder).get_vocab())


def test_a_model_that_can_be_served_as_it_is_is_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(rollout_launch, "untied", lambda: False)  # as where there is a GPU
    place = base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS)
    once = served_folder(settings(tmp_path, place))
    assert once == tmp_path / "weights" / "start"  # it has no control tokens
    assert served_folder(settings(tmp_path, str(once))) == once
    other = settings(tmp_path, str(once), model={"path": str(once), "tokenizer": place})
    assert served_folder(other) == tmp_path / "weights" / "start"


def test_the_command_of_a_server(tmp_path):
    place = base_model(tmp_path / "base", tied=False, rows=PLAIN_TOKENS)
    command = server_command(settings(tmp_path, place), "there/bin/python", ["--max-num-seqs", "8"])
    assert command[:3] == ["there/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    named = dict(zip(command[3:-3:2], command[4:-2:2], strict=True))
    assert named == {
        "--model": str(tmp_path / "weights" / "start"), "--served-model-name": "policy",
        "--dtype": "float32", "--host": "127.0.0.1", "--port": "8377",
    }  # fmt: skip
    assert command[-3:] == ["--no-enable-chunked-prefill", "--max-num-seqs", "8"]
    with pytest.raises(InputError, match='engine = "vllm"'):
        server_command(settings(tmp_path, place, rollouts={}), "python")


def test_the_command_line_starts_what_it_prints(tmp_path, monkeypatch):
    place = base_model(tmp_path / "base", tied=False, rows=PLAIN_TOKENS)
    given = settings(tmp_path, place)
    config = tmp_path / "rl.toml"
    lines = [f'{key} = "{getattr(given, key)}"' for key in ("output", "run")]
    lines += ["steps = 1", f'model.path = "{place}"', 'optimiser.precision = "fp32"']
    lines += ['rollouts.engine = "vllm"', f'rollouts.weights = "{tmp_path / "weights"}"']
    config.write_text("\n".join(lines))
    started: list[tuple[list[str], str]] = []
    monkeypatch.setattr(
        "os.execvpe", lambda _, command, given: started.append((command, given["VLLM_SERVER_DEV_MODE"]))
    )
    words = ["train", "rollout-server", "--config", str(config), "--python", "there/python", "--seed", "1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    ((command, mode),) = started
    assert mode == "1"
    assert command[0] == "there/python"
    assert command[-2:] == ["--seed", "1"]
    assert "VLLM_SERVER_DEV_MODE=1 there/python -m vllm" in done.output.replace("\n", " ")


def test_an_interpreter_that_is_not_there(tmp_path):
    place = base_model(tmp_path / "base", tied=False, rows=PLAIN_TOKENS)
    config = tmp_path / "rl.toml"
    config.write_text(
        f'output = "o"\nrun = "r"\nsteps = 1\nmodel.path = "{place}"\nrollouts.engine = "vllm"\n'
        f"rollouts.weights = {json.dumps(str(tmp_path / 'weights'))}\n"
    )
    words = ["train", "rollout-server", "--config", str(config), "--python", str(tmp_path / "none")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "cannot be run" in done.output
