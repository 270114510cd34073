"""/v1/responses: text in, reasoning and text out. Nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import orjson

from steiner.serve import wire
from steiner.serve.asks import Ask, read_ask
from steiner.serve.bodies import ResponsesBody
from steiner.serve.conversation import read_items
from steiner.serve.engines.base import Finish
from steiner.serve.exchange import Exchange, Plan, total_usage
from steiner.serve.service import Service
from steiner.serve.settings import Display, ServeSettings
from steiner.serve.speak import Delta, Spoken

Json = dict[str, Any]


class ResponsesExchange(Exchange[ResponsesBody]):
    """One request."""

    body_type = ResponsesBody

    def read(self, body: ResponsesBody, settings: ServeSettings) -> Ask:
        """Return what is asked for."""
        self._body = body
        return read_ask(body, settings, max_tokens=body.max_output_tokens)

    async def plan(self, body: ResponsesBody, ask: Ask, service: Service) -> Plan:
        """Return the one completion to write."""
        messages = read_items(body.input, body.instructions)
        return service.plan([await service.prompt(messages, ask)], ask)

    def reply(self, spoken: list[Spoken], plan: Plan, ask: Ask, service: Service) -> Json:
        """Return the whole response."""
        ids = (wire.new_id("rs_"), wire.new_id("msg_"))
        return _finished(_Frame(self._body, ask, service).response(), spoken, plan, ask, ids)

    async def events(self, plan: Plan, ask: Ask, service: Service) -> AsyncGenerator[bytes, None]:
        """Yield the response as OpenAI's events."""
        response = _Frame(self._body, ask, service).response()
        stream = _Stream(ask.display)
        yield stream.event("response.created", response=response)
        yield stream.event("response.in_progress", response=response)
        for event in stream.open_reasoning():
            yield event
        shown = ask.display is not Display.HIDDEN
        async with aclosing(service.speak(plan, ask, with_events=shown)) as pieces:
            async for piece in pieces:
                events = b"".join(stream.delta(piece.delta))
                if piece.spoken is None:
                    if events:
                        yield events
                    continue
                yield events + b"".join(stream.close(piece.spoken))
                done = _finished(response, [piece.spoken], plan, ask, stream.ids)
                kind = "completed" if done["status"] == "completed" else "incomplete"
                yield stream.event(f"response.{kind}", response=done)


class _Frame:
    """What every response says about its request."""

    def __init__(self, body: ResponsesBody, ask: Ask, service: Service) -> None:
        self._body = body
        self._ask = ask
        self._service = service

    def response(self) -> Json:
        body, ask = self._body, self._ask
        return {
            "id": wire.new_id("resp_"),
            "object": "response",
            "created_at": wire.now(),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": {},
            "model": self._service.name,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": ask.effort, "summary": None},
            "store": False,
            "temperature": ask.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "top_p": ask.top_p,
            "truncation": "disabled",
            "usage": None,
        }


class _Stream:
    """Writes the events of one response, numbered."""

    def __init__(self, display: Display) -> None:
        self.ids = (wire.new_id("rs_"), wire.new_id("msg_"))
        self._display = display
        self._number = 0
        self._open_message = False

    def event(self, kind: str, **fields: Any) -> bytes:
        """Return one event."""
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"

    def open_reasoning(self) -> Iterator[bytes]:
        """Begin the reasoning item."""
        item = {"id": self.ids[0], "type": "reasoning", "summary": [], "status": "in_progress"}
        yield self.event("response.output_item.added", output_index=0, item=item)
        if self._display is Display.SUMMARIES:
            part = {"type": "summary_text", "text": ""}
            yield self._reasoning("response.reasoning_summary_part.added", summary_index=0, part=part)

    def delta(self, delta: Delta) -> Iterator[bytes]:
        """Say what is new."""
        if delta.reasoning and self._display is Display.SUMMARIES:
            yield self._reasoning(
                "response.reasoning_summary_text.delta", summary_index=0, delta=delta.reasoning
            )
        elif delta.reasoning:
            extra = {"steiner": {"events": delta.events}} if delta.events else {}
            yield self._reasoning(
                "response.reasoning_text.delta", content_index=0, delta=delta.reasoning, **extra
            )
        if delta.content:
            yield from self._begin_message()
            yield self._message("response.output_text.delta", delta=delta.content, logprobs=[])

    def close(self, spoken: Spoken) -> Iterator[bytes]:
        """End both items."""
        if self._display is Display.SUMMARIES:
            part = {"type": "summary_text", "text": spoken.reasoning}
            yield self._reasoning(
                "response.reasoning_summary_text.done", summary_index=0, text=spoken.reasoning
            )
            yield self._reasoning("response.reasoning_summary_part.done", summary_index=0, part=part)
        elif self._display is Display.FULL:
            yield self._reasoning("response.reasoning_text.done", content_index=0, text=spoken.reasoning)
        yield from self._begin_message()
        reasoning, message = _items(spoken, self._display, self.ids)
        yield self.event("response.output_item.done", output_index=0, item=reasoning)
        part = message["content"][0]
        yield self._message("response.output_text.done", text=spoken.content, logprobs=[])
        yield self._message("response.content_part.done", part=part)
        yield self.event("response.output_item.done", output_index=1, item=message)

    def _begin_message(self) -> Iterator[bytes]:
        if self._open_message:
            return
        self._open_message = True
        item = {
            "id": self.ids[1],
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        yield self.event("response.output_item.added", output_index=1, item=item)
        yield self._message("response.content_part.added", part=_text(""))

    def _reasoning(self, kind: str, **fields: Any) -> bytes:
        return self.event(kind, item_id=self.ids[0], output_index=0, **fields)

    def _message(self, kind: str, **fields: Any) -> bytes:
        return self.event(kind, item_id=self.ids[1], output_index=1, content_index=0, **fields)


def _finished(response: Json, spoken: list[Spoken], plan: Plan, ask: Ask, ids: tuple[str, str]) -> Json:
    (one,) = spoken
    cut = one.finish is Finish.LENGTH
    counted = total_usage(plan, spoken)
    return {
        **response,
        "status": "incomplete" if cut else "completed",
        "completed_at": None if cut else wire.now(),
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": list(_items(one, ask.display, ids)),
        "usage": {
            "input_tokens": counted["prompt_tokens"],
            "input_tokens_details": {**counted["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": counted["completion_tokens"],
            "output_tokens_details": counted["completion_tokens_details"],
            "total_tokens": counted["total_tokens"],
        },
    }


def _items(spoken: Spoken, display: Display, ids: tuple[str, str]) -> tuple[Json, Json]:
    status = "incomplete" if spoken.finish is Finish.LENGTH else "completed"
    reasoning: Json = {"id": ids[0], "type": "reasoning", "summary": [], "status": status}
    if display is Display.SUMMARIES:
        reasoning["summary"] = [{"type": "summary_text", "text": spoken.reasoning}]
    elif display is Display.FULL:
        reasoning["content"] = [{"type": "reasoning_text", "text": spoken.reasoning}]
    message = {
        "id": ids[1],
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [_text(spoken.content)],
    }
    return reasoning, message


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
