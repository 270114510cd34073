"""A tiny untrained model for the server, and running servers on it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from steiner.serve.engines.local import LocalEngine
from steiner.serve.run import make_server, open_socket
from steiner.serve.settings import ServeSettings

CONTEXT = 2048


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
def running(model, tokenizer, send_buffer: int | None = None, **changes) -> Iterator[str]:
    """Run a server in a thread of this process; gives its address.

    `send_buffer` is what the kernel holds for a client in bytes, megabytes by default.
    """
    settings = ServeSettings(port=0, name="tiny", **changes)
    engine = LocalEngine(model, tokenizer, settings.engine)
    listening = open_socket(settings)
    if send_buffer is not None:
        # Connections have the buffer of the socket that accepts them.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
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
