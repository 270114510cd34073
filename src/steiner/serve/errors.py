"""Errors as OpenAI's clients expect them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INVALID = "invalid_request_error"
SERVER = "server_error"


class ApiError(Exception):
    """Becomes a status code and an error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.kind = kind
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def bad(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return a 400."""
    return ApiError(400, message, param=param, code=code)


def too_long(prompt: int, wanted: int, context: int) -> ApiError:
    """Return OpenAI's error for a prompt that does not fit. All in tokens."""
    return bad(
        f"This model's maximum context length is {context} tokens. However, your messages resulted in "
        f"{prompt} tokens, and the completion needs at least {wanted}. Please shorten the messages, ask for "
        "fewer steps or carry less history (history: drop).",
        param="messages",
        code="context_length_exceeded",
    )


def overloaded(seconds: int) -> ApiError:
    """Return the 429 of a full server."""
    return ApiError(
        429,
        f"The server is at its limit of requests. Try again in {seconds} s.",
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(seconds)},
    )


def not_running(starting: bool) -> ApiError:
    """Return the 503 of a server whose engine does not run."""
    return ApiError(
        503,
        "The engine is being started again. Try again soon."
        if starting
        else "The engine has failed. The server's log says why; it has to be started again.",
        kind=SERVER,
        code="engine_unavailable",
        headers={"Retry-After": "10"} if starting else None,
    )


def failed(message: str = "The server had an error while processing your request.") -> ApiError:
    """Return a 500."""
    return ApiError(500, message, kind=SERVER, code="internal_error")
