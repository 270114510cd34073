"""`steiner serve`, `generate` and `chat` where no model is named: the one that comes with the package."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from steiner.cli.common import is_right
from steiner.cli.main import app
from steiner.decode.shipped import SHIPPED, VARIABLE, read_record
from steiner.models import DEFAULT_MODEL
from steiner.problems.countdown_states import ANY, make_problem
from steiner.problems.countdown_words import parse_question
from steiner.serve.run import with_examples
from steiner.serve.settings import ServeSettings

QUESTION = "Make 22 from 3 5 7."
FIELDS = {"move", "name", "thought", "summary", "reflection"}
READY = re.compile(rf"Serving {DEFAULT_MODEL} at (http://127\.0\.0\.1:\d+) \(Ctrl-C stops it\)\.")


PATIENCE = 600
"""Seconds until something counts as hung, on the busiest machine."""


@contextmanager
def started() -> Iterator[tuple[list[str], str]]:
    """Run the command as a user would, but on a free port and with the engine in its process.

    Gives its lines up to the one that says it is ready, and the address; Ctrl-C ends it.
    """
    command = [sys.executable, "-m", "steiner.cli.main", "serve", "--port", "0", "--no-engine-process"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        assert process.stderr is not None
        said: list[str] = []
        ready = None
        while ready is None:
            line = process.stderr.readline()
            assert line, "\n".join(["it ended before it was ready:", *said])
            said.append(line.strip())
            ready = READY.fullmatch(said[-1])
        yield said, ready[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()


def answered(url: str, question: str) -> dict[str, Any]:
    """Return the message that answers a question, whose steps are well formed."""
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=PATIENCE)
    assert reply.status_code == 200, reply.text
    (choice,) = reply.json()["choices"]
    assert choice["finish_reason"] == "stop"
    message = choice["message"]
    told = message["steiner"]
    assert told["complete"]
    assert told["violations"] == []
    first, *rest = told["steps"]
    assert all(set(step) == FIELDS for step in told["steps"])
    assert first["move"] is None
    assert {step["move"] for step in rest} <= {"proceed", "backtrack"}
    return message


def test_the_first_start(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with started() as (said, url):
        told = [line for line in said if DEFAULT_MODEL in line and "steiner serve MODEL" in line]
        assert len(told) == 1
        (listed,) = httpx.get(f"{url}/v1/models", timeout=PATIENCE).json()["data"]
        assert listed["id"] == DEFAULT_MODEL
        examples = listed["examples"]
        assert tuple(examples) == read_record(SHIPPED / DEFAULT_MODEL).examples
        assert re.fullmatch(r"[\d ()+*/-]+ = \d+", answered(url, QUESTION)["content"])
        assert len(set(examples)) >= 3
        for question in examples[:3]:
            asked = parse_question(question)
            assert asked is not None
            message = answered(url, question)
            problem = make_problem(asked.numbers, asked.target, ANY)
            assert is_right(problem, message["content"]), (question, message["content"])
            assert "backtrack" in [step["move"] for step in message["steiner"]["steps"]]


@pytest.mark.parametrize("command", ["serve", "generate", "chat"])
def test_help_names_the_model_that_is_taken(command):
    shown = " ".join(CliRunner().invoke(app, [command, "--help"]).output.split())
    assert f"Default: {DEFAULT_MODEL}" in shown


def test_generate_and_chat_take_it_too_and_say_so(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    generated = CliRunner().invoke(app, ["generate", "--json", QUESTION])
    assert generated.exit_code == 0, generated.output
    row = json.loads(generated.stdout)
    assert row["answer"]
    assert row["violations"] == []
    assert len([line for line in generated.stderr.splitlines() if "--model MODEL" in line]) == 1
    assert DEFAULT_MODEL in generated.stderr

    chatted = CliRunner().invoke(app, ["chat"], input=f"{QUESTION}\n")
    assert chatted.exit_code == 0, chatted.output
    assert "●" in chatted.stdout
    assert row["answer"] in chatted.stdout
    assert len([line for line in chatted.stderr.splitlines() if "steiner chat MODEL" in line]) == 1


def test_a_named_model_is_not_commented(tmp_path):
    done = CliRunner().invoke(app, ["generate", "--model", str(tmp_path), QUESTION])
    assert "no model folder" in done.stderr
    assert DEFAULT_MODEL not in done.stderr


def test_examples_come_from_the_settings_then_from_the_record_and_a_strange_record_is_passed_over(
    tmp_path, caplog
):
    assert with_examples(ServeSettings(), DEFAULT_MODEL).examples
    own = ServeSettings(examples=("mine",))
    assert with_examples(own, DEFAULT_MODEL) == own
    assert with_examples(ServeSettings(), str(tmp_path)).examples == ()
    (tmp_path / "training.json").write_text('{"epochs": 3}')
    assert not caplog.records
    # inspect-ai, which other tests use, raises the level of all loggers that have none of their own.
    with caplog.at_level(logging.WARNING, "steiner.serve"):
        assert with_examples(ServeSettings(), str(tmp_path)).examples == ()
    assert "no examples" in caplog.text
