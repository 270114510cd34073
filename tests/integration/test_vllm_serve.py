"""`steiner serve --engine vllm`: the same server on the other engine, a tiny model with random weights."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from control_model import installed, save_model

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

READY_SECONDS = 400
ASK = [{"role": "user", "content": "Numbers 3 5 7, target 22"}]
SETTINGS = """
port = {port}
name = "tiny"
[engine]
kind = "vllm"
batch = 8
[engine.vllm]
dtype = "float32"
enforce_eager = true
max_model_len = 1024
block_size = 32
num_gpu_blocks_override = 64
"""


@pytest.fixture(scope="module")
def server(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import socket

    place = tmp_path_factory.mktemp("serve")
    save_model(place / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (place / "serve.toml").write_text(SETTINGS.format(port=port))
    variables = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "PYTHONPATH": installed(place / "installed"),
    }
    command = [
        vllm_python,
        "-m",
        "steiner.cli.main",
        "serve",
        place / "model",
        "--config",
        place / "serve.toml",
    ]
    log = place / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=output, env=os.environ | variables
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while "Serving tiny" not in log.read_text(errors="replace"):
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text(errors="replace")[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


def test_limits_reach_the_engine(client: openai.OpenAI) -> None:
    for least, most in ((1, 1), (2, 3), (5, 5)):
        reply = client.chat.completions.create(
            model="tiny",
            messages=ASK,  # type: ignore[arg-type]
            n=3,
            seed=1,
            temperature=1.5,
            max_completion_tokens=400,
            logprobs=True,
            top_logprobs=2,
            extra_body={"min_steps": least, "max_steps": most, "max_step_tokens": 30, "max_answer_tokens": 8},
        )
        for choice in reply.choices:
            found = choice.message.model_extra["steiner"]
            assert least <= len(found["steps"]) <= most
            assert found["complete"]
            assert choice.finish_reason == "stop"
            assert choice.logprobs.content
            assert all(len(one.top_logprobs) == 2 for one in choice.logprobs.content)


def test_a_stream_is_the_whole(client: openai.OpenAI) -> None:
    options = {"model": "tiny", "messages": ASK, "temperature": 0, "max_completion_tokens": 200}
    limits = {"max_steps": 2, "max_step_tokens": 30, "max_answer_tokens": 8}
    whole = client.chat.completions.create(**options, extra_body=limits)
    text = reasoning = ""
    for chunk in client.chat.completions.create(**options, extra_body=limits, stream=True):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += (choice.delta.model_extra or {}).get("reasoning", "")
    assert text == whole.choices[0].message.content
    assert reasoning == whole.choices[0].message.model_extra["reasoning"]
    again = client.chat.completions.create(**options, extra_body=limits)
    assert again.usage.prompt_tokens_details.cached_tokens > 0


def test_a_client_that_leaves_frees_its_place(server: str, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tiny",
        messages=ASK,  # type: ignore[arg-type]
        stream=True,
        max_completion_tokens=900,
        extra_body={"min_steps": 30},
    )
    next(iter(stream))
    stream.close()
    for _ in range(200):
        figures = httpx.get(f"{server}/metrics").text
        if re.search(r"^steiner_running 0", figures, re.M) and re.search(
            r"^steiner_in_flight 0", figures, re.M
        ):
            return
        time.sleep(0.1)
    pytest.fail("its place is still taken")
