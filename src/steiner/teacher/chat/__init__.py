"""Calls of OpenAI-compatible chat endpoints; knows nothing of teachers.

Here are only the types, which load quickly. `ChatClient` in `steiner.teacher.chat.client` makes the calls; it
loads aiohttp.
"""

from steiner.teacher.chat.types import (
    ChatFailure,
    ChatRequest,
    Complete,
    Endpoint,
    FailureKind,
    Finish,
    Message,
    Reply,
    Usage,
    request_key,
)

__all__ = [
    "ChatFailure",
    "ChatRequest",
    "Complete",
    "Endpoint",
    "FailureKind",
    "Finish",
    "Message",
    "Reply",
    "Usage",
    "request_key",
]
