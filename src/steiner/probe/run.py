"""Send the requests of one or several series, one at a time, and keep what came in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from steiner.core import Progress, Record, ResumeError, SteinerError, digest
from steiner.probe.client import Clock, ProbeClient
from steiner.probe.prompts import make_plan
from steiner.probe.records import Ask, Measurement, ProbeSettings
from steiner.store import Journal, StoredRecord
from steiner.teacher.chat.faults import Fault
from steiner.teacher.chat.types import ChatFailure, Endpoint, FailureKind

TRIES = 5
BACKOFF = 1.0
"""Seconds before the second try, doubled each time."""
LONGEST_BACKOFF = 60.0
MOST_IN_A_ROW = 3
"""So many requests that fail one after another end the run."""
PERMANENT = (FailureKind.AUTH, FailureKind.NOT_FOUND, FailureKind.CONTEXT_LENGTH, FailureKind.BAD_REQUEST)
FREE = (*PERMANENT, FailureKind.RATE_LIMIT)
"""Refusals: nothing was written, so that nothing is charged."""
INDEX = "series"
"""Stage whose records list the series of a folder, by label."""
TEMPLATE_TOKENS = 144
"""More than a chat template adds to a prompt."""


class BudgetReached(SteinerError):  # noqa: N818 - no error: the user asked to stop here
    """The next request might cost more than is left. What was paid for is kept."""

    exit_code = 5


class Price(Record):
    """US dollars per million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the cost in US dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class Target(Record):
    """One series: a model at an endpoint, and how it is asked."""

    label: str
    endpoint: Endpoint
    settings: ProbeSettings

    @property
    def stage(self) -> str:
        """Name of the series' stage in the journal; no label's slash makes it a part of another's."""
        return f"probe/{digest(self.label)}"


class _Planned(NamedTuple):
    target: Target
    ask: Ask


class Purse:
    """What may still be spent: the most that a request can cost is set aside before it is sent.

    An endpoint that bills more than `max_tokens` raises what later requests are expected to cost.
    """

    def __init__(self, usd: float | None, spent: float) -> None:
        self.usd = usd
        self.spent = spent
        self._excess: dict[str, float] = {}

    def worst(self, target: Target, ask: Ask, price: Price | None) -> float:
        """Return the most that a try of a request can cost, in US dollars; 0 where no price is known."""
        if price is None:
            return 0.0
        prompt = len(ask.prompt.encode()) + TEMPLATE_TOKENS  # a token has at least a byte
        completion = ask.max_tokens * target.settings.branches * self._excess.get(target.label, 1.0)
        return price.of(prompt, completion)

    def learn(self, target: Target, one: Measurement) -> None:
        """Take note of how far a reply went over its limit."""
        limit = one.max_tokens * target.settings.branches
        excess = (one.completion_tokens or 0) / limit
        if excess > 1:
            self._excess[target.label] = max(self._excess.get(target.label, 1.0), 1.5 * excess)

    def check(self, worst: float) -> None:
        """Let a request be sent.

        Raises:
            BudgetReached: it might go over the budget.
        """
        if self.usd is not None and self.spent + worst > self.usd:
            raise BudgetReached(
                f"${self.spent:,.4f} of --budget-usd {self.usd:g} are spent and the next request may cost "
                f"${worst:,.4f}. What was measured is kept and reported: run the same command with a larger "
                "budget to go on."
            )


def prepare(journal: Journal, target: Target, force: bool = False) -> None:
    """Begin a series, or go on with it.

    Raises:
        ResumeError: the folder holds a series of this name with other settings.
    """
    settings: dict[str, object] = {
        "base_url": target.endpoint.base_url,
        "model": target.endpoint.model,
        "extra_body": target.endpoint.extra_body,
        **target.settings.model_dump(mode="json"),
    }
    state = journal.stage(target.stage)
    if state is not None and not force:
        names = sorted(name for name, value in settings.items() if state.settings.get(name) != value)
        if names:
            changed = ", ".join(f"{n} {state.settings.get(n)!r} (now {settings[n]!r})" for n in names)
            raise ResumeError(
                f"The series '{target.label}' was begun with {changed}: give the same again, another --label "
                "or --output, or --force to begin anew."
            )
        return
    journal.begin(target.stage, settings, {})
    known = journal.get(INDEX, target.label)
    place = journal.count(INDEX) if known is None else known.ordinal
    journal.put(INDEX, [StoredRecord(target.label, place, target.model_dump_json().encode())])


def read_targets(journal: Journal) -> list[Target]:
    """Return all series of a folder in the order they were begun."""
    return [Target.model_validate_json(record.body) for record in journal.records(INDEX)]


def read_measurements(journal: Journal, target: Target) -> list[Measurement]:
    """Return what a series has measured so far, in the order of sending."""
    return [Measurement.model_validate_json(record.body) for record in journal.records(target.stage)]


def spent_so_far(journal: Journal) -> float:
    """Return what a folder has cost in US dollars; a request that was cut off counts with its worst."""
    total = 0.0
    for target in read_targets(journal):
        total += sum(one.cost_usd or 0.0 for one in read_measurements(journal, target))
        total += sum(float(record.body) for record in journal.records(f"{target.stage}/open"))
    return total


async def run_probe(
    journal: Journal,
    targets: Sequence[Target],
    prices: dict[str, Price | None],
    budget_usd: float | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    sleep_scale: float = 1.0,
) -> None:
    """Send what is missing, the series in turn, and store each reply.

    Args:
        journal: of the folder; `prepare` was called for each target.
        targets: the series.
        prices: by label; None where not known.
        budget_usd: what the whole folder may cost.
        progress: shown.
        clock: for tests; see `ProbeClient`.
        sleep_scale: times this the waits before a request is sent again are; for tests.

    Raises:
        BudgetReached: the next request might go over the budget.
        ChatFailure: the endpoint refuses, or several requests failed one after another.
    """
    purse = Purse(budget_usd, spent_so_far(journal))
    todo = _missing(journal, targets, purse)
    if progress is not None:
        progress.start("Probing", len(todo))
    failures = 0
    async with AsyncExitStack() as stack:
        clients = {
            target.label: await stack.enter_async_context(
                ProbeClient(target.endpoint, target.settings, clock)
            )
            for target in targets
        }
        for done, (target, ask) in enumerate(todo):
            sender = _Sender(journal, clients[target.label], target, prices.get(target.label), purse)
            one = await sender.send(ask, sleep_scale)
            failures = failures + 1 if one.error else 0
            if failures >= MOST_IN_A_ROW:
                raise ChatFailure(FailureKind.SERVER, f"{failures} requests failed in a row. {one.error}")
            if progress is not None:
                progress.update(done + 1, f"{one.total_s:.1f} s")
    for target in targets:
        journal.complete(target.stage, {})


def _missing(journal: Journal, targets: Sequence[Target], purse: Purse) -> list[_Planned]:
    """Return what has no reply yet, the series in turn, so that they meet the same hours."""
    queues: list[list[_Planned]] = []
    for target in targets:
        replied = set()
        for one in read_measurements(journal, target):
            purse.learn(target, one)
            if not one.error:
                replied.add(one.number)
        asks = [ask for ask in make_plan(target.settings) if ask.number not in replied]
        if all(ask.warmup for ask in asks):
            asks = []
        queues.append([_Planned(target, ask) for ask in asks])
    longest = max(map(len, queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


class _Sender:
    """Sends one request as often as it takes, and accounts for each try."""

    def __init__(
        self, journal: Journal, client: ProbeClient, target: Target, price: Price | None, purse: Purse
    ) -> None:
        self._journal = journal
        self._client = client
        self._target = target
        self._price = price
        self._purse = purse

    async def send(self, ask: Ask, sleep_scale: float) -> Measurement:
        """Return the reply, or a measurement that says what went wrong."""
        worst = self._purse.worst(self._target, ask, self._price)
        open_stage, key = f"{self._target.stage}/open", f"{ask.number:05d}"
        tries = 0
        while True:
            tries += 1
            self._purse.check(worst)
            before = self._journal.get(open_stage, key)
            open_usd = worst + (0.0 if before is None else float(before.body))
            self._journal.put(open_stage, [StoredRecord(key, ask.number, repr(open_usd).encode())])
            outcome = await self._client.send(ask)
            if isinstance(outcome, Measurement):
                return self._keep(ask, outcome, worst, open_usd - worst, tries)
            if outcome.kind in FREE:
                refund = open_usd - worst
                self._journal.put(open_stage, [StoredRecord(key, ask.number, repr(refund).encode())])
            else:
                self._purse.spent += worst
            if outcome.kind in PERMANENT or outcome.final:
                raise ChatFailure(outcome.kind, outcome.message, tries)
            if tries == TRIES:
                return self._fail(ask, outcome)
            await asyncio.sleep(sleep_scale * _wait(outcome, tries))

    def _keep(self, ask: Ask, one: Measurement, worst: float, lost: float, tries: int) -> Measurement:
        self._purse.learn(self._target, one)
        cost = worst
        if self._price is not None and one.completion_tokens is not None:
            cost = self._price.of(one.prompt_tokens or 0, one.completion_tokens)
        self._purse.spent += cost
        whole = one.model_copy(update={"tries": tries, "cost_usd": cost + lost if self._price else None})
        self._store(ask, whole)
        return whole

    def _fail(self, ask: Ask, fault: Fault) -> Measurement:
        one = Measurement(
            number=ask.number, kind=ask.kind, target=ask.target, max_tokens=ask.max_tokens,
            warmup=ask.warmup, started=0.0, tries=TRIES, error=fault.message,
        )  # fmt: skip
        # What its tries may have cost stays in `open`, from where a later reply takes it over.
        self._journal.put(self._target.stage, [_stored(one)])
        return one

    def _store(self, ask: Ask, one: Measurement) -> None:
        settled = StoredRecord(f"{ask.number:05d}", ask.number, b"0.0")
        self._journal.put_all({self._target.stage: [_stored(one)], f"{self._target.stage}/open": [settled]})


def _stored(one: Measurement) -> StoredRecord:
    return StoredRecord(f"{one.number:05d}", one.number, one.model_dump_json().encode())


def _wait(fault: Fault, tries: int) -> float:
    return max(min(LONGEST_BACKOFF, BACKOFF * 2.0 ** (tries - 1)), fault.retry_after or 0.0)
