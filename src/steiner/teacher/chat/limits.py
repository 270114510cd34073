"""Requests and tokens per minute: token buckets, and the gate that requests wait at."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

BURST_SECONDS = 2.0
"""How much of the allowance may go at once."""


class TokenBucket:
    """An allowance per minute, given out evenly.

    In no minute more than `per_minute` is given, except that something larger than the bucket is let through
    when the bucket is full (it would wait for ever otherwise) and paid off afterwards.

    Args:
        per_minute: the allowance.
        clock: monotonic seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not per_minute > 0:
            raise ValueError(f"per_minute must be positive, not {per_minute}")
        # A full bucket and what flows in during a minute are together the allowance; it holds at least one.
        self._size = max(1.0, per_minute * BURST_SECONDS / 60.0)
        self._per_second = (per_minute - self._size + min(1.0, self._size)) / 60.0
        self._level = self._size
        self._clock = clock
        self._at = clock()

    def wait(self, amount: float) -> float:
        """Return the seconds until `amount` can be taken; 0 if it can be now."""
        self._fill()
        missing = min(amount, self._size) - self._level
        # Below a millionth is rounding, which would otherwise wake the gate again and again.
        return missing / self._per_second if missing > 1e-6 * self._size else 0.0

    def take(self, amount: float) -> None:
        """Take `amount`; only when `wait` is 0. A negative amount gives back what was not used."""
        self._level = min(self._size, self._level - amount)

    def _fill(self) -> None:
        now = self._clock()
        if now > self._at:
            self._level = min(self._size, self._level + (now - self._at) * self._per_second)
            self._at = now


class Waiter(NamedTuple):
    """A request that waits for its allowance."""

    tokens: int
    future: asyncio.Future[None]


class RateGate:
    """Lets requests through at the allowed rates, first come, first served; O(1) each.

    Args:
        requests_per_minute: None for no limit.
        tokens_per_minute: None for no limit; of prompts and completions together.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = TokenBucket(requests_per_minute, clock) if requests_per_minute else None
        self._tokens = TokenBucket(tokens_per_minute, clock) if tokens_per_minute else None
        self._waiting: deque[Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self._requests is not None or self._tokens is not None

    async def acquire(self, tokens: int) -> bool:
        """Wait until a request of at most `tokens` may be sent, and reserve them.

        Returns whether it had to wait. If cancelled, reserves nothing.
        """
        if not self._waiting and not self._wait(tokens):
            self._take(tokens)
            return False
        waiter = Waiter(tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._wake()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                self._take(-tokens, -1)  # let through and cancelled in the same turn of the loop
            self._wake()  # whoever stands behind may need less
            raise
        return True

    def settle(self, reserved: int, used: int) -> None:
        """Give back the tokens that a request reserved and did not use (or take what it used in excess)."""
        if self._tokens is not None and reserved != used:
            self._tokens.take(used - reserved)
            self._wake()

    def close(self) -> None:
        """Stop the timer. Whoever still waits, waits on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, tokens: int) -> float:
        seconds = self._requests.wait(1) if self._requests is not None else 0.0
        if self._tokens is not None:
            seconds = max(seconds, self._tokens.wait(tokens))
        return seconds

    def _take(self, tokens: int, requests: int = 1) -> None:
        if self._requests is not None:
            self._requests.take(requests)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def _wake(self) -> None:
        """Let through whoever may go; come back when the next one may."""
        self.close()
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.future.done():
                seconds = self._wait(waiter.tokens)
                if seconds:
                    self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)
                    return
                self._take(waiter.tokens)
                waiter.future.set_result(None)
            self._waiting.popleft()
