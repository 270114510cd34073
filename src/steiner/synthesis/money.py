"""A budget that is never exceeded: what a call may cost is set aside before it is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from steiner.core import SteinerError
from steiner.synthesis.prices import DOLLAR, Prices

if TYPE_CHECKING:
    from steiner.store import CallTotals
    from steiner.teacher.chat.types import ChatRequest, Usage

_TOKENS_PER_MESSAGE = 16
"""More than any chat template puts around a message."""
_TOKENS_PER_REQUEST = 128
"""A template's own beginning, such as a default system message."""


class BudgetReached(SteinerError):  # noqa: N818 - no error: the user asked to stop here
    """No further call fits into the budget. All that was paid for is kept, and more budget goes on."""

    exit_code = 5


class NoRoom(Exception):  # noqa: N818 - caught where the money is set aside
    """What was set aside for a call has been used up by tries that failed."""


class Charge(NamedTuple):
    """What calls take."""

    tokens: int = 0
    cost: int = 0
    """In 10^-12 US dollars; 0 where no price is known."""

    def plus(self, other: Charge) -> Charge:
        """Return the sum."""
        return Charge(self.tokens + other.tokens, self.cost + other.cost)

    def minus(self, other: Charge) -> Charge:
        """Return the difference."""
        return Charge(self.tokens - other.tokens, self.cost - other.cost)


NOTHING = Charge()


def prompt_bound(request: ChatRequest) -> int:
    """Return a number of tokens that no tokenizer exceeds for the prompt of a request.

    A token stands for at least one byte. Endpoints show the schema to the model, so that it counts too.
    """
    size = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages)
    if request.response_schema is not None:
        size += _schema_bound(request.response_schema)
    return size + _TOKENS_PER_MESSAGE * len(request.messages) + _TOKENS_PER_REQUEST


def _schema_bound(schema: dict[str, Any]) -> int:
    try:
        text = orjson.dumps(schema)
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        text = repr(schema).encode("utf-8", "surrogatepass")
    return len(text) + text.count(b",") + text.count(b":")  # endpoints may put spaces there


class Budget:
    """Limits on what all calls of a run directory may cost together, those of earlier commands included.

    `reserve` before a call and `settle` after it. Sums of what was spent and what is set aside never go over
    a limit, however many calls are on their way.
    """

    def __init__(
        self, usd: float | None = None, tokens: int | None = None, prices: Prices | None = None
    ) -> None:
        """Set the limits.

        Args:
            usd: US dollars, None: no limit. Needs `prices`.
            tokens: of prompts and replies, None: no limit.
            prices: of a token; None: not known, and all costs are unknown.
        """
        if usd is not None and prices is None:
            raise ValueError("a budget in dollars needs prices")
        self.prices = prices
        self.usd = usd
        self.tokens = tokens
        self.spent = NOTHING
        self._limit_cost = None if usd is None else int(usd * DOLLAR)
        self._held = NOTHING
        self._holders = 0
        self._waiting: deque[tuple[Charge, asyncio.Future[None]]] = deque()
        self._closed: BaseException | None = None

    def start(self, totals: CallTotals) -> None:
        """Count what earlier commands spent; calls of unknown price at today's."""
        cost = totals.cost
        if self.prices is not None:
            cost += self.prices.cost(totals.unpriced_prompt_tokens, totals.unpriced_completion_tokens)
        self.spent = Charge(totals.prompt_tokens + totals.completion_tokens, cost)

    def worst(self, request: ChatRequest) -> Charge:
        """Return the most that one try of a request can cost."""
        prompt = prompt_bound(request)
        return Charge(prompt + request.max_tokens, self._cost(prompt, request.max_tokens))

    def charge(self, usage: Usage) -> Charge:
        """Return what a usage costs."""
        cost = 0 if self.prices is None else self.prices.cost_of(usage)
        return Charge(usage.prompt_tokens + usage.completion_tokens, cost)

    async def reserve(self, worst: Charge) -> None:
        """Set `worst` aside, first waiting for calls on their way where it does not fit yet.

        Raises:
            BudgetReached: if it does not fit and nothing is on its way that might cost less than expected.
        """
        if self._closed is not None:
            raise self._closed.with_traceback(None)
        if not self._waiting and self._fits(worst):
            self._hold(worst)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((worst, future))
        self._wake()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.settle(worst, NOTHING)
            raise

    def settle(self, worst: Charge, charge: Charge) -> None:
        """Give back what was set aside, and count what the call did cost."""
        self._held = self._held.minus(worst)
        self._holders -= 1
        self.spent = self.spent.plus(charge)
        self._wake()

    def spend(self, charge: Charge) -> None:
        """Count what a failed try of a call on its way cost, beside what is set aside for the next try."""
        self.spent = self.spent.plus(charge)

    def check(self) -> None:
        """Let a call that has its money set aside be sent.

        Raises:
            NoRoom: if failed tries have used up what was set aside. Settle and reserve again.
            Exception: the reason given to `close`.
        """
        if self._closed is not None:
            raise self._closed.with_traceback(None)
        if not self._fits(NOTHING):
            raise NoRoom

    def close(self, reason: BaseException) -> None:
        """Let no further call begin: `reserve` raises `reason`, also where it waits already."""
        if self._closed is None:
            self._closed = reason
        self._wake()

    def _cost(self, prompt: int, completion: int) -> int:
        return 0 if self.prices is None else self.prices.cost(prompt, completion)

    def _hold(self, worst: Charge) -> None:
        self._held = self._held.plus(worst)
        self._holders += 1

    def _fits(self, worst: Charge) -> bool:
        if self.tokens is None and self._limit_cost is None:
            return True
        taken = self.spent.plus(self._held).plus(worst)
        return (self.tokens is None or taken.tokens <= self.tokens) and (
            self._limit_cost is None or taken.cost <= self._limit_cost
        )

    def _wake(self) -> None:
        """Let those begin whose turn it is, in the order they came; or tell all that nothing will fit."""
        while self._waiting:
            worst, future = self._waiting[0]
            if future.done():  # its task was cancelled
                self._waiting.popleft()
            elif self._closed is not None:
                self._waiting.popleft()
                future.set_exception(self._closed)
            elif self._fits(worst):
                self._waiting.popleft()
                self._hold(worst)
                future.set_result(None)
            elif self._holders == 0:
                self._closed = self._reached(worst)
            else:
                return

    def _reached(self, worst: Charge) -> BudgetReached:
        limits = []
        if self.usd is not None:
            limits.append(
                f"${self.spent.cost / DOLLAR:,.4f} of --budget-usd {self.usd:g} are spent and the next call "
                f"may cost ${worst.cost / DOLLAR:,.4f}"
            )
        if self.tokens is not None:
            limits.append(
                f"{self.spent.tokens:,} of --max-tokens-total {self.tokens:,} are used and the next call may "
                f"take {worst.tokens:,}"
            )
        return BudgetReached(
            f"The budget of this run directory is used up: {'; '.join(limits)}. All that was paid for is "
            "kept: run the same command with a larger budget to go on."
        )
