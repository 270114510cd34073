"""Replies and chunks in OpenAI's form, as bytes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

import orjson

from steiner.core import Move
from steiner.protocol import Parsed
from steiner.serve.settings import Display
from steiner.serve.speak import Delta, Spoken

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"


def new_id(prefix: str) -> str:
    """Return an id that nobody can guess."""
    return f"{prefix}{secrets.token_hex(12)}"


def now() -> int:
    """Return Unix seconds."""
    return int(time.time())


def event(value: Any) -> bytes:
    """Return one server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def opening(frame: Json) -> bytes:
    """Return the beginning of all chunks with this frame; `chunk` goes on."""
    return b"data: " + orjson.dumps(frame)[:-1] + b',"choices":['


def chunk(begin: bytes, choice: Json) -> bytes:
    """Return one server-sent event with one choice; what all chunks share is written once."""
    return begin + orjson.dumps(choice) + b"]}\n\n"


def usage(prompt_tokens: int, spoken: Sequence[Spoken], cached: int) -> Json:
    """Return the tokens of a request with all its choices."""
    completion = sum(len(one.ids) for one in spoken)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": prompt_tokens + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": sum(one.reasoning_tokens for one in spoken)},
    }


def steps_of(parsed: Parsed, display: Display) -> Json:
    """Return the steps as the extension field of a whole message."""
    fields = {"name", "summary"} if display is Display.SUMMARIES else None
    moves: tuple[Move | None, ...] = (None, *parsed.moves)
    return {
        "steps": [
            {"move": move, **step.model_dump(include=fields)}
            for move, step in zip(moves, parsed.steps, strict=False)
        ],
        "complete": parsed.complete,
        "violations": [{"kind": one.kind, "message": one.message} for one in parsed.violations],
    }


def message(spoken: Spoken, display: Display) -> Json:
    """Return a chat message."""
    found: Json = {"role": "assistant", "content": spoken.content, "refusal": None}
    if display is not Display.HIDDEN:
        found["reasoning_content"] = found["reasoning"] = spoken.reasoning
        found["steiner"] = steps_of(spoken.parsed, display)
    return found


def delta(one: Delta) -> Json:
    """Return the delta of a chat chunk."""
    found: Json = {}
    if one.content:
        found["content"] = one.content
    if one.reasoning:
        found["reasoning_content"] = found["reasoning"] = one.reasoning
    if one.events:
        found["steiner"] = {"events": one.events}
    return found
