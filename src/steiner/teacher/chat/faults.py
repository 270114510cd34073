"""What an endpoint's refusals mean: status and body → kind of failure and a message that says what to do."""

from __future__ import annotations

import email.utils
import math
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, NamedTuple

import orjson

from steiner.teacher.chat.types import Endpoint, FailureKind, Usage

MESSAGE_LENGTH = 400
"""Characters of an endpoint's own words that are passed on."""
LONGEST_WAIT = 86_400.0
"""Seconds; a `Retry-After` beyond this is taken as this."""

CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:model |input )?(?:length|context)|max_model_len"
    r"|prompt is too long|too many (?:input )?tokens|input token count|tokens? exceeds?|exceeds? .{0,40}token"
    r"|reduce the length|request too large|string too long|input is too long|longer than the maximum",
    re.IGNORECASE,
)
STRUCTURED = re.compile(
    r"response_?format|json_?schema|json_?object|structured.?output|guided|grammar|response_?schema|schema",
    re.IGNORECASE,
)
NO_MODEL = re.compile(
    r"model_not_found|model[^.]{0,80}(?:does(?: not|n't) exist|not exist|not found|unknown|is not available)"
    r"|(?:unknown|no such|invalid) model",
    re.IGNORECASE,
)
BAD_KEY = re.compile(r"api[ _-]?key|invalid_authentication|unauthenticated|unauthorized", re.IGNORECASE)
NO_CREDIT = re.compile(
    r"insufficient_quota|billing|insufficient (?:balance|credit|funds)|credit balance", re.I
)
FLAGGED = re.compile(r"moderation|flagged|safety|content[ _]policy", re.IGNORECASE)


class Fault(NamedTuple):
    """One try that failed."""

    kind: FailureKind
    message: str
    usage: Usage | None = None
    """What it cost, where the endpoint said so."""
    retry_after: float | None = None
    """Seconds the endpoint asked to wait."""
    structured: bool = False
    """Whether the endpoint complained about how JSON was asked for."""
    final: bool = False
    """Whether trying again is pointless although the kind is usually transient."""


def error_text(body: bytes) -> str:
    """Return the endpoint's own words in an error body.

    Knows the shapes of OpenAI, vLLM, Anthropic, Gemini, OpenRouter, FastAPI, and plain text. The error's code
    and type follow the message, since they are what is reliable to look for. Not shortened.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[:20_000].decode("utf-8", "replace")
        if "<" in text:
            title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
            text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
        return " ".join(text.split())
    return " ".join(_words(value).split())


def _words(value: Any) -> str:
    """Find the words of an error in a parsed body of unknown shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # Gemini wraps its error in a list; FastAPI lists one detail a field
        return "; ".join(_words(item) for item in value[:5])
    if not isinstance(value, dict):
        return ""
    for name in ("error", "detail", "errors"):
        if value.get(name):
            return _words(value[name])
    text = str(next((value[name] for name in ("message", "msg") if isinstance(value.get(name), str)), ""))
    if isinstance(value.get("loc"), list):
        text = ".".join(map(str, value["loc"])) + ": " + text
    marks: list[str] = []
    for name in ("code", "type", "status", "param"):
        mark = value.get(name)
        if mark and isinstance(mark, str | int) and str(mark) not in text:
            marks.append(str(mark))
    nested = value.get("metadata")
    if isinstance(nested, dict) and isinstance(
        nested.get("raw"), str
    ):  # OpenRouter: the words of who it asked
        marks.append(nested["raw"])
    return f"{text} ({', '.join(marks)})" if marks else text


def shorten(text: str) -> str:
    """Return the beginning of an endpoint's words."""
    return text if len(text) <= MESSAGE_LENGTH else text[:MESSAGE_LENGTH] + " …"


def fault_of_status(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], words: str, now: float
) -> Fault:
    """Return what a reply with an HTTP status other than 200 means.

    Args:
        endpoint: which endpoint; its settings are named in the message.
        status: HTTP status.
        headers: of the reply; case-insensitive.
        words: the endpoint's own words (`error_text`), without any key.
        now: seconds since the epoch, for a `Retry-After` that is a date.
    """
    kind = _kind(status, words)
    said = f" It said: {shorten(words)}" if words else ""
    message = f"{_advice(endpoint, kind, status)}{said}"
    if 300 <= status < 400:
        target = shorten(headers.get("Location", "elsewhere"))
        message = (
            f"{endpoint.base_url} redirects to {target}: set base_url to the address that answers itself."
        )
    return Fault(
        kind,
        message,
        retry_after=retry_after(headers, now),
        structured=kind is FailureKind.BAD_REQUEST and bool(STRUCTURED.search(words)),
    )


def _kind(status: int, words: str) -> FailureKind:
    if status == 429:
        if NO_CREDIT.search(words):
            return FailureKind.AUTH
        # More than a minute's allowance in one request: no waiting helps.
        too_large = re.search("request too large", words, re.IGNORECASE)
        return FailureKind.CONTEXT_LENGTH if too_large else FailureKind.RATE_LIMIT
    if status in (401, 402, 407):
        return FailureKind.AUTH
    if status == 403:
        return FailureKind.BAD_REQUEST if FLAGGED.search(words) else FailureKind.AUTH
    if status in (404, 405, 410) or 300 <= status < 400:
        return FailureKind.NOT_FOUND
    if status in (408, 409, 425) or status >= 500:
        return FailureKind.SERVER
    if NO_CREDIT.search(words):
        return FailureKind.AUTH
    if status == 413 or CONTEXT.search(words):
        return FailureKind.CONTEXT_LENGTH
    if NO_MODEL.search(words):
        return FailureKind.NOT_FOUND
    if BAD_KEY.search(words):
        return FailureKind.AUTH
    return FailureKind.BAD_REQUEST


def _advice(endpoint: Endpoint, kind: FailureKind, status: int) -> str:
    at = f"{endpoint.base_url} (HTTP {status})"
    match kind:
        case FailureKind.AUTH:
            return (
                f"{at} refuses the key: check the environment variable {endpoint.key_env}, and that its "
                f"account may use the model '{endpoint.model}' and has credit."
            )
        case FailureKind.NOT_FOUND:
            return (
                f"{at} does not have the model '{endpoint.model}' or no chat completions: check model and "
                "base_url (which ends before /chat/completions, often in /v1)."
            )
        case FailureKind.CONTEXT_LENGTH:
            return (
                f"The request does not fit the context of '{endpoint.model}' at {at}: ask for fewer tokens."
            )
        case FailureKind.RATE_LIMIT:
            return f"{at} limits the rate: lower the concurrency or the requests or tokens per minute."
        case FailureKind.BAD_REQUEST:
            return f"{at} refuses the request: check extra_body, structured and max_tokens_name."
        case _:
            return f"{at} failed."


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds a reply asks to wait; None if it does not say, or says what cannot be read.

    A date is compared with the reply's own `Date`, so that clocks that differ do not matter.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * unit
        except ValueError:
            continue
        return min(seconds, LONGEST_WAIT) if seconds >= 0 and math.isfinite(seconds) else None
    until = _epoch(headers.get("Retry-After", ""))
    if until is None:
        return None
    sent = _epoch(headers.get("Date", ""))
    return min(max(0.0, until - (now if sent is None else sent)), LONGEST_WAIT)


def _epoch(date: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
