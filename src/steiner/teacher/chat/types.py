"""What is called, what is asked, what comes back and what goes wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import orjson
from pydantic import ConfigDict, Field, field_validator

from steiner.core import Record, Settings, SteinerError, canonical_json

OWN_FIELDS = {
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "response_format",
    "stream",
    "stream_options",
}
"""Fields of a request body that `Endpoint.extra_body` may not set: the client sets or needs them."""

SECRET_NAMES = ("authorization", "api_key", "apikey", "api-key", "access_token", "secret", "password")


class Endpoint(Settings):
    """The server and model that are called, and how it wants to be asked. Never holds a key."""

    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: str = "https://api.openai.com/v1"
    """Everything before `/chat/completions`."""
    model: str
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; never the key itself."""
    structured: Literal["auto", "json_schema", "json_object", "none"] = "auto"
    """How JSON replies are asked for. `auto`: by schema, falling back when the endpoint refuses that."""
    stream: bool = False
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request body, such as `{"chat_template_kwargs": {"enable_thinking": false}}`."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        value = value.strip()
        if not _is_address(value):
            raise ValueError(
                "must be an address such as https://api.openai.com/v1 or http://localhost:8000/v1"
            )
        parts = urlsplit(value)
        names = [name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        if "@" in parts.netloc or any(name == "key" or _is_secret(name) for name in names):
            raise ValueError(
                "must not hold a password or a key; put the key into the variable that key_env names"
            )
        if parts.path.rstrip("/").endswith("/chat/completions"):
            raise ValueError("must end before /chat/completions, for example https://api.openai.com/v1")
        return parts._replace(path=parts.path.rstrip("/"), fragment="").geturl()

    @field_validator("key_env")
    @classmethod
    def _check_key_env(cls, value: str) -> str:
        # A key pasted here by mistake must not be echoed, so the message leaves the value out.
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value):
            raise ValueError(
                "must be the name of an environment variable in capitals, such as OPENAI_API_KEY, not the key"
            )
        return value

    @field_validator("extra_body")
    @classmethod
    def _check_extra_body(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if _is_secret(name.lower()):
                raise ValueError("must not hold a key; put the key into the variable that key_env names")
            if name in OWN_FIELDS:
                raise ValueError(f"must not set '{name}', which the client sets itself")
        return value


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        (parts.hostname or "").encode("idna")
        _ = parts.port  # looked at only to see whether it is one
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)


def _is_secret(name: str) -> bool:
    return any(word in name for word in SECRET_NAMES)


class Message(Record):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Record):
    """One call."""

    kind: str
    """What the call is for: "draft", "attempt", "resolve". For accounting; never sent."""
    messages: tuple[Message, ...]
    max_tokens: int = Field(ge=1)
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    """Sent to the endpoint."""
    draw: int = 0
    """Which of several otherwise equal requests this is. Never sent, but part of the key."""
    schema_name: str = ""
    response_schema: dict[str, Any] | None = None
    """JSON schema of the reply's text; None asks for free text."""


class Finish(StrEnum):
    """Why the endpoint stopped writing. Only STOP is a success."""

    STOP = "stop"
    LENGTH = "length"
    FILTER = "filter"
    REFUSAL = "refusal"
    OTHER = "other"


class Usage(Record):
    """Tokens that a call took."""

    prompt_tokens: int
    completion_tokens: int
    """All that was written, reasoning included."""
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt that the endpoint had in its cache."""
    reported: bool = True
    """False: estimated here (generously), because the endpoint did not say."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reported=self.reported and other.reported,
        )


NO_USAGE = Usage(prompt_tokens=0, completion_tokens=0)


class Reply(Record):
    """What came back from a call. `finish` other than STOP means that `text` is not a whole answer."""

    text: str
    """The answer, without the reasoning that the endpoint told apart."""
    reasoning: str = ""
    finish: Finish
    usage: Usage
    """Of the try that succeeded."""
    seconds: float
    """From sending to the last byte, of the try that succeeded."""
    tries: int
    model: str = ""
    """The model that the endpoint says it used."""
    wasted: Usage = NO_USAGE
    """What earlier tries of the same call may have cost although nothing came of them."""


class FailureKind(StrEnum):
    """What a call failed of."""

    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    BAD_REPLY = "bad_reply"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    BAD_REQUEST = "bad_request"


class ChatFailure(SteinerError):  # noqa: N818 - the errors it groups are called failures throughout
    """A call that failed for good.

    Args:
        kind: what it failed of.
        message: what went wrong and what to do; never holds a key.
        tries: how many times it was sent.
        usage: what the failed tries may have cost; zeros where nothing is known.
    """

    def __init__(self, kind: FailureKind, message: str, tries: int = 1, usage: Usage = NO_USAGE) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.tries = tries
        self.usage = usage

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.message, self.tries, self.usage)

    @property
    def stops_run(self) -> bool:
        """Whether no other call can succeed either."""
        return self.kind in (FailureKind.AUTH, FailureKind.NOT_FOUND)


Complete = Callable[[ChatRequest], Awaitable[Reply]]
"""Makes one call. Raises ChatFailure."""


def request_key(endpoint: Endpoint, request: ChatRequest) -> str:
    """Return the digest (32 hex digits) of everything that determines the reply.

    That is all that is sent and `draw`; not the key, nor what changes only how the reply travels (`stream`).
    """
    parts = [
        [endpoint.base_url, endpoint.model, endpoint.structured, endpoint.extra_body],
        [[message.role, message.content] for message in request.messages],
        [request.max_tokens, request.temperature, request.top_p, request.seed, request.draw],
        [request.schema_name, request.response_schema],
    ]
    try:
        text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        text = canonical_json(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]
