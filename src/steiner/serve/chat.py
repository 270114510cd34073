"""/v1/chat/completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from steiner.serve import wire
from steiner.serve.asks import Ask, read_ask
from steiner.serve.bodies import ChatBody
from steiner.serve.conversation import read_messages
from steiner.serve.errors import bad
from steiner.serve.exchange import Exchange, Plan, total_usage
from steiner.serve.service import Service
from steiner.serve.settings import Display, ServeSettings
from steiner.serve.speak import Spoken

Json = dict[str, Any]


class ChatExchange(Exchange[ChatBody]):
    """One chat request."""

    body_type = ChatBody

    def read(self, body: ChatBody, settings: ServeSettings) -> Ask:
        """Return what is asked for."""
        if len(body.messages) > settings.limits.messages:
            raise bad(
                f"A conversation may have at most {settings.limits.messages} messages, "
                f"this one has {len(body.messages)}.",
                "messages",
                "array_above_max_length",
            )
        if body.top_logprobs is not None and not body.logprobs:
            raise bad("'top_logprobs' needs 'logprobs': true.", "top_logprobs", "invalid_value")
        return read_ask(
            body,
            settings,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            n=body.n,
            stop=body.stop,
            top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        )

    async def plan(self, body: ChatBody, ask: Ask, service: Service) -> Plan:
        """Return the completions to write."""
        return service.plan([await service.prompt(read_messages(body.messages), ask)], ask)

    def reply(self, spoken: list[Spoken], plan: Plan, ask: Ask, service: Service) -> Json:
        """Return the whole reply."""
        return {
            **_frame("chat.completion", service),
            "choices": [
                {
                    "index": index,
                    "message": wire.message(one, ask.display),
                    "logprobs": _logprobs(list(one.logprobs)) if ask.top_logprobs is not None else None,
                    "finish_reason": one.finish,
                }
                for index, one in enumerate(spoken)
            ],
            "usage": total_usage(plan, spoken),
        }

    async def events(self, plan: Plan, ask: Ask, service: Service) -> AsyncGenerator[bytes, None]:
        """Yield the reply in chunks."""
        frame = _frame("chat.completion.chunk", service)
        if ask.include_usage:
            frame["usage"] = None
        begin = wire.opening(frame)
        said: dict[int, Spoken] = {}
        role = {"role": "assistant", "content": ""}
        for index in range(len(plan)):
            yield wire.chunk(begin, _chunk(index, role, None, None))
        shown = ask.display is not Display.HIDDEN
        async with aclosing(service.speak(plan, ask, with_events=shown)) as pieces:
            async for piece in pieces:
                finish = None
                if piece.spoken is not None:
                    said[piece.choice] = piece.spoken
                    finish = piece.spoken.finish
                logprobs = _logprobs(list(piece.delta.logprobs)) if piece.delta.logprobs else None
                yield wire.chunk(begin, _chunk(piece.choice, wire.delta(piece.delta), logprobs, finish))
        if ask.include_usage:
            spoken = [said[index] for index in sorted(said)]
            yield wire.event({**frame, "choices": [], "usage": total_usage(plan, spoken)})
        yield wire.DONE


def _frame(kind: str, service: Service) -> Json:
    return {
        "id": wire.new_id("chatcmpl-"),
        "object": kind,
        "created": wire.now(),
        "model": service.name,
        "system_fingerprint": None,
        "service_tier": None,
    }


def _chunk(index: int, delta: Json, logprobs: Json | None, finish: str | None) -> Json:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _logprobs(content: list[Json]) -> Json:
    return {"content": content, "refusal": None}
