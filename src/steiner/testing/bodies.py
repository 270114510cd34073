"""What a server makes of a request before it answers: its digest, and what is wrong with it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

from steiner.testing.models import texts, tokens
from steiner.testing.settings import ServerSettings

BodyDigest = bytes
"""8 bytes; written as 16 hex digits."""


class Complaint(NamedTuple):
    """Why a request is refused for good."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None


def body_digest(raw: bytes) -> BodyDigest:
    """Return the digest that tells one body from another: of its bytes as sent."""
    return blake2b(raw, digest_size=8).digest()


def complaint(body: Any, settings: ServerSettings) -> Complaint | None:
    """Return what is wrong with a request, None if nothing is.

    Args:
        body: the parsed JSON, whatever it is.
        settings: of the server.
    """
    if not isinstance(body, dict):
        return Complaint(400, "the body must be a JSON object")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        return Complaint(400, "'messages' must be a list with at least one message", None, "messages")
    if not settings.any_name and body.get("model") != settings.name:
        message = f"The model `{body.get('model')}` does not exist or you do not have access to it."
        return Complaint(404, message, "model_not_found", "model")
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    for name in settings.refuses:
        if name in body or (kind is not None and name == kind):
            param = "response_format" if name == kind else name
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return Complaint(400, message, "unsupported_parameter", param)
    return _too_long(body, settings.context_tokens) if settings.context_tokens else None


def _too_long(body: dict[str, Any], limit: int) -> Complaint | None:
    asked = sum(tokens(text) + 4 for _, text in texts(body))
    may_write = body.get("max_completion_tokens") or body.get("max_tokens") or 0
    if asked + may_write <= limit:
        return None
    message = (
        f"This model's maximum context length is {limit} tokens. However, you requested "
        f"{asked + may_write} tokens ({asked} in the messages, {may_write} in the completion)."
    )
    return Complaint(400, message, "context_length_exceeded", "messages")
