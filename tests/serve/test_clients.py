"""Clients that people use, against a running server: llm, langchain, inspect-ai and curl.

The official client has a file of its own, `test_serve_openai.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

LIMITS = {"max_steps": 2, "max_step_tokens": 40}
QUESTION = "Numbers 3 5 7, target 22"
MODELS = """
- {{model_id: chat, model_name: tiny, api_base: "{address}/v1", reasoning: true}}
- {{model_id: responses, model_name: tiny, api_base: "{address}/v1", reasoning: true, responses: true}}
"""


@pytest.fixture
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def llm(server: str, tmp_path: Path):
    """Return a function that runs the command `llm`; gives stdout and stderr as bytes."""
    (tmp_path / "extra-openai-models.yaml").write_text(MODELS.format(address=server))
    variables = {**os.environ, "LLM_USER_PATH": str(tmp_path), "PYTHONIOENCODING": "utf-8"}

    def run(*options: str) -> tuple[bytes, bytes]:
        done = subprocess.run([sys.executable, "-m", "llm", *options], env=variables, capture_output=True)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout, done.stderr

    return run


def test_llm_streams_what_the_official_client_gets(llm, client: openai.OpenAI) -> None:
    same = {"reasoning_effort": "low", "max_tokens": 200, "seed": 3, "temperature": 0.5}
    options = [part for name, value in same.items() for part in ("-o", name, str(value))]
    said, _ = llm("-m", "chat", *options, QUESTION)
    reply = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": QUESTION}],
        **same,  # type: ignore[call-overload]
    )
    assert reply.choices[0].message.content
    assert said.decode() == reply.choices[0].message.content + "\n"


@pytest.mark.slow
def test_llm_shows_the_reasoning_and_goes_on(llm) -> None:
    """By /v1/responses; a second turn sends the reasoning item back."""
    options = ("-o", "max_tokens", "120", "-o", "temperature", "0", "-o", "reasoning_effort", "minimal")
    answer, reasoning = llm("-m", "responses", *options, QUESTION)
    assert reasoning.decode().startswith("● ")
    assert answer.strip()
    second, again = llm("-c", *options, "And with 23?")
    assert second.strip()
    assert again.decode().startswith("● ")


def test_langchain_chat(server: str) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model="tiny",
        base_url=f"{server}/v1",
        api_key="none",
        seed=5,
        max_completion_tokens=200,
        reasoning_effort="low",
        extra_body=LIMITS,
        stream_usage=True,
    )
    whole = chat.invoke(QUESTION)
    parts = list(chat.stream(QUESTION))
    assert whole.content
    assert "".join(part.content for part in parts) == whole.content
    usage = [part.usage_metadata for part in parts if part.usage_metadata]
    assert usage == [whole.usage_metadata]
    assert whole.usage_metadata["output_token_details"]["reasoning"] > 0


def test_langchain_shows_the_reasoning(server: str) -> None:
    """By /v1/responses: langchain drops the reasoning of chat completions."""
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model="tiny",
        base_url=f"{server}/v1",
        api_key="none",
        use_responses_api=True,
        output_version="responses/v1",
        reasoning={"effort": "low", "summary": "auto"},
        max_completion_tokens=200,
        extra_body={**LIMITS, "seed": 5},
    )
    whole = chat.invoke(QUESTION)
    thought, said = whole.content
    assert thought["type"] == "reasoning"
    assert thought["summary"][0]["text"].startswith("● ")
    assert said["text"] == whole.text
    added = None
    for part in chat.stream(QUESTION):
        added = part if added is None else added + part
    assert added is not None
    assert added.text == whole.text
    # The second turn carries what the first one thought.
    assert chat.invoke([("user", QUESTION), whole, ("user", "And with 23?")]).text


def test_inspect_evaluates(server: str, tmp_path: Path) -> None:
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes

    model = get_model("openai-api/steiner/tiny", base_url=f"{server}/v1", api_key="none")
    samples = [Sample(input=QUESTION, target="22"), Sample(input="Numbers 1 2, target 3", target="3")]
    (log,) = evaluate(
        Task(dataset=samples, scorer=includes()),
        model=model,
        seed=2,
        max_tokens=200,
        reasoning_effort="low",
        extra_body=LIMITS,
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.status == "success", log.error
    assert log.samples is not None
    for sample in log.samples:
        thought, said = sample.output.message.content
        assert thought.type == "reasoning"
        assert thought.reasoning.startswith("● ")
        assert said.text
        assert sample.output.usage.reasoning_tokens > 0
        assert set(sample.scores) == {"includes"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
class TestCurl:
    """As in docs/serving.md."""

    def ask(self, address: str, *options: str, **body: object) -> str:
        sent = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 200, "seed": 4, **body}
        done = subprocess.run(
            [
                *("curl", "--silent", "--show-error", *options, f"{address}/v1/chat/completions"),
                *("-H", "Content-Type: application/json", "-d", json.dumps(sent)),
            ],
            capture_output=True,
            check=True,
        )
        return done.stdout.decode()

    def test_stream_and_whole_agree(self, server: str) -> None:
        whole = json.loads(self.ask(server, "--fail", **LIMITS))["choices"][0]["message"]
        lines = self.ask(server, "--fail", "--no-buffer", stream=True, **LIMITS).split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        deltas = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines[:-2]]
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == whole["reasoning_content"]
        assert "".join(delta.get("content", "") for delta in deltas) == whole["content"]
        assert whole["reasoning"].startswith("● ")

    def test_errors_have_a_status(self, server: str) -> None:
        said = self.ask(server, "--write-out", "%{http_code}", max_steps=1, min_steps=2)
        assert said[-3:] == "400"
        assert json.loads(said[:-3])["error"]["param"] == "min_steps"
