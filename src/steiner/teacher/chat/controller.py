"""How many requests are in flight: one controller that adapts, and the gate that requests wait at.

`ConcurrencyController` is a pure state machine, `ConcurrencyGate` puts coroutines through it. Every step
is O(1).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

CUT = 0.7
"""What a 429 episode leaves of the concurrency."""
AFTER_CUT = 1.1
"""The first growth after a cut; each one that follows is twice as much."""
NEAR, CAREFUL = 0.9, 1.01
"""From this share of where the last 429s came up to beyond it, grow only by this factor."""
FEW = 0.1
"""Where no more than this share of the requests in flight was refused, most of the cut is taken back."""
PAYS = 0.2
"""Growth pays if throughput grows by at least this share of what concurrency grew by."""
JUDGED_FROM = 1.5
"""Throughput is compared between concurrencies that differ at least by this factor: less drowns in noise."""
HOLD_WINDOWS = 8
"""Windows to stay where growth did not pay before it is tried again."""
FEWEST_SAMPLES = 4
LONGEST_PAUSE = 60.0
"""Seconds; the longest pause that was not asked for."""


class Permit(NamedTuple):
    """The right to have one request in flight."""

    number: int
    """Counts the permits."""
    flight: int
    """Requests in flight when it was given, itself included."""


class Baseline(NamedTuple):
    """What the last concurrency that was judged gave."""

    limit: float
    throughput: float
    """Requests per second."""


class ConcurrencyController:
    """Grows while it pays, cuts once per episode of 429s, pauses as long as asked, grows again.

    Time passes in windows of half as many requests as are permitted at once. A window in which requests had
    to wait for permits ends in growth: twofold at first; after a cut by a tenth, a fifth, …, and carefully
    about where the 429s came. Whether growth paid is judged by the throughput (requests in flight by mean
    seconds, Little's law); if it did not, the limit goes back and stays for `HOLD_WINDOWS`.

    All 429s of requests that were sent before a cut belong to the episode of that cut. If those were few of
    the requests in flight, the first success after the pause brings back as many as were not refused: an
    endpoint that can take 100 refuses 10 of 110, and a lone 429 says nothing about load. Other failures
    change nothing.

    Args:
        ceiling: the most requests in flight, ever.
        start: the limit to begin with.
        first_pause: seconds to pause in a 429 episode without `Retry-After`. Each episode that follows
            without a success in between doubles it; from the second on it is the least pause, whatever was
            asked.
        clock: monotonic seconds.
        jitter: a factor from 1 up for pauses of our own choice.
    """

    def __init__(
        self,
        ceiling: int,
        start: int = 16,
        first_pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(1.0, 1.5),
    ) -> None:
        if ceiling < 1 or start < 1:
            raise ValueError(f"ceiling and start must be at least 1, not {ceiling} and {start}")
        self.episodes = 0
        """429 episodes so far."""
        self.in_flight = 0
        self.paused_until = float("-inf")
        """In seconds of the clock: no permit before."""
        self._ceiling = ceiling
        self._limit = float(min(start, ceiling))
        self._clock = clock
        self._jitter = jitter
        self._first_pause = first_pause
        self._given = 0
        self._cut_at = 0  # permits up to this number belong to the last episode or to before
        self._episodes_in_a_row = 0
        self._growth = 2.0
        self._hold = 0
        self._baseline: Baseline | None = None
        self._too_many: float | None = None  # where the last 429s came; None once that is well passed
        self._refused = 0  # 429s of the last episode
        self._begin_window()

    @property
    def limit(self) -> int:
        """The most requests in flight at present."""
        return int(self._limit)

    def now(self) -> float:
        """Return the clock's seconds."""
        return self._clock()

    def may_start(self) -> bool:
        """Return whether a permit can be had now. Notes that one was wanted."""
        if self.in_flight >= int(self._limit):
            self._wanted = True
            return False
        return self.paused_until == float("-inf") or self._clock() >= self.paused_until

    def start(self) -> Permit:
        """Give a permit; only after `may_start`."""
        self.in_flight += 1
        self._given += 1
        return Permit(self._given, self.in_flight)

    def finished(self, permit: Permit, seconds: float | None = None) -> None:
        """Take a permit back whose request ended in anything but a 429.

        Args:
            permit: from `start`.
            seconds: how long the request took; None if that says nothing about the endpoint's speed,
                because the request failed, was not sent, or waited for something else.
        """
        self.in_flight -= 1
        if seconds is None:
            return
        if permit.number > self._cut_at and self._episodes_in_a_row:
            self._episodes_in_a_row = 0
            self._take_back()
        if permit.number <= self._window_from:
            return
        self._samples += 1
        self._seconds += seconds
        self._flights += permit.flight
        if self._samples >= max(FEWEST_SAMPLES, int(self._limit) // 2):
            self._end_window()

    def rate_limited(self, permit: Permit, retry_after: float | None) -> bool:
        """Take a permit back whose request got a 429; return whether that began an episode.

        Args:
            permit: from `start`.
            retry_after: seconds that the endpoint asked to wait.
        """
        flight = max(permit.flight, self.in_flight)
        self.in_flight -= 1
        new = permit.number > self._cut_at
        self._refused = 1 if new else self._refused + 1
        if new:
            self.episodes += 1
            self._episodes_in_a_row += 1
            self._cut_at = self._given
            self._too_many = min(self._limit, flight)
            self._limit = max(1.0, self._too_many * CUT)
            self._growth = AFTER_CUT
            self._hold = 0
            self._baseline = None
            self._begin_window()
        pause = max(retry_after or 0.0, self._own_pause(retry_after is not None) if new else 0.0)
        if pause:
            self.paused_until = max(self.paused_until, self._clock() + pause)
        return new

    def _own_pause(self, asked: bool) -> float:
        """Return the seconds to pause at the beginning of an episode, besides what was asked."""
        doublings = self._episodes_in_a_row - (2 if asked else 1)
        if doublings < 0:
            return 0.0
        return min(LONGEST_PAUSE, self._first_pause * 2.0 ** min(doublings, 10)) * self._jitter()

    def _take_back(self) -> None:
        """End an episode: raise the limit to what was not refused, if little was."""
        if self._too_many is not None and self._refused <= FEW * self._too_many:
            self._limit = max(self._limit, self._too_many - self._refused)

    def _begin_window(self) -> None:
        self._window_from = self._given  # earlier requests ran at another concurrency
        self._wanted = False
        self._samples = 0
        self._flights = 0
        self._seconds = 0.0

    def _end_window(self) -> None:
        """Judge the window and set the limit of the next one."""
        throughput = self._flights / max(self._seconds, 1e-9)
        if self._wanted and self._hold > 0:
            self._hold -= 1
        elif self._wanted and self._limit < self._ceiling:
            before = self._baseline
            if before is None:
                self._baseline = Baseline(self._limit, throughput)
                self._grow()
            elif self._limit < before.limit * JUDGED_FROM:
                self._grow()
            elif throughput / before.throughput - 1.0 >= PAYS * (self._limit / before.limit - 1.0):
                self._baseline = Baseline(self._limit, throughput)
                self._grow()
            else:
                self._limit = before.limit
                self._growth = JUDGED_FROM
                self._hold = HOLD_WINDOWS
                self._baseline = None
        self._begin_window()

    def _grow(self) -> None:
        limit = self._limit * self._growth
        self._growth = min(2.0, 1.0 + 2.0 * (self._growth - 1.0))
        if self._too_many is not None:
            near = NEAR * self._too_many
            if self._limit > self._too_many / NEAR:
                self._too_many = None
            elif self._limit >= near:
                limit, self._growth = self._limit * CAREFUL, AFTER_CUT
            else:
                limit = min(limit, near)
        self._limit = min(float(self._ceiling), max(self._limit + 1.0, limit))


class ConcurrencyGate:
    """Where coroutines wait for permits, first come, first served; retries go first.

    Args:
        controller: who decides.
    """

    def __init__(self, controller: ConcurrencyController) -> None:
        self.controller = controller
        self._waiting: deque[asyncio.Future[Permit]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait (cancelled ones may still be counted)."""
        return len(self._waiting)

    async def acquire(self, first: bool = False) -> Permit:
        """Wait for a permit, before all others if `first`. If cancelled, holds none."""
        if not self._waiting and self.controller.may_start():
            return self.controller.start()
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(future)
        else:
            self._waiting.append(future)
        self._wake()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())  # given and cancelled in the same turn of the loop
            raise

    def release(self, permit: Permit, seconds: float | None = None) -> None:
        """Give a permit back; see `ConcurrencyController.finished`."""
        self.controller.finished(permit, seconds)
        self._wake()

    def release_rate_limited(self, permit: Permit, retry_after: float | None) -> bool:
        """Give a permit back after a 429; see `ConcurrencyController.rate_limited`."""
        new = self.controller.rate_limited(permit, retry_after)
        self._wake()
        return new

    def close(self) -> None:
        """Stop the timer. Whoever still waits, waits on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        """Give out the permits that can be had; come back when the pause ends."""
        waiting = self._waiting
        while waiting:
            if waiting[0].done():  # cancelled
                waiting.popleft()
            elif self.controller.may_start():
                waiting.popleft().set_result(self.controller.start())
            else:
                break
        if waiting and self._timer is None:
            self._sleep_until_pause_ends()

    def _sleep_until_pause_ends(self) -> None:
        seconds = self.controller.paused_until - self.controller.now()
        if seconds > 0:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._pause_ended)

    def _pause_ended(self) -> None:
        self._timer = None
        self._wake()
