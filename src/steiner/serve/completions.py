"""/v1/completions: plain prompts without a chat template."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from steiner.serve import wire
from steiner.serve.asks import Ask, read_ask
from steiner.serve.bodies import CompletionBody
from steiner.serve.errors import bad
from steiner.serve.exchange import Exchange, Plan, total_usage
from steiner.serve.service import Prompt, Service
from steiner.serve.settings import Display, ServeSettings
from steiner.serve.speak import Spoken

Json = dict[str, Any]


class CompletionExchange(Exchange[CompletionBody]):
    """One request."""

    body_type = CompletionBody

    def read(self, body: CompletionBody, settings: ServeSettings) -> Ask:
        """Return what is asked for."""
        n = body.n or 1
        if body.best_of not in (None, n):
            raise bad("'best_of' is supported only where it equals 'n'.", "best_of", "unsupported_parameter")
        if not 1 <= len(body.prompt) * n <= settings.limits.choices:
            raise bad(
                f"A request may have at most {settings.limits.choices} completions and must have one; "
                f"{len(body.prompt)} prompts with n {n} are {len(body.prompt) * n}.",
                "prompt",
                "invalid_value",
            )
        return read_ask(
            body,
            settings,
            max_tokens=body.max_tokens,
            n=body.n,
            stop=body.stop,
            top_logprobs=body.logprobs,
        )

    async def plan(self, body: CompletionBody, ask: Ask, service: Service) -> Plan:
        """Return the completions to write."""
        rows = await service.encoder.encode_texts(body.prompt)
        return service.plan([Prompt(row) for row in rows], ask)

    def reply(self, spoken: list[Spoken], plan: Plan, ask: Ask, service: Service) -> Json:
        """Return the whole reply."""
        choices = []
        for index, one in enumerate(spoken):
            logprobs = _logprobs(one.logprobs) if ask.top_logprobs is not None else None
            choice = _choice(index, one.content, one.reasoning, logprobs, one.finish)
            if ask.display is not Display.HIDDEN:
                choice["steiner"] = wire.steps_of(one.parsed, ask.display)
            choices.append(choice)
        return {**_frame(service), "choices": choices, "usage": total_usage(plan, spoken)}

    async def events(self, plan: Plan, ask: Ask, service: Service) -> AsyncGenerator[bytes, None]:
        """Yield the reply in chunks."""
        frame = _frame(service)
        if ask.include_usage:
            frame["usage"] = None
        said: dict[int, Spoken] = {}
        shown = ask.display is not Display.HIDDEN
        async with aclosing(service.speak(plan, ask, with_events=shown)) as pieces:
            async for piece in pieces:
                delta = piece.delta
                if piece.spoken is not None:
                    said[piece.choice] = piece.spoken
                finish = piece.spoken.finish if piece.spoken else None
                logprobs = _logprobs(delta.logprobs) if delta.logprobs else None
                choice = _choice(piece.choice, delta.content, delta.reasoning, logprobs, finish)
                if delta.events:
                    choice["steiner"] = {"events": delta.events}
                yield wire.event({**frame, "choices": [choice]})
        if ask.include_usage:
            spoken = [said[index] for index in sorted(said)]
            yield wire.event({**frame, "choices": [], "usage": total_usage(plan, spoken)})
        yield wire.DONE


def _frame(service: Service) -> Json:
    return {
        "id": wire.new_id("cmpl-"),
        "object": "text_completion",
        "created": wire.now(),
        "model": service.name,
        "system_fingerprint": None,
    }


def _choice(index: int, text: str, reasoning: str, logprobs: Json | None, finish: str | None) -> Json:
    found: Json = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
    if reasoning:
        found["reasoning_content"] = found["reasoning"] = reasoning
    return found


def _logprobs(entries: tuple[Json, ...]) -> Json:
    """Return log-probabilities in the older form; offsets count from the text of these entries."""
    offsets, place = [], 0
    for entry in entries:
        offsets.append(place)
        place += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in entry["top_logprobs"]} for entry in entries
        ],
        "text_offset": offsets,
    }
