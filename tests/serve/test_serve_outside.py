"""What the server does about clients that are wrong, rude or gone."""

from __future__ import annotations

import json
import re
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from tiny_server import running

ASK = {"messages": [{"role": "user", "content": "Numbers 3 5 7, target 22"}]}
LONG = {**ASK, "min_steps": 100, "max_tokens": 1900, "stream": True}
CHAT = "/v1/chat/completions"
WAIT_SECONDS = 60.0
CLIENT = httpx.Client(timeout=WAIT_SECONDS)


def gauge(address: str, name: str) -> float:
    """Return a figure of /metrics."""
    found = re.search(rf"^{name} (\S+)$", CLIENT.get(f"{address}/metrics").text, re.MULTILINE)
    assert found, name
    return float(found[1])


def wait_until(condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def raw(address: str, data: bytes) -> socket.socket:
    """Open a connection and send bytes as they are."""
    parts = urlsplit(address)
    opened = socket.create_connection((parts.hostname, parts.port), timeout=WAIT_SECONDS)
    opened.sendall(data)
    return opened


def post_bytes(body: bytes) -> bytes:
    return (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@pytest.fixture(scope="module")
def small(model, tokenizer):
    """A server with a key and tight limits."""
    limits = {"body_bytes": 5000, "seconds": 0.5, "body_seconds": 0.5}
    with running(
        model,
        tokenizer,
        api_key="secret",
        concurrency=2,
        limits=limits,
        origins=("https://chat.example",),
        hosts=("chat.example",),
    ) as address:
        yield address


KEY = {"Authorization": "Bearer secret"}


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}])
def test_a_wrong_key(small, header):
    reply = CLIENT.post(small + CHAT, json=ASK, headers=header)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"


def test_the_right_key_and_what_needs_none(small):
    assert CLIENT.get(small + "/v1/models", headers=KEY).status_code == 200
    assert CLIENT.get(small + "/health").json() == {"status": "ok"}


def test_no_page_of_another_origin_and_no_other_name(small):
    foreign = {**KEY, "Origin": "https://evil.example"}
    assert CLIENT.post(small + CHAT, json=ASK, headers=foreign).status_code == 403
    assert CLIENT.get(small + "/health", headers={"Host": "evil.example"}).status_code == 403
    assert CLIENT.get(small + "/health", headers={"Host": "127.0.0.1.evil.example"}).status_code == 403
    assert CLIENT.get(small + "/health", headers={"Host": "chat.example:8000"}).status_code == 200
    known = CLIENT.options(small + CHAT, headers={"Origin": "https://chat.example"})
    assert known.headers["access-control-allow-origin"] == "https://chat.example"
    assert "access-control-allow-origin" not in CLIENT.get(small + "/health").headers


def test_a_large_body(small):
    announced = CLIENT.post(small + CHAT, content=b"x" * 10_000_000, headers=KEY)
    assert announced.status_code == 413
    chunks = (b"x" * 1000 for _ in range(10))
    assert CLIENT.post(small + CHAT, content=chunks, headers=KEY).status_code == 413


def test_a_body_that_does_not_come(small):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
    with raw(small, (head + "Content-Length: 100\r\n\r\n{").encode()) as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 408")


def test_the_time_limit_cuts(small):
    body = {**LONG, "stream": False}
    reply = CLIENT.post(small + CHAT, json=body, headers=KEY).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] < 1900


def test_too_many_at_once(small):
    reply = CLIENT.post(small + CHAT, json={**ASK, "n": 3}, headers=KEY)
    assert reply.status_code == 429
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"
    assert CLIENT.post(small + CHAT, json={**ASK, "max_tokens": 5}, headers=KEY).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"messages": 5}',
        b'{"messages": [5]}',
        b'{"messages": [{"role": "king", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": {"a": 1}}]}',
        b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        b'{"prompt": []}',
        b"[" * 20_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"seed": 1e400, "messages": []}',
        b'{"temperature": NaN}',
        b"\xff\xfe{}",
        b'{"messages": [{"role": "user", "content": "\\ud800"}], "stop": "\\ud800"}',
    ],
    ids=range(16),
)
@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses"])
def test_malformed_bodies(server, path, body):
    reply = CLIENT.post(f"{server}/v1/{path}", content=body)
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_unknown_paths_and_methods(server):
    for reply, status in (
        (CLIENT.get(f"{server}/v1/none"), 404),
        (CLIENT.get(server + CHAT), 405),
        (CLIENT.get(f"{server}/v1/models/none"), 404),
    ):
        assert reply.status_code == status
        assert "error" in reply.json()


def test_a_client_that_leaves_frees_its_place(server):
    with raw(server, post_bytes(json.dumps(LONG).encode())) as opened:
        assert b"text/event-stream" in opened.recv(1000)
        wait_until(lambda: gauge(server, "steiner_running") == 1)
    wait_until(lambda: gauge(server, "steiner_running") == 0)
    assert gauge(server, "steiner_in_flight") == 0


def test_a_client_that_leaves_without_streaming(server):
    with raw(server, post_bytes(json.dumps({**LONG, "stream": False}).encode())):
        wait_until(lambda: gauge(server, "steiner_running") == 1)
    wait_until(lambda: gauge(server, "steiner_running") == 0)
    assert gauge(server, "steiner_in_flight") == 0


def test_a_client_that_reads_nothing_is_dropped(model, tokenizer):
    # An untrained model stops where it likes: whatever it writes has to be more than the kernel holds.
    with running(model, tokenizer, send_buffer=4096, limits={"write_seconds": 0.4}) as address:
        body = {**LONG, "n": 16, "logprobs": True, "top_logprobs": 20, "control": "off", "max_tokens": 1500}
        del body["min_steps"]
        parts = urlsplit(address)
        with socket.socket() as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            opened.connect((parts.hostname, parts.port))
            opened.sendall(post_bytes(json.dumps(body).encode()))
            wait_until(lambda: gauge(address, "steiner_in_flight") == 16)
            wait_until(lambda: gauge(address, "steiner_in_flight") == 0)
            assert gauge(address, "steiner_disconnects_total") == 1


def test_a_failing_model_is_an_error_and_no_end(model, tokenizer, monkeypatch):
    with running(model, tokenizer) as address:
        plain = model.forward

        def fail(*_, **__):
            raise RuntimeError("out of memory: /secret/path")

        monkeypatch.setattr(model, "forward", fail)
        whole = CLIENT.post(address + CHAT, json=ASK)
        streamed = CLIENT.post(address + CHAT, json={**ASK, "stream": True})
        monkeypatch.setattr(model, "forward", plain)
        assert whole.status_code == 500
        assert "secret" not in whole.text + streamed.text
        assert json.loads(streamed.text.strip().split("data: ")[-1])["error"]["type"] == "server_error"
        assert CLIENT.post(address + CHAT, json={**ASK, "max_tokens": 20}).status_code == 200
