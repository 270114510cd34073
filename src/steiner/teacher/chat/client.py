"""The client: many chat calls at once, over one aiohttp session."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Self

from pydantic import Field

from steiner.core import Settings, SteinerWarning
from steiner.teacher.chat.controller import ConcurrencyController, ConcurrencyGate
from steiner.teacher.chat.faults import Fault
from steiner.teacher.chat.keys import Redactor, read_key
from steiner.teacher.chat.limits import RateGate
from steiner.teacher.chat.transport import Transport, raise_file_limit
from steiner.teacher.chat.types import (
    NO_USAGE,
    ChatFailure,
    ChatRequest,
    Endpoint,
    FailureKind,
    Reply,
    Usage,
)
from steiner.teacher.chat.wire import Content, Structured, empty_reply, request_body

PERMANENT = {
    FailureKind.AUTH,
    FailureKind.NOT_FOUND,
    FailureKind.CONTEXT_LENGTH,
    FailureKind.BAD_REQUEST,
}
"""Kinds that trying again does not cure."""
BeforeTry = Callable[[Usage], None]
"""Called whenever a call is about to be sent, with what its earlier tries may have cost; what it raises ends
the call."""
LONG_WAIT = 60.0
"""Seconds; waits from here on are told to the user."""


class ClientLimits(Settings):
    """How hard an endpoint may be called, and how patiently."""

    concurrency: int = Field(default=256, ge=1)
    """Most requests in flight. The client begins with few and comes near this only while it pays."""
    start_concurrency: int = Field(default=16, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Prompts and completions together. A request counts with its `max_tokens` until its reply is there."""
    total_timeout: float = Field(default=600.0, gt=0)
    """Seconds from sending to the last byte, a try."""
    idle_timeout: float = Field(default=60.0, gt=0)
    """Seconds between two pieces of one reply, from its first byte on."""
    connect_timeout: float = Field(default=30.0, gt=0)
    tries: int = Field(default=6, ge=1)
    """How often a call is sent that meets 5xx, timeouts and broken connections."""
    bad_reply_tries: int = Field(default=3, ge=1)
    """How often a call is sent whose replies cannot be used, or are empty."""
    rate_limit_tries: int = Field(default=20, ge=1)
    """How often a call is sent that meets 429s. The waits in between are those that the endpoint asks for."""
    backoff_seconds: float = Field(default=0.5, ge=0)
    """The first wait before a call is sent again, give or take a half; doubled each time."""
    longest_backoff_seconds: float = Field(default=30.0, ge=0)


@dataclasses.dataclass
class ClientStats:
    """What a client has done so far."""

    sent: int = 0
    """Requests, retries included."""
    succeeded: int = 0
    """Calls with a reply."""
    failed: int = 0
    """Calls that failed for good."""
    retried: Counter[FailureKind] = dataclasses.field(default_factory=Counter)
    """Requests sent again, by what the one before failed of."""
    rate_limit_episodes: int = 0
    bytes_sent: int = 0
    """Of request bodies."""
    bytes_received: int = 0
    """Of reply bodies, unpacked."""
    in_flight: int = 0
    """Requests with a permit at present."""
    concurrency: int = 0
    """The adaptive limit at present."""


class _Call:
    """One call under way: how often it was sent and what that may have cost."""

    __slots__ = ("before_try", "failures", "request", "tries", "wasted")

    def __init__(self, request: ChatRequest, before_try: BeforeTry | None) -> None:
        self.request = request
        self.before_try = before_try
        self.tries = 0
        self.wasted = NO_USAGE
        self.failures: Counter[str] | None = None

    def count(self, what: str) -> int:
        """Count a failed try and return how many there were of its sort."""
        if self.failures is None:
            self.failures = Counter()
        self.failures[what] += 1
        return self.failures[what]


class ChatClient:
    """Calls one endpoint; an async context manager.

    The key comes from the environment variable that the endpoint names and is in no message, log or `repr`.
    Cancelling a call frees all that it holds.

    Args:
        endpoint: what is called.
        limits: how hard and how patiently.
        on_warning: takes what the user should know, such as a fallback; otherwise `SteinerWarning`s.

    Raises:
        InputError: there is no key although the endpoint is public.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        limits: ClientLimits | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits or ClientLimits()
        key = read_key(endpoint)
        self._redactor = Redactor(key)
        self._transport = Transport(endpoint, key, self.limits.connect_timeout)
        self._warn = on_warning or _warn
        self._stats = ClientStats()
        self._structured: Structured = "json_schema" if endpoint.structured == "auto" else endpoint.structured
        limits = self.limits
        ceiling = raise_file_limit(limits.concurrency)
        if ceiling < limits.concurrency:
            self._warn(
                f"This system lets a process open so few files that at most {ceiling} requests can be in "
                f"flight, not {limits.concurrency}: raise the limit with `ulimit -n`."
            )
        self._gate = ConcurrencyGate(
            ConcurrencyController(ceiling, limits.start_concurrency, limits.backoff_seconds)
        )
        self._rates = RateGate(limits.requests_per_minute, limits.tokens_per_minute)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Calls under way should have been awaited or cancelled."""
        self._gate.close()
        self._rates.close()
        await self._transport.close()

    @property
    def stats(self) -> ClientStats:
        """What the client has done so far: a copy."""
        controller = self._gate.controller
        return dataclasses.replace(
            self._stats,
            retried=Counter(self._stats.retried),
            rate_limit_episodes=controller.episodes,
            bytes_received=self._transport.bytes_received,
            in_flight=controller.in_flight,
            concurrency=controller.limit,
        )

    async def complete(self, request: ChatRequest, before_try: BeforeTry | None = None) -> Reply:
        """Make one call, as often as it takes.

        Args:
            request: what is asked.
            before_try: may stop the call, also one that waited at the limits or is to be sent again.

        Raises:
            ChatFailure: it failed for good; the message says of what and what to do.
        """
        call = _Call(request, before_try)
        while True:
            structured = self._structured
            body = request_body(self.endpoint, request, structured)
            outcome, seconds = await self._send(call, body)
            fault = outcome if isinstance(outcome, Fault) else empty_reply(outcome)
            falls_back = fault is not None and self._falls_back(request, fault, structured)
            pause = None if fault is None or falls_back else self._pause(call, fault)
            # Content that is empty each time is what the endpoint has to say: not a failure of the call.
            if isinstance(outcome, Content) and pause is None:
                self._stats.succeeded += 1
                return self._reply(call, outcome, seconds)
            assert fault is not None
            if fault.usage is not None:
                call.wasted = call.wasted + fault.usage
            if falls_back:
                continue
            if pause is None:
                self._stats.failed += 1
                raise self._failure(call, fault)
            self._stats.retried[fault.kind] += 1
            if pause:
                await asyncio.sleep(pause)

    async def _send(self, call: _Call, body: bytes) -> tuple[Content | Fault, float]:
        """Send once, when the limits allow it; return what came and the seconds it took."""
        permit = await self._gate.acquire(first=call.tries > 0)
        reserved = 0
        used: Usage | None = None
        seconds: float | None = None
        fault: Fault | None = None
        try:
            waited = False
            if self._rates.limited:
                worst = len(body) // 3 + call.request.max_tokens
                waited = await self._rates.acquire(worst)
                reserved = worst
            if call.before_try is not None:
                call.before_try(call.wasted)
            call.tries += 1
            self._stats.sent += 1
            self._stats.bytes_sent += len(body)
            begun = time.perf_counter()
            outcome = await self._transport.post(
                call.request, body, self.limits.total_timeout, self.limits.idle_timeout
            )
            took = time.perf_counter() - begun
            if isinstance(outcome, Content):
                # After a wait for the rates, the seconds say nothing about what concurrency is good for.
                seconds = None if waited else took
            else:
                fault = outcome
            used = outcome.usage
            return outcome, took
        finally:
            if reserved:
                spent = used.prompt_tokens + used.completion_tokens if used is not None else 0
                self._rates.settle(reserved, spent)
            if fault is not None and fault.kind is FailureKind.RATE_LIMIT:
                self._rate_limited(self._gate.release_rate_limited(permit, fault.retry_after), fault)
            else:
                self._gate.release(permit, seconds)

    def _rate_limited(self, new_episode: bool, fault: Fault) -> None:
        if new_episode and fault.retry_after is not None and fault.retry_after >= LONG_WAIT:
            self._warn(
                f"{self.endpoint.base_url} limits the rate and asks to wait {fault.retry_after:.0f} seconds; "
                "waiting. Work that is done is kept if you stop here and go on later."
            )

    def _reply(self, call: _Call, content: Content, seconds: float) -> Reply:
        clean = self._redactor.exact
        return Reply(
            text=clean(content.text),
            reasoning=clean(content.reasoning),
            finish=content.finish,
            usage=content.usage or NO_USAGE,
            seconds=seconds,
            tries=call.tries,
            model=clean(content.model),
            wasted=call.wasted,
        )

    def _falls_back(self, request: ChatRequest, fault: Fault, structured: Structured) -> bool:
        """Ask for JSON more simply if the endpoint complains about how; return whether to send again."""
        if not fault.structured or request.response_schema is None or self.endpoint.structured != "auto":
            return False
        if structured == "none":
            return False
        if structured == self._structured:  # else another call has been here first
            self._structured = "json_object" if structured == "json_schema" else "none"
            words = "an object of JSON" if self._structured == "json_object" else "text"
            self._warn(
                f"{self.endpoint.base_url} refuses response_format {structured}: asking for {words} from now "
                f"on. {self._redactor.message(fault.message)}"
            )
        return True

    def _pause(self, call: _Call, fault: Fault) -> float | None:
        """Return the seconds to wait before the call is sent again; None if it is not to be."""
        limits = self.limits
        if fault.final or fault.kind in PERMANENT:
            return None
        if fault.kind is FailureKind.RATE_LIMIT:
            # The gate pauses, for all calls.
            return 0.0 if call.count("rate") < limits.rate_limit_tries else None
        if fault.kind is FailureKind.BAD_REPLY:
            count, most = call.count("bad"), limits.bad_reply_tries
        else:
            count, most = call.count("transient"), limits.tries
        if count >= most:
            return None
        wait = min(limits.longest_backoff_seconds, limits.backoff_seconds * 2.0 ** min(count - 1, 30))
        return max(wait * random.uniform(0.5, 1.5), fault.retry_after or 0.0)

    def _failure(self, call: _Call, fault: Fault) -> ChatFailure:
        message = self._redactor.message(fault.message)
        if call.tries > 1:
            message += f" Gave up after {call.tries} tries."
        return ChatFailure(fault.kind, message, call.tries, call.wasted)


def _warn(message: str) -> None:
    warnings.warn(message, SteinerWarning, stacklevel=3)
