"""The call book: nothing is sent twice, nothing is used before it is stored, nothing is spent unseen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steiner.core import StorageError
from steiner.store import Journal
from steiner.synthesis.calls import CallBook, Halted, Send, Tally
from steiner.synthesis.money import Budget, BudgetReached
from steiner.synthesis.prices import Prices
from steiner.teacher.chat.client import ChatClient, ClientLimits
from steiner.teacher.chat.types import (
    NO_USAGE,
    ChatFailure,
    ChatRequest,
    Endpoint,
    FailureKind,
    Finish,
    Message,
    Reply,
    Usage,
)
from steiner.testing import EchoModel, Faults, FaultyServer

PRICES = Prices(input=1.0, output=2.0)
NOWHERE = Endpoint(model="m", base_url="http://localhost:1/v1")


def request(text: str, draw: int = 0, max_tokens: int = 100) -> ChatRequest:
    return ChatRequest(
        kind="draft", messages=(Message(role="user", content=text),), max_tokens=max_tokens, draw=draw
    )


def reply(text: str, usage: Usage | None = None, wasted: Usage = NO_USAGE, tries: int = 1) -> Reply:
    usage = usage or Usage(prompt_tokens=10, completion_tokens=5)
    return Reply(text=text, finish=Finish.STOP, usage=usage, seconds=0.1, tries=tries, wasted=wasted)


def echo(seconds: float = 0.0) -> tuple[Send, list[str]]:
    """A client that answers with what it was asked, and notes it."""
    sent: list[str] = []

    async def send(asked: ChatRequest, before_try: Callable[[Usage], None]) -> Reply:
        before_try(NO_USAGE)
        text = asked.messages[0].content
        sent.append(text)
        await asyncio.sleep(seconds)
        return reply(text)

    return send, sent


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def test_a_stored_reply_is_given_again_in_the_next_run(journal: Journal) -> None:
    """Through a real server, whose counts must not move."""
    full = reply("x").model_copy(
        update={"reasoning": "because", "finish": Finish.LENGTH, "model": "scripted"}
    )

    async def ask(endpoint: Endpoint, texts: list[str]) -> tuple[list[Reply], CallBook]:
        async with ChatClient(endpoint) as client:
            book = CallBook(journal, endpoint, client.complete, Budget(prices=PRICES))
            return list(await asyncio.gather(*(book.complete(request(t)) for t in texts))), book

    async def go() -> None:
        async with FaultyServer(EchoModel()) as server:
            endpoint = Endpoint(model="m", base_url=server.base_url)
            first, book = await ask(endpoint, ["a", "b", "a"])
            assert [r.text for r in first] == ["a", "b", "a"]
            assert (book.sent, book.cached, server.stats().requests) == (2, 1, 2)
            again, book = await ask(endpoint, ["b", "a", "c"])
            assert again[:2] == [first[1], first[0]]
            assert (book.sent, book.cached, server.stats().requests) == (1, 2, 3)
            assert book.budget.spent.cost == sum(
                PRICES.cost_of(r.usage) for r in (first[0], first[1], again[2])
            )

    asyncio.run(go())
    book = CallBook(journal, NOWHERE, lambda asked, _: _done(full), Budget())
    assert asyncio.run(book.complete(request("z"))) == full
    book = CallBook(journal, NOWHERE, _never, Budget())
    assert asyncio.run(book.complete(request("z"))) == full


async def _done(value: Reply) -> Reply:
    return value


async def _never(asked: ChatRequest, before_try: object) -> Reply:
    raise AssertionError("sent")


def test_equal_calls_share_one_request_and_other_draws_do_not(journal: Journal) -> None:
    send, sent = echo(0.01)
    book = CallBook(journal, NOWHERE, send, Budget(prices=PRICES))
    tally = Tally()

    async def go() -> list[Reply]:
        calls = [book.complete(request("a", draw), tally) for draw in (0, 0, 0, 1)]
        return list(await asyncio.gather(*calls))

    replies = asyncio.run(go())
    assert replies[0] == replies[1] == replies[2]
    assert (len(sent), book.sent, book.cached, tally.calls, tally.cached) == (2, 2, 2, 4, 2)
    assert tally.cost == 4 * PRICES.cost(10, 5)
    assert book.budget.spent.cost == 2 * PRICES.cost(10, 5)
    assert book.on_their_way == 0


def test_no_reply_is_used_before_it_is_stored(journal: Journal, tmp_path: Path) -> None:
    send, _ = echo()
    book = CallBook(journal, NOWHERE, send, Budget())

    async def use(number: int) -> None:
        await book.complete(request(str(number)))
        other = Journal(tmp_path / "journal.sqlite", read_only=True)
        totals = other.call_totals()
        other.close()
        assert totals["draft"].answered > 0
        seen.append(totals["draft"].answered)

    seen: list[int] = []

    async def go() -> None:
        await asyncio.gather(*(use(n) for n in range(600)))

    asyncio.run(go())
    # Grouped: the first commits have as many as may wait.
    assert min(seen) == 256
    assert max(seen) == 600


def test_a_lone_reply_does_not_wait_for_company(journal: Journal) -> None:
    send, _ = echo()
    book = CallBook(journal, NOWHERE, send, Budget())
    assert asyncio.run(book.complete(request("a"))).text == "a"
    assert journal.call_totals()["draft"].answered == 1


def test_failed_calls_are_counted_and_tried_again(journal: Journal) -> None:
    wasted = Usage(prompt_tokens=7, completion_tokens=3)

    async def fail(asked: ChatRequest, before_try: Callable[[Usage], None]) -> Reply:
        before_try(NO_USAGE)
        raise ChatFailure(FailureKind.SERVER, "down", 3, wasted)

    tally = Tally()
    book = CallBook(journal, NOWHERE, fail, Budget(prices=PRICES))

    async def both() -> list[Reply | BaseException]:
        calls = [book.complete(request("a"), tally) for _ in range(2)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    assert all(isinstance(result, ChatFailure) for result in asyncio.run(both()))
    assert (book.failed, tally.calls, tally.prompt_tokens) == (1, 1, 7)
    assert book.budget.spent.cost == PRICES.cost(7, 3)
    send, sent = echo()
    book = CallBook(journal, NOWHERE, send, Budget(prices=PRICES))
    assert book.budget.spent.cost == PRICES.cost(7, 3)
    assert asyncio.run(book.complete(request("a"))).text == "a"
    assert sent == ["a"]
    assert book.budget.spent.cost == PRICES.cost(17, 8)
    assert CallBook(journal, NOWHERE, send, Budget(prices=PRICES)).budget.spent == book.budget.spent


def test_without_usage_the_worst_case_is_kept(journal: Journal) -> None:
    async def silent(asked: ChatRequest, before_try: object) -> Reply:
        return reply("x", Usage(prompt_tokens=1, completion_tokens=1, reported=False))

    budget = Budget(prices=PRICES)
    book = CallBook(journal, NOWHERE, silent, budget)
    asyncio.run(book.complete(request("a")))
    assert budget.spent == budget.worst(request("a"))


@pytest.mark.parametrize("seed", range(4))
def test_the_server_never_gives_more_than_the_budget(journal: Journal, seed: int) -> None:
    """Many calls at once through a real server that also fails in ways that cost."""
    rng = random.Random(seed)
    asked = [request("x" * rng.randrange(10, 400), draw, rng.randrange(50, 400)) for draw in range(120)]
    faults = Faults(empty_content=0.2, no_choices=0.1, missing_usage=0.1, server_error=0.1)
    limit = 8_000

    async def go() -> None:
        async with FaultyServer(EchoModel(), faults, seed=seed) as server:
            endpoint = Endpoint(model="m", base_url=server.base_url)
            limits = ClientLimits(concurrency=32, start_concurrency=32, backoff_seconds=0.001)
            for _ in range(2):  # the second command has nothing left
                async with ChatClient(endpoint, limits) as client:
                    budget = Budget(tokens=limit)
                    book = CallBook(journal, endpoint, client.complete, budget)
                    ended = await asyncio.gather(*(book.complete(r) for r in asked), return_exceptions=True)
                assert {type(e) for e in ended} <= {Reply, ChatFailure, BudgetReached}
                assert any(isinstance(e, BudgetReached) for e in ended)
                total = journal.call_totals()["draft"]
                assert total.prompt_tokens + total.completion_tokens == budget.spent.tokens <= limit
                # Not stopped too early either: another call of the largest size would not have fitted.
                assert budget.spent.tokens > limit - max(budget.worst(r).tokens for r in asked)

    asyncio.run(go())


def test_tries_that_cost_are_counted_before_the_next_one(journal: Journal) -> None:
    """A call that fails again and again ends when its failures have used up the budget, not later."""
    bad = Usage(prompt_tokens=100, completion_tokens=100)
    tries = 0

    async def failing(asked: ChatRequest, before_try: Callable[[Usage], None]) -> Reply:
        nonlocal tries
        wasted = NO_USAGE
        while True:
            before_try(wasted)
            tries += 1
            wasted = wasted + bad

    budget = Budget(tokens=1_000)
    book = CallBook(journal, NOWHERE, failing, budget)
    with pytest.raises(BudgetReached, match="used up"):
        asyncio.run(book.complete(request("a")))
    worst = budget.worst(request("a")).tokens
    assert 1_000 - worst < budget.spent.tokens <= 1_000
    assert budget.spent.tokens == 200 * tries
    assert CallBook(journal, NOWHERE, failing, Budget()).budget.spent.tokens == budget.spent.tokens


def test_a_halted_book_sends_nothing_more_and_keeps_what_is_on_its_way(journal: Journal) -> None:
    send, sent = echo(0.02)
    book = CallBook(journal, NOWHERE, send, Budget())

    async def go() -> list[Reply | BaseException]:
        first = asyncio.gather(*(book.complete(request(str(n))) for n in range(5)))
        await asyncio.sleep(0.005)
        book.halt()
        late = await asyncio.gather(book.complete(request("late")), return_exceptions=True)
        return [*await first, *late]

    ended = asyncio.run(go())
    assert [r.text for r in ended[:5] if isinstance(r, Reply)] == list("01234")
    assert isinstance(ended[5], Halted)
    assert len(sent) == 5
    assert asyncio.run(book.complete(request("3"))).text == "3"  # stored replies are still given


def test_a_full_disk_fails_the_waiting_calls_and_the_replies_are_kept_for_another_try(
    journal: Journal,
) -> None:
    """SQLite itself refuses to grow the file any further."""
    send, sent = echo()
    book = CallBook(journal, NOWHERE, send, Budget())
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages + 20}")

    async def go(numbers: range) -> list[Reply | BaseException]:
        texts = (random.Random(n).randbytes(600).hex() for n in numbers)
        calls = (book.complete(request(text)) for text in texts)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    ended = asyncio.run(go(range(400)))
    assert any(isinstance(e, StorageError) and "cannot be written" in str(e) for e in ended)
    stored = journal.call_totals().get("draft")
    answered = sum(isinstance(e, Reply) for e in ended)
    assert (stored.answered if stored else 0) == answered < 400
    before = len(sent)
    assert all(isinstance(e, StorageError) for e in asyncio.run(go(range(400, 410))))
    assert len(sent) == before, "nothing is sent that could not be stored"
    journal._db.execute("PRAGMA max_page_count=100000")
    book.flush()
    assert journal.call_totals()["draft"].answered == len(sent)
    assert all(isinstance(e, Reply) for e in asyncio.run(go(range(400))))
    assert len(sent) == before


def test_a_call_that_is_given_up_gives_its_money_back(journal: Journal) -> None:
    send, _ = echo(30)

    async def go() -> None:
        budget = Budget(tokens=300)
        book = CallBook(journal, NOWHERE, send, budget)
        call = asyncio.create_task(book.complete(request("a")))
        await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert book.on_their_way == 0
        await asyncio.wait_for(budget.reserve(budget.worst(request("a"))), 1)

    asyncio.run(go())
