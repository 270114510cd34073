"""A small tokenizer, made once."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from steiner.dataset.tokenizer import train_tokenizer

TEXTS = [
    "Make 21 from 3 5 7 .",
    "From 3 5 7",
    "left 7 8",
    "go on",
    "target 21 , got 15 , off by 6",
    "(3 * 5) + 7 = 22",
]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny models are fastest on one thread, by far where other work runs too."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, vocab_size=512, numbers_to=30)
