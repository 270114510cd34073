"""Somebody else's base model, tiny: its tokenizer has neither control tokens nor a chat template."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

PLAIN_TOKENS = 300


def plain_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of somebody else's base model: no control tokens, no chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = letters + [f"w{n}" for n in range(PLAIN_TOKENS - len(letters) - 3)]
    backend = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )


def base_model(folder: Path, *, tied: bool, rows: int, context: int = 128, width: int = 16) -> str:
    """Save an untrained base model of `rows` rows and its plain tokenizer."""
    tokenizer = plain_tokenizer()
    assert len(tokenizer) == PLAIN_TOKENS
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
