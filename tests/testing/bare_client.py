"""A bare client, and requests as the teacher makes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp

from steiner.core import Problem
from steiner.teacher.llm.schemas import response_schema
from steiner.teacher.llm.templates import (
    ShownStep,
    attempt_values,
    draft_values,
    load_prompts,
    resolve_values,
)
from steiner.testing import FaultyServer

PROMPTS = load_prompts()


class Got(NamedTuple):
    """What came of one request."""

    status: int
    headers: dict[str, str]
    text: str
    broken: str
    """Name of the exception that ended it, empty if none did; `text` is what had come before."""

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def choice(self) -> Any:
        return self.json["choices"][0]

    @property
    def events(self) -> list[str]:
        return [part.removeprefix("data: ") for part in self.text.split("\n\n") if part]


def chat(text: str = "What is 2 + 3 * 4 - 1?", **fields: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": text}]} | fields


async def post(server: FaultyServer, body: Any, key: str = "", timeout_s: float = 30.0) -> Got:
    """Send one request on a connection of its own."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    received = b""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            url = f"{server.base_url}/chat/completions"
            async with session.post(url, data=data, headers=headers) as response:
                try:
                    async for part in response.content.iter_any():
                        received += part
                except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
                    broken = type(error).__name__
                    return Got(response.status, dict(response.headers), received.decode(), broken)
                return Got(response.status, dict(response.headers), received.decode(), "")
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            return Got(0, {}, "", type(error).__name__)


def posted(server: FaultyServer, *bodies: Any, key: str = "") -> list[Got]:
    """Send requests one after another to a server in its own process."""

    async def run() -> list[Got]:
        return [await post(server, body, key) for body in bodies]

    return asyncio.run(run())


def call_body(
    call: str, values: dict[str, Any], max_steps: int = 12, *, structured: bool = True, note: str = ""
) -> dict[str, Any]:
    """Return a request with the package's own prompts."""
    messages = PROMPTS.messages(call, values, note)
    body: dict[str, Any] = {
        "model": "any",
        "messages": [message.model_dump() for message in messages],
        "max_tokens": 4_000,
    }
    if structured:
        json_schema = {"name": f"steiner_{call}", "schema": response_schema(call, max_steps), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return body


def draft_body(problem: Problem, language: str = "English", **options: Any) -> dict[str, Any]:
    return call_body("draft", draft_values(problem.question, (), problem.answer, 12, language), **options)


def attempt_body(
    problem: Problem, steps: Sequence[ShownStep] = (), max_steps: int = 12, language: str = "English"
) -> dict[str, Any]:
    values = attempt_values(problem.question, (), steps, max_steps, language)
    return call_body("attempt", values, max_steps)


def resolve_body(
    problem: Problem, steps: Sequence[ShownStep], answer: str, language: str = "English"
) -> dict[str, Any]:
    values = resolve_values(problem.question, (), steps, answer, problem.answer, 12, language)
    return call_body("resolve", values)


def shown(steps: Sequence[dict[str, Any]], after: int = 0) -> list[ShownStep]:
    """Return the steps of a reply as the next prompt shows them, numbered on from `after`."""
    return [ShownStep(number, **step) for number, step in enumerate(steps, start=after + 1)]
