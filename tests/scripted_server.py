"""A server that answers by script, at the pace that a test sets: for the chat page and `steiner chat`."""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GUARD_SECONDS = 60
"""How long anything here waits for a test that went wrong."""


class Gate:
    """A place in a reply where the server waits until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def open(self) -> None:
        self.opened.set()


class Refusal:
    """A reply that is an error."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message


Reply = Sequence["dict[str, Any] | Gate | bytes"] | Refusal


class ScriptedServer:
    """Serves the files of a folder, one model, and the replies that were handed to it, in order."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.replies: list[Reply] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.left = threading.Event()
        """Set when a client went away in the middle of a reply."""
        self.key = ""
        """If set, requests without it get 401."""
        self.examples: list[str] = []
        """Questions that the model offers."""
        self.url = ""

    def say(self, *replies: Reply) -> None:
        """Queue replies."""
        self.replies += replies


def path_chunks(steps: Sequence[tuple[str | None, str, str, str, str]], answer: str) -> list[dict[str, Any]]:
    """Return the chunks of a reply: for each step (move, name, thought, summary, reflection), in pieces."""
    chunks = [_chunk({"role": "assistant"})]
    for index, (move, *texts) in enumerate(steps):
        opening: list[dict[str, Any]] = [{"type": "move", "move": move}] if move else []
        chunks.append(_chunk(_told([*opening, {"type": "step", "step": index, "move": move}], "")))
        for field, text in zip(("name", "thought", "summary", "reflection"), texts, strict=True):
            half = len(text) // 2
            for piece in (text[:half], text[half:]):
                event = {"type": "text", "step": index, "field": field, "text": piece}
                chunks.append(_chunk(_told([event], piece)))
            chunks.append(_chunk(_told([{"type": "field_end", "step": index, "field": field}], "\n")))
        chunks.append(_chunk(_told([{"type": "step_end", "step": index}], "\n")))
    chunks.append(_chunk(_told([{"type": "answer"}], "")))
    half = len(answer) // 2
    chunks += [_chunk({"content": answer[:half]}), _chunk({"content": answer[half:]})]
    end = {
        "type": "end", "complete": True, "steps": len(steps), "reasoning_tokens": 40 * len(steps),
        "backtracks": sum(step[0] == "backtrack" for step in steps),
    }  # fmt: skip
    chunks.append(_chunk({"steiner": {"events": [end]}}, "stop"))
    return chunks


def _told(events: list[dict[str, Any]], text: str) -> dict[str, Any]:
    reasoning = {"reasoning_content": text, "reasoning": text} if text else {}
    return {**reasoning, "steiner": {"events": events}}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "tiny", "choices": [choice]}


@contextmanager
def serving(folder: Path | None = None) -> Iterator[ScriptedServer]:
    """Run a server on a free port of the loopback."""
    scripted = ScriptedServer(folder)
    handler = type("Handler", (_Handler,), {"scripted": scripted})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    scripted: ScriptedServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v1/models":
            if self._knows_key():
                model = {"id": "tiny", "object": "model", "examples": self.scripted.examples}
                self._json(200, {"object": "list", "data": [model]})
            return
        folder = self.scripted.folder
        file = folder / (path.lstrip("/") or "index.html") if folder else None
        if file is None or not file.is_file():
            self._json(404, {"error": {"message": "not found"}})
            return
        self._body(200, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._knows_key():
            return
        self.scripted.keys.append(self.headers.get("Authorization"))
        self.scripted.bodies.append(body)
        reply = self.scripted.replies.pop(0)
        if isinstance(reply, Refusal):
            self._json(reply.status, {"error": {"message": reply.message, "type": "x", "code": None}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for item in reply:
                if isinstance(item, Gate):
                    self._wait(item)
                else:
                    data = item if isinstance(item, bytes) else json.dumps(item).encode()
                    self.wfile.write(b"data: " + data + b"\n\n")
        except OSError:
            self.scripted.left.set()

    def _wait(self, gate: Gate) -> None:
        """Wait for the gate; notice a client that goes away meanwhile."""
        gate.reached.set()
        for _ in range(GUARD_SECONDS * 20):
            if gate.opened.wait(0.05):
                return
            self.wfile.write(b": waiting\n\n")
        raise AssertionError("the test never opened a gate")

    def _knows_key(self) -> bool:
        key = self.scripted.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self._json(401, {"error": {"message": "wrong API key", "type": "invalid_request_error"}})
        return False

    def _json(self, status: int, value: object) -> None:
        self._body(status, "application/json", json.dumps(value).encode())

    def _body(self, status: int, kind: str, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


DONE = b"[DONE]"

SEARCH: list[tuple[str | None, str, str, str, str]] = [
    (None, "From 3 5 7", "3 + 5 = 8", "left 7 8", "go on"),
    ("proceed", "From 7 8", "7 + 8 = 15", "left 15", "target 22 , got 15 , off by 7"),
    ("backtrack", "From 7 8", "7 * 8 = 56 , too far from 22", "left 56", "target 22 , got 56 , off by 34"),
    ("backtrack", "From 3 5 7", "3 * 5 = 15", "left 7 15", "go on"),
    ("proceed", "From 7 15", "7 + 15 = 22", "left 22", "target 22 , got 22 , off by 0"),
]
"""A search that goes back twice, once within a branch and once out of it."""
ANSWER = "7 + (3 * 5) = 22"


def search_reply() -> list[Any]:
    """Return the whole reply of `SEARCH`."""
    return [*path_chunks(SEARCH, ANSWER), DONE]
