"""Who may ask: host, origin and key are checked before anything is read."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from steiner.serve.errors import ApiError
from steiner.serve.exchange import error_reply
from steiner.serve.reply import ABORT, SEND
from steiner.serve.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL = frozenset({"localhost", "testserver"})
_METHODS = b"GET, POST, OPTIONS"
_HEADERS = b"authorization, content-type"
SAFETY: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
"""Headers of every reply."""


class Guard:
    """An ASGI application around another.

    A web page of another origin reaches a server on localhost by the visitor's browser: by name (DNS
    rebinding), hence the check of Host, and by plain POSTs, hence the check of Origin.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app = app
        key = settings.api_key
        self._key = None if key is None else b"Bearer " + key.get_secret_value().encode()
        self._hosts = frozenset({settings.host.lower(), *(host.lower() for host in settings.hosts)}) | _LOCAL
        self._origins = frozenset(settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is not None:
            scope[ABORT] = transport.abort
        scope[SEND] = send
        extra = [*SAFETY, *self._cors(origin)]

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        error = self._refusal(scope, headers, host, origin)
        if error is not None:
            await error_reply(error)(scope, receive, send_safely)
        elif scope["method"] == "OPTIONS" and origin:
            await send_safely({"type": "http.response.start", "status": 204, "headers": []})
            await send_safely({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send_safely)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], host: str, origin: str) -> ApiError | None:
        if not self._knows_host(host):
            return ApiError(
                403,
                f"This server does not answer to the name '{host[:100]}'. "
                "Start it with --allow-host to allow it.",
                code="host_not_allowed",
            )
        if origin and not self._knows_origin(origin, host):
            return ApiError(
                403,
                f"Web pages of '{origin[:100]}' may not use this server. "
                "Start it with --allow-origin to allow it.",
                code="origin_not_allowed",
            )
        if self._key is None or not scope["path"].startswith("/v1/") or scope["method"] == "OPTIONS":
            return None
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._key):
            return ApiError(
                401,
                "Incorrect API key provided.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _knows_host(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or "" if _is_clean(host) else ""
        if name in self._hosts or "*" in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _knows_origin(self, origin: str, host: str) -> bool:
        if origin in self._origins or "*" in self._origins:
            return True
        return origin in (f"http://{host}", f"https://{host}")

    def _cors(self, origin: str) -> Iterable[tuple[bytes, bytes]]:
        if not origin or not ({origin, "*"} & self._origins):
            return ()
        return (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _HEADERS),
            (b"vary", b"Origin"),
        )


def _is_clean(host: str) -> bool:
    try:
        urlsplit(f"//{host}").port  # noqa: B018 (raises for a bad port)
    except ValueError:
        return False
    return not set(host) & set("/@\\?# ")
