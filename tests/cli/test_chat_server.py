"""`steiner chat --base-url` in a pseudo-terminal, against a scripted server."""

from __future__ import annotations

import json
import re

import pytest
from terminal import CTRL_C, CTRL_D, Terminal

from scripted_server import ANSWER, DONE, SEARCH, Gate, Refusal, path_chunks, search_reply, serving
from steiner.cli.chat.exchange import Exchange
from steiner.cli.chat.options import ChatOptions, change
from steiner.cli.chat.server import Server, request_body
from steiner.core import InputError, StepBudget
from steiner.protocol import Parsed

QUESTION = "Numbers 3 5 7, target 22"


@pytest.fixture
def server():
    with serving() as scripted:
        yield scripted


def test_a_conversation(server, tmp_path):
    chunks, gate = search_reply(), Gate()
    server.say([*chunks[:20], gate, *chunks[20:]], search_reply())
    with Terminal(["chat", "--base-url", server.url, "--max-steps", "9"]) as terminal:
        greeting = terminal.until("\n> ")
        assert "tiny: steps 1..9, temperature 0, history summaries" in greeting

        terminal.send(QUESTION + "\r")
        terminal.until("↓ From 7 8")  # while the server waits for the gate
        assert not gate.opened.is_set()
        gate.open()
        shown = terminal.until("\n> ")
        assert "↩ From 7 8" in shown
        assert "  7 * 8 = 56 , too far from 22\n  left 56\n  target 22 , got 56 , off by 34\n" in shown
        assert f"\nAnswer: {ANSWER}\n5 steps, 2 backtracks\n" in shown

        for command in ("/steps 2..4", "/temperature 0.5", "/history keep", "/show names"):
            terminal.send(command + "\r")
            terminal.until("\n> ")
        terminal.send("and 23?\r")
        shown = terminal.until("\n> ")
        assert "↩ From 3 5 7" in shown
        assert "left 7 15" not in shown

        file = tmp_path / "chat.json"
        terminal.send(f"/save {file}\r")
        terminal.until("Saved 2 questions")
        terminal.until("\n> ")
        terminal.send("/reset\r")
        terminal.until("\n> ")
        terminal.send("/save " + str(file) + "\r")
        terminal.until("exists; choose another name")
        terminal.until("\n> ")
        terminal.send("/quit\r")
        assert terminal.end() == 0

    first, second = server.bodies
    assert first["messages"] == [{"role": "user", "content": QUESTION}]
    assert (first["max_steps"], first["stream"], "min_steps" in first) == (9, True, False)
    assert (second["min_steps"], second["max_steps"], second["temperature"]) == (2, 4, 0.5)
    assert second["history"] == "keep"
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert "7 * 8 = 56" in second["messages"][1]["reasoning_content"]
    saved = json.loads(file.read_text())
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant"] * 2
    assert saved["messages"][1]["steiner"]["steps"][2]["move"] == "backtrack"


def test_the_steps_are_coloured_by_move(server):
    server.say(search_reply())
    with Terminal(["chat", "--base-url", server.url]) as terminal:
        terminal.until("\n> ")
        terminal.send(QUESTION + "\r")
        terminal.until("\n> ")
        for sign, colour in (("●", 36), ("↓", 32), ("↩", 33)):
            assert re.search(rf"\x1b\[[0-9;]*{colour}m{sign}", terminal.raw), sign


def test_ctrl_c_stops_an_answer_and_not_the_program(server):
    server.say([*path_chunks(SEARCH[:2], "")[:20], Gate()], search_reply())
    with Terminal(["chat", "--base-url", server.url]) as terminal:
        terminal.until("\n> ")
        terminal.send("first\r")
        terminal.until("↓ From 7 8")
        terminal.send(CTRL_C)
        terminal.until("Stopped; the question is forgotten.")
        assert server.left.wait(60), "the server sees the client go"
        terminal.until("\n> ")
        terminal.send(CTRL_C)
        terminal.until("Ctrl-D or /quit leaves.")
        terminal.until("> ")
        terminal.send("second\r")
        terminal.until("Answer: " + ANSWER)
        terminal.until("\n> ")
        terminal.send(CTRL_D)
        assert terminal.end() == 0
    assert [m["content"] for m in server.bodies[1]["messages"]] == ["second"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Refusal(429, "busy"), r"refuses \(429\): busy"),
        ([b'{"error": {"message": "it broke"}}'], "the server failed: it broke"),
        (search_reply()[:5], "connection broke"),
        ([b"{nonsense"], "connection broke"),
    ],
    ids=["refused", "failed", "cut", "garbled"],
)
def test_what_goes_wrong_is_told(server, reply, message):
    server.say(reply)
    with pytest.raises(InputError, match=message):
        Server(server.url).answer([], "q", ChatOptions(), lambda event: None)


def test_a_server_of_another_make(server):
    def chunk(**delta):
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    server.say([chunk(reasoning="let me "), chunk(reasoning="think"), chunk(content="42"), DONE])
    exchange = Server(server.url + "/v1/").answer([], "q", ChatOptions(), lambda event: None)
    assert [(step.name, step.thought) for step in exchange.parsed.steps] == [("Reasoning", "let me think")]
    assert (exchange.parsed.answer, exchange.reasoning_tokens) == ("42", None)


def test_a_server_that_is_not_there_or_asks_for_a_key(server):
    with pytest.raises(InputError, match="cannot be reached"):
        Server("http://127.0.0.1:9")
    with pytest.raises(InputError, match="looks like"):
        Server("127.0.0.1:8000")
    server.key = "secret"
    with pytest.raises(InputError, match=r"\(401\): wrong API key"):
        Server(server.url, "wrong")
    assert Server(server.url, "secret").name == "tiny"


def test_every_limit_is_asked_for():
    budget = StepBudget(min_steps=2, max_step_tokens=50, ban_repeats=True)
    options = change(ChatOptions(budget=budget, seed=5), "language", "zh")
    said = [Exchange("q", Parsed(steps=(), moves=(), answer="a"), 3, "thoughts")]
    body = request_body("m", said, "r", options)
    assert body["messages"] == [
        {"role": "system", "content": "请用中文思考。"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "reasoning_content": "thoughts"},
        {"role": "user", "content": "r"},
    ]
    assert (body["min_steps"], body["max_step_tokens"], body["ban_repeats"]) == (2, 50, True)
    assert (body["seed"], "max_steps" in body) == (6, False)
    assert change(options, "effort", "high").effort == "high"
    assert request_body("m", [], "r", change(options, "effort", "high"))["reasoning_effort"] == "high"
