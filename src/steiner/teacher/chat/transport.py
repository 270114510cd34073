"""One request over aiohttp: what comes back is a reply's content or a fault, never an exception of aiohttp's.

aiohttp's exceptions hold the headers of the request, with the key; so none leaves this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.request
from urllib.parse import urlsplit

import aiohttp

from steiner.teacher.chat.faults import Fault, error_text, fault_of_status
from steiner.teacher.chat.keys import Redactor, is_private
from steiner.teacher.chat.types import ChatRequest, Endpoint, FailureKind, Usage
from steiner.teacher.chat.wire import (
    Content,
    StreamReader,
    bad_reply,
    content_usage,
    estimated_usage,
    parse_reply,
)

LARGEST_REPLY = 64 << 20
"""Bytes; a reply beyond this is none."""
LARGEST_ERROR = 64 << 10
"""Bytes of an error's body that are read."""
SPARE_FILES = 128
"""Open files that are left for all else than connections."""
AFTER_END = 1.0
"""Seconds to wait for the connection to become free once a stream has said that it ends."""


class Transport:
    """Posts requests to one endpoint and reads the replies.

    Args:
        endpoint: where to.
        key: "" for none.
        connect_timeout: seconds until a connection stands.
    """

    def __init__(self, endpoint: Endpoint, key: str, connect_timeout: float) -> None:
        self.bytes_received = 0
        self._endpoint = endpoint
        self._redactor = Redactor(key)
        self._connect_timeout = connect_timeout
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if endpoint.stream:
            self._headers["Accept"] = "text/event-stream, application/json"
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        parts = urlsplit(endpoint.base_url)
        self._url = parts._replace(path=parts.path + "/chat/completions").geturl()
        self._proxy = proxy_of(endpoint.base_url)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session; connections are made when they are needed and kept."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._connect_timeout, connect=None, sock_read=None
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=timeout,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(
        self, request: ChatRequest, body: bytes, total_timeout: float, idle_timeout: float
    ) -> Content | Fault:
        """Send a request once and read its reply; its usage is estimated where the endpoint does not say.

        Args:
            request: what `body` was made from, to estimate what a broken reply may have cost.
            body: JSON.
            total_timeout: seconds for all.
            idle_timeout: seconds between two pieces of the reply.
        """
        if self._session is None:
            raise RuntimeError("use the client as `async with ChatClient(...) as client`")
        exchange = _Exchange(self._endpoint, self._redactor, total_timeout, idle_timeout)
        try:
            async with (
                asyncio.timeout(total_timeout) as exchange.timer,
                self._session.post(
                    self._url, data=body, allow_redirects=False, proxy=self._proxy
                ) as response,
            ):
                outcome = await exchange.read(response)
        except aiohttp.ServerTimeoutError:
            seconds = self._connect_timeout
            outcome = self._unreachable(FailureKind.TIMEOUT, f"no connection within {seconds:g} seconds")
        except TimeoutError:
            outcome = exchange.timed_out()
        except aiohttp.ClientConnectorCertificateError as error:
            outcome = self._unreachable(
                FailureKind.CONNECTION,
                f"its certificate is not valid ({error.certificate_error})",
                final=True,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError) as error:
            outcome = self._unreachable(FailureKind.CONNECTION, f"{error.os_error}")
        except (aiohttp.ClientError, OSError, EOFError) as error:
            outcome = exchange.broken(type(error).__name__)
        self.bytes_received += exchange.received
        if outcome.usage is not None or not exchange.accepted:
            return outcome
        if isinstance(outcome, Content):
            return outcome._replace(usage=content_usage(request, outcome))
        return outcome._replace(usage=estimated_usage(request, exchange.received_tokens()))

    def _unreachable(self, kind: FailureKind, why: str, final: bool = False) -> Fault:
        base_url = self._endpoint.base_url
        return Fault(
            kind,
            f"{base_url} cannot be reached: {why}. Check base_url and that the server runs.",
            final=final,
        )


class _Exchange:
    """One reply being read."""

    __slots__ = ("accepted", "endpoint", "idle", "received", "redactor", "stream", "timer", "total", "until")

    def __init__(self, endpoint: Endpoint, redactor: Redactor, total: float, idle: float) -> None:
        self.timer: asyncio.Timeout | None = None
        self.endpoint = endpoint
        self.redactor = redactor
        self.total = total
        self.idle = idle
        self.received = 0
        self.accepted = False  # the endpoint has said 200, so that the call may cost something
        self.stream: StreamReader | None = None
        self.until: float | None = None  # when the total time is over, on the loop's clock

    async def read(self, response: aiohttp.ClientResponse) -> Content | Fault:
        assert self.timer is not None
        self.until = self.timer.when()
        if not 200 <= response.status < 300:
            words = self.redactor.message(error_text(await self._read_all(response.content, LARGEST_ERROR)))
            return fault_of_status(self.endpoint, response.status, response.headers, words, time.time())
        self.accepted = True
        if self._is_stream(response.headers.get("Content-Type", "")):
            return await self._read_stream(response.content)
        body = await self._read_all(response.content, LARGEST_REPLY)
        if self.received > LARGEST_REPLY:
            return bad_reply(f"it has more than {LARGEST_REPLY} bytes")
        outcome = parse_reply(body)
        if isinstance(outcome, Fault):
            outcome = outcome._replace(message=self.redactor.message(outcome.message))
        return outcome

    def _is_stream(self, content_type: str) -> bool:
        if "event-stream" in content_type:
            return True
        return self.endpoint.stream and "json" not in content_type and "html" not in content_type

    async def _read_all(self, content: aiohttp.StreamReader, most: int) -> bytes:
        """Read a body, to its end or a little beyond `most` bytes."""
        chunks: list[bytes] = []
        while chunk := await content.readany():
            self.received += len(chunk)
            chunks.append(chunk)
            if content.at_eof() or self.received > most:
                break
            self._wait_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _read_stream(self, content: aiohttp.StreamReader) -> Content | Fault:
        stream = self.stream = StreamReader()
        while chunk := await content.readany():
            self.received += len(chunk)
            stream.feed(chunk)
            if content.at_eof():
                break
            if self.received > LARGEST_REPLY:
                return bad_reply(f"it has more than {LARGEST_REPLY} bytes")
            if stream.done:
                # The connection can be used again if its end, which carries nothing, comes soon.
                with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                    async with asyncio.timeout(AFTER_END):
                        await content.readany()
                break
            self._wait_on()
        return stream.close()

    def _wait_on(self) -> None:
        """Give the next piece the idle time, as far as the total allows."""
        assert self.timer is not None
        until = asyncio.get_running_loop().time() + self.idle
        self.timer.reschedule(until if self.until is None else min(until, self.until))

    def received_tokens(self) -> int:
        """Return about how many tokens have come."""
        if self.stream is not None:
            return (len(self.stream.written().encode("utf-8", "surrogatepass")) + 2) // 3
        return self.received // 3

    def timed_out(self) -> Fault:
        total = self.until is None or asyncio.get_running_loop().time() >= self.until
        why = (
            f"took longer than {self.total:g} seconds (total_timeout)"
            if total
            else f"stopped in mid-reply for {self.idle:g} seconds (idle_timeout)"
        )
        return Fault(FailureKind.TIMEOUT, f"{self.endpoint.base_url} {why}.", self._reported())

    def broken(self, why: str) -> Fault:
        where = "in mid-reply" if self.accepted else "before it replied"
        return Fault(
            FailureKind.CONNECTION,
            f"{self.endpoint.base_url} closed the connection {where} ({why}).",
            self._reported(),
        )

    def _reported(self) -> Usage | None:
        return self.stream.usage() if self.stream is not None else None


def proxy_of(base_url: str) -> str | None:
    """Return the proxy that the environment sets for an address; none for one of this machine or network.

    Looked up once: aiohttp's own way does it for each request.
    """
    parts = urlsplit(base_url)
    if is_private(base_url) or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def raise_file_limit(connections: int) -> int:
    """Let this process open as many files as `connections` take; return how many connections it can have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = connections + SPARE_FILES
    if soft != infinite and soft < wanted:
        soft = wanted if hard == infinite else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == infinite else max(1, min(connections, soft - SPARE_FILES))
