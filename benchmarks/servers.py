"""Servers in processes of their own and a model for them, for the benchmarks beside this file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 400
VLLM_OPTIONS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 2048, "block_size": 32}
KV_GIB = "2"


class Running(NamedTuple):
    """A server that answers."""

    address: str
    pid: int


def save_model(folder: Path, hidden: int = 512, layers: int = 8, context: int = 2048) -> Path:
    """Write an untrained model with a byte-level tokenizer; about 2.5 million parameters a layer at 512."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_model import chat_tokenizer

    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 8,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        num_key_value_heads=max(1, hidden // 256),
        max_position_embeddings=context,
        initializer_range=0.05,
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
    return folder


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def vllm_variables(folder: Path, threads: int) -> dict[str, str]:
    """Return the environment of vLLM with this package as if it were installed beside it."""
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    from control_model import installed

    return {
        "PYTHONPATH": installed(folder),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": KV_GIB,
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
    }


@contextmanager
def server(
    command: Sequence[str | Path], port: int, log: Path, variables: dict[str, str] | None = None
) -> Iterator[Running]:
    """Start a server, wait until `/health` answers, and stop it afterwards.

    Raises:
        RuntimeError: if it ends or takes too long; the message holds the end of its log.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"} | (variables or {})
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(f"{address}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.3)
        yield Running(address, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()


@contextmanager
def steiner(model: Path, folder: Path, threads: int, *options: str) -> Iterator[Running]:
    """Run `steiner serve` with its own engine."""
    port = free_port()
    command = [sys.executable, "-m", "steiner.cli.main", "serve", model, "--port", str(port), *options]
    with server(command, port, folder / "steiner.log", {"OMP_NUM_THREADS": str(threads)}) as running:
        yield running


def _answers(address: str) -> bool:
    with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5) as reply:
        return bool(reply.status == 200)
    return False
