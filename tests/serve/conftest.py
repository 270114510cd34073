"""A tiny untrained model, and a server on it, for all tests of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny_server import make_model, running
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from steiner.protocol import ControlIds
from tiny_model import chat_tokenizer


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return chat_tokenizer()


@pytest.fixture(scope="session")
def ids(tokenizer: PreTrainedTokenizerFast) -> ControlIds:
    return ControlIds.from_tokenizer(tokenizer)


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    return make_model(tokenizer)


@pytest.fixture(scope="session")
def server(model, tokenizer) -> Iterator[str]:
    with running(model, tokenizer) as address:
        yield address
