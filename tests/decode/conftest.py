"""A byte-level tokenizer and an untrained Qwen2 model, both tiny."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from steiner.protocol import ControlIds
from tiny_model import byte_tokenizer

SPARE_ROWS = 7


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny models are fastest on one thread, by far where other work runs too."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def ids(tokenizer: PreTrainedTokenizerFast) -> ControlIds:
    return ControlIds.from_tokenizer(tokenizer)


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Untrained, with some embedding rows more than the tokenizer has tokens."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + SPARE_ROWS,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.5,
    )
    return Qwen2ForCausalLM(config).eval()
