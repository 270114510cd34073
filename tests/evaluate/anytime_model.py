"""An untrained model whose searches end by themselves, on disk, and a run with problems for it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from steiner.core import Settings
from steiner.dataset.tokenizer import train_tokenizer
from steiner.problems.countdown import CountdownSettings, Split, generate
from steiner.protocol import ControlIds, ControlToken
from steiner.store import RunDir, Stage, StoredRecord


def save_model(folder: Path) -> Path:
    """Write it. Control tokens have longer output rows, so that one of them is often the likeliest."""
    tokenizer = train_tokenizer(["Make 22 from 3 5 7.", "go on"], vocab_size=300, numbers_to=9)
    ids = ControlIds.from_tokenizer(tokenizer)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512, initializer_range=0.5,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[[*ids.control, ids.eos]] *= 4
        model.lm_head.weight[ids[ControlToken.END]] *= 1.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_problems(folder: Path, n: int) -> Path:
    """Write a run that holds problems."""
    sizes = CountdownSettings(count=3, high=9, target_high=60)
    with RunDir(folder) as run:
        stage = Stage(run, "problems", Settings())
        found = generate(sizes, n, Split.NEW_INPUTS)
        stage.put([StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(found)])
        stage.finish({})
    return folder
