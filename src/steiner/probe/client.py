"""One request over a stream, with its times.

Not the teachers' client: that one is for many calls at once and knows no time to the first token. Requests
and replies have the same bytes, so that reading and faults are shared with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from steiner.probe.records import Ask, Measurement, ProbeSettings
from steiner.teacher.chat.faults import Fault, error_text, fault_of_status
from steiner.teacher.chat.keys import Redactor, read_key
from steiner.teacher.chat.sse import SseParser
from steiner.teacher.chat.transport import proxy_of
from steiner.teacher.chat.types import ChatRequest, Endpoint, FailureKind, Message
from steiner.teacher.chat.wire import Content, StreamReader, parse_reply, request_body

TOTAL_TIMEOUT = 1_800.0
"""Seconds for a request."""
IDLE_TIMEOUT = 300.0
"""Seconds without a byte; hidden reasoning may be silent for long."""
LARGEST_ERROR = 64 << 10
Clock = Callable[[], float]


class Seen(NamedTuple):
    """What was seen of a reply while it came. Times on the clock, None before anything was seen."""

    first: float | None = None
    last: float | None = None
    events: int = 0
    text_bytes: int = 0

    def plus(self, text: str, now: float) -> Seen:
        """Add a piece of text."""
        size = len(text.encode("utf-8", "surrogatepass"))
        first = now if self.first is None else self.first
        return Seen(first, now, self.events + 1, self.text_bytes + size)


class ProbeClient:
    """Sends one request at a time to an endpoint; an async context manager.

    Args:
        endpoint: what is called; it is asked to stream.
        settings: what requests are like.
        clock: gives seconds; None for that of the system.

    Raises:
        InputError: there is no key although the endpoint is public.
    """

    def __init__(self, endpoint: Endpoint, settings: ProbeSettings, clock: Clock | None = None) -> None:
        self.endpoint = endpoint.model_copy(update={"stream": True})
        self._settings = settings
        self._clock = clock or time.perf_counter
        key = read_key(endpoint)
        self._redactor = Redactor(key)
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        parts = urlsplit(endpoint.base_url)
        self._url = parts._replace(path=parts.path + "/chat/completions").geturl()
        self._proxy = proxy_of(endpoint.base_url)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=TOTAL_TIMEOUT, sock_read=IDLE_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(keepalive_timeout=60),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, ask: Ask) -> Measurement | Fault:
        """Send a request once; return what came, or what went wrong with a message that holds no key."""
        if self._session is None:
            raise RuntimeError("use the client as `async with ProbeClient(...) as client`")
        started = time.time()
        try:
            begun = self._clock()
            async with self._session.post(
                self._url, data=self.body(ask), allow_redirects=False, proxy=self._proxy
            ) as response:
                outcome, seen = await self._read(response)
                total = self._clock() - begun
        except (TimeoutError, aiohttp.ServerTimeoutError):
            return Fault(FailureKind.TIMEOUT, f"{self.endpoint.base_url} took too long to reply.")
        except (aiohttp.ClientError, OSError, EOFError) as error:  # their words may hold the key
            words = f"{self.endpoint.base_url} cannot be reached or broke off ({type(error).__name__})."
            return Fault(FailureKind.CONNECTION, f"{words} Check --base-url and that the server runs.")
        if isinstance(outcome, Fault):
            return outcome._replace(message=self._redactor.message(outcome.message))
        return self._measured(ask, outcome, seen, started, begun, total)

    def body(self, ask: Ask) -> bytes:
        """Return the JSON that is sent."""
        request = ChatRequest(
            kind="probe",
            messages=(Message(role="user", content=ask.prompt),),
            max_tokens=ask.max_tokens,
            temperature=self._settings.temperature,
        )
        body = request_body(self.endpoint, request, "none")
        if self._settings.branches == 1:
            return body
        return orjson.dumps(orjson.loads(body) | {"n": self._settings.branches})

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[Content | Fault, Seen]:
        if not 200 <= response.status < 300:
            words = error_text(await response.content.read(LARGEST_ERROR))
            words = self._redactor.message(words)
            fault = fault_of_status(self.endpoint, response.status, response.headers, words, time.time())
            return fault, Seen()
        if "json" in response.headers.get("Content-Type", ""):
            outcome = parse_reply(await response.read())
            return outcome, _of_whole(outcome)
        parser, stream, seen = SseParser(), StreamReader(), Seen()
        while chunk := await response.content.readany():
            now = self._clock()
            stream.feed(chunk)
            for data in parser.feed(chunk):
                if text := text_of_event(data):
                    seen = seen.plus(text, now)
            if stream.done:
                break
        return stream.close(), seen

    def _measured(
        self, ask: Ask, content: Content, seen: Seen, started: float, begun: float, total: float
    ) -> Measurement:
        usage = content.usage
        return Measurement(
            number=ask.number,
            kind=ask.kind,
            target=ask.target,
            max_tokens=ask.max_tokens,
            warmup=ask.warmup,
            started=started,
            first_s=None if seen.first is None else seen.first - begun,
            last_s=None if seen.last is None else seen.last - begun,
            total_s=total,
            events=seen.events,
            text_bytes=seen.text_bytes,
            prompt_tokens=None if usage is None else usage.prompt_tokens,
            completion_tokens=None if usage is None else usage.completion_tokens,
            reasoning_tokens=0 if usage is None else usage.reasoning_tokens,
            finish=content.finish.value,
            model=self._redactor.exact(content.model),
        )


def text_of_event(data: bytes) -> str:
    """Return the text, reasoning included, that an event adds to the first completion."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return ""
    choices = value.get("choices") if isinstance(value, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
            return _text_of_delta(choice.get("delta"))
    return ""


def _text_of_delta(delta: Any) -> str:
    if not isinstance(delta, dict):
        return ""
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    return "".join(part for part in (reasoning, delta.get("content")) if isinstance(part, str))


def _of_whole(outcome: Content | Fault) -> Seen:
    """Return what is known of a reply that came in one piece: its size, no times."""
    if isinstance(outcome, Fault):
        return Seen()
    text = outcome.reasoning + outcome.text
    return Seen(text_bytes=len(text.encode("utf-8", "surrogatepass")))
