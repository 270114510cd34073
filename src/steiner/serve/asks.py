"""What a request asks for, with the server's defaults filled in and the limits checked."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from steiner.core import InputError
from steiner.decode import Mode
from steiner.decode.request import StepRequest, read_request
from steiner.protocol import Message
from steiner.protocol.grammar import least_reasoning_tokens
from steiner.protocol.history import HistoryPolicy
from steiner.protocol.requests import Effort as SpokenEffort
from steiner.protocol.requests import request_text, with_request
from steiner.serve.bodies import Body, ReasoningOptions
from steiner.serve.engines.base import Generation
from steiner.serve.errors import ApiError, bad, too_long
from steiner.serve.settings import EFFORTS, Display, Effort, EffortRange, RequestLimits, ServeSettings

_STEP_FIELDS = (
    "min_steps",
    "max_steps",
    "max_reasoning_tokens",
    "max_step_tokens",
    "max_answer_tokens",
    "backtrack_bias",
    "ban_repeats",
    "soft_end",
    "control",
)
_SPOKEN = {Effort(one.value): one for one in SpokenEffort}
"""Levels that have words; the others are told by their steps alone."""
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Ask(NamedTuple):
    """One request, whatever its endpoint."""

    steps: StepRequest
    effort: Effort | None
    display: Display
    history: HistoryPolicy
    max_tokens: int
    """As asked for; the context may leave less."""
    temperature: float
    top_p: float
    seed: int | None
    n: int
    stop: tuple[str, ...]
    top_logprobs: int | None
    stream: bool
    include_usage: bool
    deadline: float
    """On the clock of `time.monotonic`."""


def read_ask(
    body: Body,
    settings: ServeSettings,
    *,
    max_tokens: int | None,
    n: int | None = None,
    stop: Sequence[str] | None = None,
    top_logprobs: int | None = None,
    display: Display | None = None,
) -> Ask:
    """Fill in the defaults and check the limits.

    Args:
        body: what all endpoints share.
        settings: the server's.
        max_tokens: as the endpoint calls it; likewise the others.
        n: completions per prompt.
        stop: strings that end the answer.
        top_logprobs: None reports no log-probabilities.
        display: where the endpoint has a default of its own.

    Raises:
        ApiError: 400 for limits that contradict each other or are more than the server gives.
    """
    limits = settings.limits
    effort, display = _effort_and_display(body, settings, display)
    _check_sizes(limits, max_tokens, n, stop or (), top_logprobs)
    return Ask(
        steps=_steps(body, settings, effort),
        effort=effort,
        display=display,
        history=body.history or settings.history,
        max_tokens=max_tokens or limits.default_new_tokens,
        temperature=settings.temperature if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=body.seed,
        n=n or 1,
        stop=tuple(one for one in stop or () if one),
        top_logprobs=top_logprobs,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        deadline=time.monotonic() + limits.seconds,
    )


def with_announcement(messages: list[Message], ask: Ask, settings: ServeSettings) -> list[Message]:
    """Return the messages with the server's system prompt and, if it is to be said, what is asked for."""
    if settings.system_prompt and messages[0].role != "system":
        messages = [Message("system", settings.system_prompt), *messages]
    if not settings.announce:
        return messages
    last = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
    text = request_text(
        "zh" if _CHINESE.search(last.content) else "en",
        effort=_SPOKEN.get(ask.effort) if ask.effort else None,
        min_steps=ask.steps.min_steps,
        max_steps=ask.steps.max_steps,
    )
    return with_request(messages, text)


def generations(prompt: tuple[int, ...], ask: Ask, context: int) -> list[Generation]:
    """Return what the engine is to write for one prompt: `n` completions with limits that fit the context.

    A completion of fewer tokens than the grammar needs is cut, as OpenAI's reasoning models cut it.

    Raises:
        ApiError: 400 if the prompt leaves no room, or the steps do not fit into `max_tokens`.
    """
    room = context - len(prompt)
    strict = ask.steps.control is Mode.STRICT
    least = least_reasoning_tokens(ask.steps.min_steps) + 2 if strict else 1
    if least > context:
        raise bad(
            f"{ask.steps.min_steps} steps and an answer need at least {least} tokens, more than the model's "
            f"context of {context}. Ask for fewer steps.",
            "min_steps",
            "invalid_value",
        )
    if not prompt:
        raise bad("The prompt is empty.", "prompt", "invalid_value")
    if room < least:
        raise too_long(len(prompt), least, context)
    tokens = min(ask.max_tokens, room)
    try:
        steps = ask.steps.within(tokens)
    except InputError as error:
        raise bad(str(error), "max_tokens", "invalid_value") from error
    return [
        Generation(
            prompt=prompt,
            steps=steps,
            max_tokens=tokens,
            temperature=ask.temperature,
            top_p=ask.top_p,
            seed=None if ask.seed is None else ask.seed + index,
            deadline=ask.deadline,
            top_logprobs=ask.top_logprobs,
        )
        for index in range(ask.n)
    ]


def _effort_and_display(
    body: Body, settings: ServeSettings, default: Display | None
) -> tuple[Effort | None, Display]:
    effort = body.reasoning_effort or settings.effort
    display = default or settings.reasoning
    if isinstance(body.reasoning, ReasoningOptions):
        effort = body.reasoning.effort or effort
        if body.reasoning.exclude:
            display = Display.HIDDEN
        elif body.reasoning.summary in ("auto", "concise"):
            display = Display.SUMMARIES
        elif body.reasoning.summary == "detailed":
            display = Display.FULL
    elif body.reasoning is not None:
        display = body.reasoning
    return effort, display


def _steps(body: Body, settings: ServeSettings, effort: Effort | None) -> StepRequest:
    """Return the limits of thinking: what is said goes before what an effort stands for."""
    given = {name: getattr(body, name) for name in _STEP_FIELDS if getattr(body, name) is not None}
    if isinstance(body.reasoning, ReasoningOptions) and body.reasoning.max_tokens is not None:
        given.setdefault("max_reasoning_tokens", body.reasoning.max_tokens)
    least, most = given.get("min_steps"), given.get("max_steps")
    if least is not None and most is not None and least > most:
        raise bad(f"min_steps {least} is more than max_steps {most}.", "min_steps", "invalid_value")
    if effort is not None:
        meant = settings.efforts.get(effort, EFFORTS[effort])
        given = {**_fitting(meant, least, most), **given}
    try:
        return read_request(given, StepRequest(control=settings.control), others=False)
    except InputError as error:
        named = next((name for name in _STEP_FIELDS if name in str(error)), None)
        raise bad(f"{error}", named, "invalid_value") from error


def _fitting(meant: EffortRange, least: int | None, most: int | None) -> dict[str, int]:
    """Return the range of an effort, moved to where it does not contradict what is said."""
    found: dict[str, int] = {"min_steps": min(meant.min_steps, most or meant.min_steps)}
    if meant.max_steps is not None:
        found["max_steps"] = max(meant.max_steps, least or 1)
    if meant.max_reasoning_tokens is not None and least is None and most is None:
        found["max_reasoning_tokens"] = meant.max_reasoning_tokens
    return found


def _check_sizes(
    limits: RequestLimits,
    max_tokens: int | None,
    n: int | None,
    stop: Sequence[str],
    top_logprobs: int | None,
) -> None:
    if max_tokens is not None and max_tokens > limits.new_tokens:
        raise _more("max_tokens", max_tokens, limits.new_tokens)
    if n is not None and n > limits.choices:
        raise _more("n", n, limits.choices)
    if len(stop) > limits.stop_strings:
        raise _more("stop", len(stop), limits.stop_strings)
    if any(len(one) > limits.stop_characters for one in stop):
        raise bad(f"A stop string may have at most {limits.stop_characters} characters.", "stop")
    if top_logprobs is not None and top_logprobs > limits.top_logprobs:
        raise _more("top_logprobs", top_logprobs, limits.top_logprobs)


def _more(param: str, value: int, limit: int) -> ApiError:
    return bad(
        f"Invalid '{param}': {value} is more than this server's limit of {limit}.", param, "invalid_value"
    )
