"""Tokenizers with control tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from protocol_material import byte_level, metaspace, word_level
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from steiner.protocol import add_control_tokens


@pytest.fixture(scope="session", params=[byte_level, word_level, metaspace], ids=lambda make: make.__name__)
def any_tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    tokenizer = request.param()
    add_control_tokens(tokenizer)
    return tokenizer


@pytest.fixture(scope="session")
def tiny() -> PreTrainedTokenizerFast:
    tokenizer = byte_level()
    add_control_tokens(tokenizer)
    return tokenizer


@pytest.fixture(scope="session")
def qwen_as_published(shared_data: Path) -> PreTrainedTokenizerFast:
    folder = shared_data / "qwen2.5_tokenizer"
    if not folder.is_dir():
        pytest.skip(f"no Qwen2.5 tokenizer at {folder}; set STEINER_SHARED_DATA to the folder that holds it")
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def qwen(qwen_as_published: PreTrainedTokenizerFast, shared_data: Path) -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(shared_data / "qwen2.5_tokenizer")
    add_control_tokens(tokenizer)
    return tokenizer
