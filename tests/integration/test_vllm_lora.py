"""Control tokens trained with LoRA, merged, and served by vLLM: the model writes them in the grammar."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from vllm_server import MODEL, vllm_server

from steiner.protocol import ControlIds, Message, encode_prompt, parse_ids
from steiner.train.lora import save_trained
from steiner.train.model import load_model, load_tokenizer
from steiner.train.settings import ModelSettings
from steiner.train.tokens import token_tables
from tiny_base import PLAIN_TOKENS, base_model

pytestmark = [pytest.mark.slow, pytest.mark.vllm]
pytest.importorskip("peft")

PYTHON = Path(
    os.environ.get("STEINER_VLLM_PYTHON", Path(__file__).resolve().parents[2] / ".vllm" / "bin" / "python")
)
STEP = (
    "<|reasoning_step_start|><|reasoning_step_name_start|>ab<|reasoning_step_name_end|>"
    "<|reasoning_step_thought_start|>cd<|reasoning_step_thought_end|><|reasoning_step_summary_start|>e"
    "<|reasoning_step_summary_end|><|reasoning_step_reflection_start|>f<|reasoning_step_reflection_end|>"
    "<|reasoning_step_end|>"
)
COMPLETION = f"<|reasoning_start|>{STEP}<|reasoning_backtrack|>{STEP}<|reasoning_end|>42<|endoftext|>"


def sharpen(place: str) -> None:
    """Make the rows of a random model long enough for a sure choice between tokens."""
    model = AutoModelForCausalLM.from_pretrained(place)
    with torch.no_grad():
        for table in token_tables(model):
            table.weight.mul_(20)
    model.save_pretrained(place)


def learn(adapted, prompt: list[int], completion: list[int]) -> None:
    """Learn one completion by heart, with some room to the next best token."""
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=3e-3)
    ids = torch.tensor([prompt + completion])
    labels = ids.clone()
    labels[0, : len(prompt)] = -100
    for _ in range(1000):
        loss = adapted(input_ids=ids, labels=labels).loss
        if loss.item() < 0.02:
            return
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    pytest.fail(f"the tiny model did not learn: loss {loss.item():.3f}")


def completed(address: str, prompt: list[int], tokens: int) -> list[int]:
    body = {
        "model": MODEL, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "return_token_ids": True,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{address}/v1/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        ids: list[int] = json.load(reply)["choices"][0]["token_ids"]
    return ids


@pytest.mark.parametrize("tied", [True, False])
def test_a_merged_model_writes_the_new_tokens_in_vllm(tmp_path, tied):
    if not PYTHON.exists():
        pytest.skip(f"no {PYTHON}: `make vllm-env` makes it, or set STEINER_VLLM_PYTHON")
    place = base_model(tmp_path / "base", tied=tied, rows=PLAIN_TOKENS, context=4096, width=64)
    sharpen(place)
    settings = ModelSettings.model_validate({"path": place, "weights": "fp32", "lora": {"rank": 64}})
    tokenizer = load_tokenizer(settings)
    adapted = load_model(settings, tokenizer, 0, "fp32")
    prompt = encode_prompt(tokenizer, [Message(role="user", content="x")])
    completion = tokenizer(COMPLETION, add_special_tokens=False)["input_ids"]
    learn(adapted, prompt, completion)
    save_trained(adapted, tmp_path / "model", settings.lora)
    tokenizer.save_pretrained(tmp_path / "model")
    with vllm_server(PYTHON, tmp_path / "model", tmp_path / "server.log") as server:
        written = completed(server.address, prompt, len(completion) + 8)
    ids = ControlIds.from_tokenizer(tokenizer)
    parsed = parse_ids(tokenizer, written, ids)
    assert parsed.complete, parsed.violations
    assert [step.name for step in parsed.steps] == ["ab", "ab"]
    assert parsed.answer == "42"
    assert written == completion
