"""A tiny model with random weights and our control tokens, and the plugin as an installed package has it."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def save_model(folder: Path) -> None:
    """Write an untrained Qwen2 with a byte-level tokenizer; its taste is strong, whatever it is."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    from steiner.protocol import ensure_chat_template
    from tiny_model import byte_tokenizer

    tokenizer = byte_tokenizer()
    ensure_chat_template(tokenizer)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 15,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def installed(folder: Path) -> str:
    """Return a search path on which this package stands as if it were installed, entry points included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / "steiner-0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: steiner\nVersion: 0\n")
    groups = "\n".join(
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    )
    info.joinpath("entry_points.txt").write_text(groups + "\n")
    return f"{folder}:{ROOT / 'src'}"
