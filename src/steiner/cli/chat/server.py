"""A running server: ours, or another of the OpenAI API (whose reasoning then comes as one step)."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from steiner.cli.chat.exchange import Exchange, Show
from steiner.cli.chat.options import ChatOptions
from steiner.core import InputError, Move, Step
from steiner.protocol import (
    AnswerStarted,
    AnswerText,
    Event,
    FieldText,
    MoveMade,
    Parsed,
    StepEnded,
    StepStarted,
)

CONNECT_SECONDS = 600.0
"""Longest silence. A busy server may let a request wait for its turn."""


class Server:
    """Answers by `POST /chat/completions`, streamed."""

    def __init__(self, base_url: str, api_key: str = "", model: str = "") -> None:
        """Ask the server for its model, if none is named.

        Raises:
            InputError: if it cannot be reached, refuses, or has no model.
        """
        if not base_url.startswith(("http://", "https://")):
            raise InputError(f"'{base_url}' is no address; it looks like http://127.0.0.1:8000/v1")
        root = base_url.rstrip("/")
        self._root = root if root.endswith("/v1") else f"{root}/v1"
        self._key = api_key
        if not model:
            with self._open("/models") as response:
                names = [str(item["id"]) for item in json.load(response).get("data", [])]
            if not names:
                raise InputError(f"the server at {self._root} has no model")
            model = names[0]
        self.name = model

    def answer(
        self, earlier: Sequence[Exchange], question: str, options: ChatOptions, show: Show
    ) -> Exchange:
        """Think and answer, telling `show` each event as it comes."""
        reply = _Reply()
        with self._open("/chat/completions", request_body(self.name, earlier, question, options)) as response:
            for chunk in chunks(response):
                for event in reply.feed(chunk):
                    show(event)
        return Exchange(question, reply.parsed, reply.reasoning_tokens, reply.reasoning)

    def _open(self, path: str, body: dict[str, Any] | None = None) -> http.client.HTTPResponse:
        request = urllib.request.Request(
            self._root + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "steiner"},
        )
        if self._key:
            request.add_header("Authorization", f"Bearer {self._key}")
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=CONNECT_SECONDS)
        except urllib.error.HTTPError as error:
            raise InputError(f"the server refuses ({error.code}): {_message(error)}") from error
        except OSError as error:
            raise InputError(
                f"the server at {self._root} cannot be reached: {getattr(error, 'reason', error)}. "
                "Is it running? `steiner serve MODEL` starts one."
            ) from error
        return response


def request_body(
    model: str, earlier: Sequence[Exchange], question: str, options: ChatOptions
) -> dict[str, Any]:
    """Return the body of a request; limits that are not set are left to the server."""
    messages: list[dict[str, str]] = []
    if options.system_prompt:
        messages.append({"role": "system", "content": options.system_prompt})
    for exchange in earlier:
        reasoning = {"reasoning_content": exchange.reasoning_text} if exchange.reasoning_text else {}
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": exchange.parsed.answer, **reasoning})
    messages.append({"role": "user", "content": question})
    budget = options.budget.model_dump(mode="json", exclude_defaults=True)
    effort = {"reasoning_effort": options.effort.value} if options.effort else {}
    seed = {} if options.seed is None else {"seed": options.seed + len(earlier)}
    return {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": options.temperature,
        "history": options.history.value,
        **budget,
        **effort,
        **seed,
    }


def chunks(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Yield the chunks of an event stream.

    Raises:
        InputError: for an error in the stream, and where it breaks off.
    """
    from steiner.teacher.chat.sse import SseParser

    parser = SseParser()
    try:
        while piece := response.read1(65536):
            for data in parser.feed(piece):
                if data == b"[DONE]":
                    return
                chunk = json.loads(data)
                if "error" in chunk:
                    raise InputError(f"the server failed: {chunk['error'].get('message', 'no reason given')}")
                yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InputError(f"the connection broke in the middle of the answer: {error}") from error
    raise InputError("the connection broke in the middle of the answer; ask again")


class _Reply:
    """What came so far."""

    def __init__(self) -> None:
        self.reasoning = ""
        self.reasoning_tokens: int | None = None
        self._steps: list[dict[str, str]] = []
        self._moves: list[Move] = []
        self._answer = ""
        self._ours = False

    def feed(self, chunk: dict[str, Any]) -> list[Event]:
        """Take a chunk; returns its events."""
        details = (chunk.get("usage") or {}).get("completion_tokens_details") or {}
        if "reasoning_tokens" in details:
            self.reasoning_tokens = int(details["reasoning_tokens"])
        delta = (chunk.get("choices") or [{}])[0].get("delta") or {}
        events: list[Event] = []
        told = (delta.get("steiner") or {}).get("events") or []
        self._ours = self._ours or bool(told)
        for item in told:
            events += _event(item)
        reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
        self.reasoning += reasoning
        if reasoning and not self._ours:
            events += [] if self._steps else [StepStarted(0), FieldText(0, "name", "Reasoning")]
            events.append(FieldText(0, "thought", reasoning))
        if content := delta.get("content"):
            events.append(AnswerText(content))
        for event in events:
            self._note(event)
        return events

    def _note(self, event: Event) -> None:
        match event:
            case StepStarted():
                self._steps.append(dict.fromkeys(Step.model_fields, ""))
            case MoveMade(move=move):
                self._moves.append(move)
            case FieldText(field=field, text=text) if self._steps:
                self._steps[-1][field] += text
            case AnswerText(text=text):
                self._answer += text
            case _:
                pass

    @property
    def parsed(self) -> Parsed:
        """The whole so far."""
        moves = (*self._moves, *[Move.PROCEED] * len(self._steps))[: max(len(self._steps) - 1, 0)]
        return Parsed(steps=tuple(Step(**fields) for fields in self._steps), moves=moves, answer=self._answer)


def _event(item: dict[str, Any]) -> list[Event]:
    """Return the parser's event for one of the wire; none for what nobody here needs."""
    match item:
        case {"type": "step", "step": int(step)}:
            return [StepStarted(step)]
        case {"type": "text", "step": int(step), "field": str(field), "text": str(text)} if (
            field in Step.model_fields
        ):
            return [FieldText(step, field, text)]
        case {"type": "step_end", "step": int(step)}:
            return [StepEnded(step)]
        case {"type": "move", "move": "proceed" | "backtrack" as move}:
            return [MoveMade(Move(move))]
        case {"type": "answer"}:
            return [AnswerStarted()]
    return []


def _message(error: urllib.error.HTTPError) -> str:
    """Return what an error's body says, in OpenAI's shape or else the status line."""
    try:
        return str(json.loads(error.read(65536))["error"]["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)
