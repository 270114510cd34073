"""A byte-level tokenizer and untrained Qwen2 models: any text, no sense."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from steiner.protocol import CHATML_TEMPLATE, ControlIds, ControlToken, add_control_tokens


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer without merges: each byte is a token. It has control tokens and no chat template."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    add_control_tokens(tokenizer)
    return tokenizer


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Make the same with a chat template."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHATML_TEMPLATE
    return tokenizer


def searching_model(
    tokenizer: PreTrainedTokenizerFast, attention: str = "sdpa", end: float = 6.0
) -> Qwen2ForCausalLM:
    """Make a model with a liking for control tokens, so that fields and searches end by themselves.

    `end` is how much it likes to end the thinking; all other control tokens have 6.
    """
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.5,
        tie_word_embeddings=False,
        attn_implementation=attention,
    )
    ids = ControlIds.from_tokenizer(tokenizer)
    made = Qwen2ForCausalLM(config)
    made.lm_head = torch.nn.Linear(32, len(tokenizer))
    torch.nn.init.normal_(made.lm_head.weight, std=0.5)
    torch.nn.init.zeros_(made.lm_head.bias)
    with torch.no_grad():
        made.lm_head.bias[[*ids.control, ids.eos]] = 6.0
        made.lm_head.bias[ids[ControlToken.END]] = end
    return made.eval()


def save_tiny_model(folder: Path, context: int = 16_384) -> Path:
    """Save a model of a few thousand parameters that knows the control tokens."""
    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
