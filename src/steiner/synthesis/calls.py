"""The call book: no request is sent twice, and no reply is used before it is stored.

key → stored reply, or → set money aside → send → store (grouped commits) → count the cost → reply
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from steiner.core import StorageError
from steiner.store import CallTotals, Journal, StoredCall
from steiner.synthesis.known_keys import KnownKeys
from steiner.synthesis.money import NOTHING, Budget, BudgetReached, Charge, NoRoom
from steiner.teacher.chat.types import (
    NO_USAGE,
    ChatFailure,
    ChatRequest,
    Endpoint,
    Reply,
    Usage,
    request_key,
)

Send = Callable[[ChatRequest, Callable[[Usage], None]], Awaitable[Reply]]
"""Makes a call; raises ChatFailure. Before each try it calls its second argument with what earlier tries may
have cost, and lets pass what that raises."""

COMMIT_SHARE = 0.05
"""A reply waits for others to be committed with, for this share of the time that it took…"""
COMMIT_SECONDS = (0.001, 0.02)
"""…but no shorter and no longer than this."""
COMMIT_CALLS = 256


class Halted(Exception):  # noqa: N818 - not a fault of the call
    """The run is stopping: this call was not sent."""


class Tally:
    """What the replies that one question used came to, whenever they were paid for."""

    __slots__ = ("cached", "calls", "completion_tokens", "cost", "prompt_tokens")

    def __init__(self) -> None:
        self.calls = 0
        self.cached = 0
        """Of `calls`, those answered by the journal or by an equal request on its way."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost: int | None = 0
        """10^-12 US dollars; None where the price of some call is not known."""

    def add(self, call: StoredCall, cached: bool) -> None:
        """Count one call."""
        self.calls += 1
        self.cached += cached
        self.prompt_tokens += call.prompt_tokens
        self.completion_tokens += call.completion_tokens
        self.cost = None if self.cost is None or call.cost is None else self.cost + call.cost


class _Answer(NamedTuple):
    reply: Reply
    call: StoredCall


class _Meter:
    """Counts what one call costs: what failed tries cost is spent before the next one is sent."""

    def __init__(self, budget: Budget) -> None:
        self.wasted = NO_USAGE
        self.uncounted = NOTHING
        """What is still to be counted when the call has ended."""
        self._budget = budget
        self._counted = NOTHING

    def before_try(self, wasted: Usage) -> None:
        """Count what earlier tries cost.

        Raises:
            NoRoom: if they have used up what was set aside for the call.
            Halted: if the run is stopping.
        """
        if wasted is not self.wasted:
            self.wasted = wasted
            charge = self._budget.charge(wasted)
            extra, self._counted = charge.minus(self._counted), charge
            self._budget.spend(extra)
        self._budget.check()

    def count(self, call: StoredCall) -> None:
        """Set what is to be counted at the end, of all tries of the call."""
        charge = Charge(call.prompt_tokens + call.completion_tokens, call.cost or 0)
        self.uncounted = charge.minus(self._counted)


class CallBook:
    """Makes the calls of a run, each once.

    One event loop at a time; memory holds only what is on its way.
    """

    def __init__(self, journal: Journal, endpoint: Endpoint, client: Send, budget: Budget) -> None:
        """Open the book; the budget begins with what the journal says was spent.

        Args:
            journal: of the run, open for writing.
            endpoint: part of each call's key.
            client: makes a call, such as `ChatClient.complete`.
            budget: what may be spent.
        """
        self.sent = 0
        """Calls that reached the client, failed ones included."""
        self.cached = 0
        self.failed = 0
        self.budget = budget
        self._journal = journal
        self._endpoint = endpoint
        self._client = client
        self._on_their_way: dict[str, asyncio.Future[_Answer]] = {}
        self._pending: list[tuple[StoredCall, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._broken: StorageError | None = None
        self._known = KnownKeys(journal.call_keys())
        budget.start(_sum(journal))
        self.spent_before = budget.spent
        """By earlier commands."""

    @property
    def on_their_way(self) -> int:
        """Calls that were asked for and have no stored reply yet."""
        return len(self._on_their_way)

    async def complete(self, request: ChatRequest, tally: Tally | None = None) -> Reply:
        """Return the stored reply to a request, or send it and store what comes back.

        Raises:
            ChatFailure: if the call failed for good; it was counted, and will be sent again if asked again.
            BudgetReached: if it does not fit into the budget; nothing was sent.
            Halted: if the run is stopping; nothing was sent.
            StorageError: if the reply could not be stored.
        """
        key = request_key(self._endpoint, request)
        other = self._on_their_way.get(key)
        if other is not None:
            answer, cached = await asyncio.shield(other), True
        elif key in self._known and (stored := self._journal.call(key)) is not None:
            answer, cached = _Answer(Reply.model_validate_json(stored.body or b""), stored), True
        else:
            answer, cached = await self._make(key, request, tally), False
        self.cached += cached
        if tally is not None:
            tally.add(answer.call, cached)
        return answer.reply

    def halt(self) -> None:
        """Send no further request. Stored replies are still given, and what is on its way still comes."""
        self.budget.close(Halted())

    def flush(self) -> None:
        """Commit the replies that wait for it.

        Raises:
            StorageError: if they cannot be stored. They stay, for another try.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending:
            return
        self._journal.put_calls(call for call, _ in self._pending)
        pending, self._pending = self._pending, []
        self._broken = None
        for _, future in pending:
            if not future.done():
                future.set_result(None)

    async def _make(self, key: str, request: ChatRequest, tally: Tally | None) -> _Answer:
        """Send a request for everybody who asks for it meanwhile."""
        shared: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._on_their_way[key] = shared
        try:
            answer = await self._send(key, request, tally)
            shared.set_result(answer)
            return answer
        except asyncio.CancelledError:
            shared.cancel()
            raise
        except BaseException as error:
            shared.set_exception(error)
            shared.exception()  # known, also where nobody else waits
            raise
        finally:
            del self._on_their_way[key]

    async def _send(self, key: str, request: ChatRequest, tally: Tally | None) -> _Answer:
        worst = self.budget.worst(request)
        while True:
            if self._broken is not None:
                raise self._broken.with_traceback(None)
            await self.budget.reserve(worst)
            with suppress(NoRoom):
                return await self._try(key, request, worst, tally)

    async def _try(self, key: str, request: ChatRequest, worst: Charge, tally: Tally | None) -> _Answer:
        """Send a request for which `worst` is set aside.

        Raises:
            NoRoom: if failed tries used that up.
        """
        meter = _Meter(self.budget)
        try:
            self.sent += 1
            reply = await self._client(request, meter.before_try)
            usage = reply.usage if reply.usage.reported else _worst_usage(worst, request)
            if reply.tries > 1:
                usage += reply.wasted
            body = reply.model_dump_json(exclude_defaults=True).encode()
            call = self._row(key, request, usage, body)
            meter.count(call)
        except ChatFailure as failure:
            self.failed += 1
            call = self._row(key, request, failure.usage)
            meter.count(call)
            await self._store(call)
            if tally is not None:
                tally.add(call, cached=False)
            raise
        except (NoRoom, Halted, BudgetReached):  # by the meter, before a try
            self.sent -= meter.wasted is NO_USAGE
            if meter.wasted is not NO_USAGE:
                await self._store(self._row(key, request, meter.wasted))
            raise
        finally:
            self.budget.settle(worst, meter.uncounted)
        await self._store(call, reply.seconds)
        return _Answer(reply, call)

    def _row(self, key: str, request: ChatRequest, usage: Usage, body: bytes | None = None) -> StoredCall:
        """Return a call; without a body it is one that failed."""
        prices = self.budget.prices
        return StoredCall(
            key,
            request.kind,
            usage.prompt_tokens,
            usage.completion_tokens,
            None if prices is None else prices.cost_of(usage),
            body,
        )

    async def _store(self, call: StoredCall, seconds: float = 0.0) -> None:
        """Wait until a call that took `seconds` is committed, together with those that come meanwhile."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._known.add(call.key)
        self._pending.append((call, done))
        if len(self._pending) >= COMMIT_CALLS:
            self._commit()
        elif self._timer is None:
            shortest, longest = COMMIT_SECONDS
            self._timer = loop.call_later(min(max(COMMIT_SHARE * seconds, shortest), longest), self._commit)
        await done

    def _commit(self) -> None:
        """Flush; where that fails, fail all who wait. The replies stay, for another try."""
        try:
            self.flush()
        except StorageError as error:
            self._broken = error
            for _, future in self._pending:
                if not future.done():
                    future.set_exception(error)


def _worst_usage(worst: Charge, request: ChatRequest) -> Usage:
    """Return the usage to count where the endpoint reports none."""
    return Usage(
        prompt_tokens=worst.tokens - request.max_tokens,
        completion_tokens=request.max_tokens,
        reported=False,
    )


def _sum(journal: Journal) -> CallTotals:
    total = CallTotals()
    for part in journal.call_totals().values():
        total = total.plus(part)
    return total
