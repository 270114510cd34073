"""What the trainer asks of a rollout server, and what it says about one that is not fit for it.

The server here answers as vLLM 0.32 does, by script; tests/integration has a real one.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from steiner.core import InputError
from steiner.train import rollout_server
from steiner.train.rollout_server import Asked, Reply, RolloutServer, Served
from steiner.train.rollout_settings import RolloutSettings

Answer = tuple[int, Any]
ASKED = Asked((5, 6), {"min_steps": 1, "max_steps": 2}, 40, (1 << 62) + 1)


def error(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "type": "x", "code": status}}


class Vllm:
    """A healthy server; a test replaces some of its answers."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.other: dict[str, Callable[[dict[str, Any]], Answer]] = {}
        self.url = ""

    def answer(self, path: str, body: dict[str, Any]) -> Answer:
        self.asked.append((path, body))
        if path in self.other:
            return self.other[path](body)
        if path == "/v1/models":
            return 200, {"data": [{"id": "policy", "max_model_len": 512}]}
        if path == "/tokenize":
            return 200, {"tokens": self.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]}
        if path == "/reset_prefix_cache":
            return 200, {"success": True}
        if path == "/collective_rpc":
            return 200, {"results": [None]}
        limits = body["vllm_xargs"]
        if limits["min_steps"] > limits["max_steps"]:
            return error(400, "min_steps 2 is more than max_steps 1")
        ids = [body["seed"] % 1000, *body["prompt"]]
        return 200, {"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": [-0.5] * len(ids)}}]}


@pytest.fixture
def vllm(tokenizer: Any) -> Iterator[Vllm]:
    script = Vllm(tokenizer)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, reply = script.answer(self.path, json.loads(body or b"{}"))
            content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  # the names that http.server asks for

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield script
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(vllm: Vllm) -> RolloutServer:
    return RolloutServer(RolloutSettings(engine="vllm", base_url=vllm.url))


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def test_a_fit_server(client, tokenizer):
    assert client.check(tokenizer) == Served("policy", 512)


def test_no_server(tokenizer):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = RolloutServer(RolloutSettings(engine="vllm", base_url=url))
    message = refused(lambda: client.check(tokenizer))
    assert url in message
    assert "does not answer" in message
    assert "steiner train rollout-server" in message


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {"models": []}), (200, {"data": []})])
def test_something_else_than_vllm(client, vllm, tokenizer, answer):
    vllm.other["/v1/models"] = lambda _: answer
    assert "no vLLM server" in refused(lambda: client.check(tokenizer))


def test_another_tokenizer(client, vllm, tokenizer):
    vllm.other["/tokenize"] = lambda _: (200, {"tokens": [1, 2, 3]})
    assert "'policy', whose tokenizer is not" in refused(lambda: client.check(tokenizer))


def test_no_step_control(client, vllm, tokenizer):
    vllm.other["/v1/completions"] = lambda _: (200, {"choices": [{}]})
    assert "has no step control" in refused(lambda: client.check(tokenizer))


def test_an_engine_that_has_died_is_not_taken_for_step_control(client, vllm, tokenizer):
    vllm.other["/v1/completions"] = lambda _: error(500, "EngineCore encountered an issue.")
    message = refused(lambda: client.check(tokenizer))
    assert "status 500: EngineCore encountered an issue" in message


def test_no_development_mode(client, vllm, tokenizer):
    vllm.other["/reset_prefix_cache"] = lambda _: (404, {"detail": "Not Found"})
    assert "VLLM_SERVER_DEV_MODE=1" in refused(lambda: client.check(tokenizer))


def test_weights_are_read_and_what_was_computed_with_old_ones_is_forgotten(client, vllm, tmp_path):
    tries = iter([False, False, True])
    vllm.other["/reset_prefix_cache"] = lambda _: (200, {"success": next(tries)})
    client.load(tmp_path)
    call = {"method": "reload_weights", "kwargs": {"weights_path": str(tmp_path)}}
    assert vllm.asked == [("/collective_rpc", call), *[("/reset_prefix_cache", {})] * 3]


def test_weights_that_the_server_does_not_see(client, vllm):
    vllm.other["/collective_rpc"] = lambda _: error(500, "Worker failed with error: no such folder")
    message = refused(lambda: client.load(Path("/somewhere")))
    assert "/somewhere" in message
    assert "no such folder" in message
    assert "'weights' under [rollouts]" in message


def test_a_cache_that_somebody_else_holds(client, vllm, tmp_path, monkeypatch):
    monkeypatch.setattr(rollout_server, "CACHE_SECONDS", 0.0)
    vllm.other["/reset_prefix_cache"] = lambda _: (200, {"success": False})
    assert "serves one training alone" in refused(lambda: client.load(tmp_path))


def test_completions_come_in_the_order_in_which_they_were_asked_for(client, vllm):
    asked = [ASKED._replace(seed=number) for number in range(20)]
    replies = client.complete("policy", asked, 0.7, at_once=4)
    assert replies == [Reply((number, 5, 6), (-0.5,) * 3) for number in range(20)]
    assert client.complete("policy", [], 0.7, None) == []


def test_nothing_of_the_servers_own_taste_decides_what_is_drawn(client, vllm):
    client.complete("policy", [ASKED], 0.7, None)
    ((path, body),) = vllm.asked
    assert path == "/v1/completions"
    assert body == {
        "model": "policy", "prompt": [5, 6], "max_tokens": 40, "seed": (1 << 62) + 1, "temperature": 0.7,
        "vllm_xargs": {"control": "strict", "min_steps": 1, "max_steps": 2}, "logprobs": 0,
        "return_token_ids": True, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0,
    }  # fmt: skip


def test_replies_without_token_ids(client, vllm):
    vllm.other["/v1/completions"] = lambda _: (200, {"choices": [{"text": "x", "logprobs": None}]})
    assert "gives no token ids" in refused(lambda: client.complete("policy", [ASKED], 1.0, None))


def test_one_failure_ends_a_batch(client, vllm):
    vllm.other["/v1/completions"] = lambda body: (
        error(500, "EngineCore encountered an issue.") if body["seed"] == 3 else (200, {"choices": []})
    )
    asked = [ASKED._replace(seed=3)] * 8
    assert "answered /v1/completions with status 500" in refused(
        lambda: client.complete("policy", asked, 1.0, at_once=2)
    )
