"""The bytes of the chat-completions protocol: requests checked, replies and event streams written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import orjson

from steiner.testing.faults import Fault
from steiner.testing.models import Completion, texts, tokens

Reasoning = Literal["none", "reasoning_content", "reasoning", "think"]
"""Where a server puts private reasoning: nowhere, into one of two fields, or into `<think>` tags."""

CREATED = 1_700_000_000
"""Time stamp of all replies: they are functions of the request."""
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"
DONE = b"data: [DONE]\n\n"

_REFUSAL = "I'm sorry, but I can't help with that."
_WRONG_SHAPE = '{"result": {"value": 42, "status": "done"}, "items": [1, 2, 3]}'
_GARBAGE = 'Sure! Here it goes: {"steps": [{"name": "First", "thought": }}} <|endoftext|>'


class Answer(NamedTuple):
    """What the server says, before it is bytes."""

    content: str | None
    finish: str
    reasoning: str = ""
    refusal: str | None = None
    usage: dict[str, Any] | None = None


def answer(body: Mapping[str, Any], said: Completion, fault: Fault | None, place: Reasoning) -> Answer:
    """Return what to say: the completion, cut at the request's token limit and spoilt by a content fault."""
    content, reasoning = said.content, said.reasoning if place != "none" else ""
    usage = _usage(body, content, reasoning)
    finish, limit = "stop", body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and usage["completion_tokens"] > limit:
        left = max(0, limit - tokens(reasoning)) if reasoning else limit
        content, finish = content[: left * 4], "length"
        usage = _usage(body, content, reasoning)
    if place == "think" and reasoning:
        content, reasoning = f"<think>\n{reasoning}\n</think>\n\n{content}", ""
    whole = Answer(content, finish, reasoning, None, None if fault is Fault.MISSING_USAGE else usage)
    return whole if fault is None else _spoilt(whole, fault)


def _spoilt(whole: Answer, fault: Fault) -> Answer:
    match fault:
        case Fault.EMPTY_CONTENT:
            return whole._replace(content="", reasoning="")
        case Fault.NULL_CONTENT:
            return whole._replace(content=None, reasoning="")
        case Fault.WRONG_SCHEMA:
            return whole._replace(content=_WRONG_SHAPE, finish="stop")
        case Fault.GARBAGE_TEXT:
            return whole._replace(content=_GARBAGE, finish="stop")
        case Fault.TRUNCATED:
            content = whole.content or ""
            return whole._replace(content=content[: len(content) // 2], finish="length")
        case Fault.REFUSAL:
            return whole._replace(content=None, refusal=_REFUSAL, finish="stop")
        case Fault.FILTERED:
            return whole._replace(content="", finish="content_filter")
    return whole


def reply_bytes(said: Answer, model: str, digest: str, place: Reasoning) -> bytes:
    """Return the JSON of a reply that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": said.content}
    if said.refusal is not None:
        message["refusal"] = said.refusal
    if said.reasoning:
        message[place] = said.reasoning
    value = {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": said.finish}],
    }
    return orjson.dumps(value if said.usage is None else value | {"usage": said.usage})


def no_choices_bytes(model: str, digest: str) -> bytes:
    """Return the JSON of a reply without choices."""
    return orjson.dumps({
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [],
    })  # fmt: skip


def events(
    said: Answer, model: str, digest: str, place: Reasoning, piece: int, include_usage: bool
) -> list[bytes]:
    """Return the server-sent events of a streamed reply in order, `[DONE]` last.

    Args:
        said: what to say.
        model: name of the model.
        digest: of the request's body; makes the id.
        place: where reasoning goes.
        piece: characters of one event.
        include_usage: the client asked for a last event with the usage.
    """
    head = {"id": f"chatcmpl-{digest}", "object": "chat.completion.chunk", "created": CREATED, "model": model}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + orjson.dumps(head | {"choices": [choice]}) + b"\n\n"

    written = [event({"role": "assistant", "content": ""})]
    written += [event({place: part}) for part in _pieces(said.reasoning, piece)]
    if said.refusal is not None:
        written += [event({"refusal": part}) for part in _pieces(said.refusal, piece)]
    written += [event({"content": part}) for part in _pieces(said.content or "", piece)]
    written.append(event({}, said.finish))
    if include_usage and said.usage is not None:
        written.append(b"data: " + orjson.dumps(head | {"choices": [], "usage": said.usage}) + b"\n\n")
    return [*written, DONE]


def error_bytes(message: str, kind: str, code: str | None = None, param: str | None = None) -> bytes:
    """Return the JSON of an error as OpenAI words it."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _usage(body: Mapping[str, Any], content: str, reasoning: str) -> dict[str, Any]:
    # About four tokens a message stand around its text in a chat template.
    asked = sum(tokens(text) + 4 for _, text in texts(body))
    thought = tokens(reasoning)
    written = tokens(content) + thought
    return {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _pieces(text: str, length: int) -> list[str]:
    return [text[begin : begin + length] for begin in range(0, len(text), length)]
