"""A vLLM server in a process of its own, and what it says that it has done."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

MODEL = "smollm2-135m-instruct"
READY_SECONDS = 600
"""Longest wait for a server; it is ready after one to two minutes."""
QUIET_SECONDS = 60
_LINE = re.compile(r"^(?P<name>[\w:]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)


class Served(NamedTuple):
    """Sums since the server started."""

    replies: int
    """Requests for a completion that were answered with status 200."""
    refused: int
    """Those that were answered with another one."""
    finished: int
    """Completions that came to an end by themselves or at their limit."""
    prompt_tokens: int
    completion_tokens: int

    def minus(self, other: Served) -> Served:
        """Return what has come since `other`."""
        return Served(*(a - b for a, b in zip(self, other, strict=True)))


class VllmServer:
    """Where a running server is, and what it counts."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._process = process
        self._log = log

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: if it ends or takes too long; the message holds the end of its log.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(urllib.error.URLError, OSError):
                self._get("/v1/models")
                return
            time.sleep(1)
        raise RuntimeError(f"vLLM did not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> None:
        """End it and its workers; does nothing to one that has ended."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its workers at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def served(self) -> Served:
        """Return the sums, once nothing is on its way any more."""
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            metrics = [(m["name"], m["labels"] or "", float(m["value"])) for m in self._metrics()]
            if not _sum(metrics, "vllm:num_requests_running") + _sum(metrics, "vllm:num_requests_waiting"):
                break
            assert time.monotonic() < deadline, "the server is still at work"
            time.sleep(0.2)
        chat = 'handler="/v1/chat/completions"'
        all_requests = _sum(metrics, "http_requests_total", chat)
        good = _sum(metrics, "http_requests_total", chat, 'status="2xx"')
        ends = [_sum(metrics, "vllm:request_success_total", f'="{end}"') for end in ("stop", "length")]
        return Served(
            replies=good,
            refused=all_requests - good,
            finished=sum(ends),
            prompt_tokens=_sum(metrics, "vllm:prompt_tokens_total"),
            completion_tokens=_sum(metrics, "vllm:generation_tokens_total"),
        )

    def _metrics(self) -> Iterator[re.Match[str]]:
        return _LINE.finditer(self._get("/metrics"))

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=10) as reply:
            text: str = reply.read().decode()
        return text


OPTIONS = (
    *("--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "4096", "--max-num-seqs", "20"),
    # Otherwise a small model may go on with blank lines between two fields until its tokens are used up.
    *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
)


@contextmanager
def vllm_server(
    python: Path,
    model: Path,
    log: Path,
    options: Sequence[str] = OPTIONS,
    variables: Mapping[str, str] | None = None,
) -> Iterator[VllmServer]:
    """Start vLLM on the CPU, wait until it is ready, and stop it afterwards.

    Args:
        python: interpreter of an environment that holds vLLM.
        model: folder that it is to serve, under the name `MODEL`.
        log: takes what it prints.
        options: of its command line.
        variables: of its environment, beside our own.
    """
    port = free_port()
    command = [
        *(python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", MODEL),
        *options,
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    with started(list(map(str, command)), port, log, variables) as server:
        yield server


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def started(
    command: Sequence[str], port: int, log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[VllmServer]:
    """Run a command that starts vLLM, wait until it is ready, and stop it afterwards."""
    environment = {
        "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
    }  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment | dict(variables or {}),
            start_new_session=True,
        )
    server = VllmServer(port, process, log)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def _sum(metrics: list[tuple[str, str, float]], name: str, *labels: str) -> int:
    return round(sum(v for n, given, v in metrics if n == name and all(label in given for label in labels)))
