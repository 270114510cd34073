"""A tiny untrained model for the server, and running servers on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from steiner.protocol import CHATML_TEMPLATE, add_control_tokens
from steiner.serve.engines.local import LocalEngine
from steiner.serve.run import make_server, open_socket
from steiner.serve.settings import ServeSettings

CONTEXT = 2048


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: each byte is a token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(specials)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    made.chat_template = CHATML_TEMPLATE
    add_control_tokens(made)
    return made


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Untrained, two layers, with grouped heads and spare rows."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 7,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
    )
    return Qwen2ForCausalLM(config).eval()


@contextmanager
def running(model, tokenizer, **changes) -> Iterator[str]:
    """Run a server in a thread of this process; gives its address."""
    settings = ServeSettings(port=0, name="tiny", **changes)
    engine = LocalEngine(model, tokenizer, settings.engine)
    listening = open_socket(settings)
    server = make_server(engine, settings, settings.name)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"
