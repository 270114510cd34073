"""Prices, and a budget that is never exceeded."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import InputError
from steiner.store import CallTotals
from steiner.synthesis.money import NOTHING, Budget, BudgetReached, Charge, NoRoom, prompt_bound
from steiner.synthesis.prices import DOLLAR, Prices, find_prices, require_prices
from steiner.teacher.chat.types import ChatRequest, Message

OPENAI = "https://api.openai.com/v1"
CENT = DOLLAR // 100


def request(text: str, max_tokens: int = 100) -> ChatRequest:
    return ChatRequest(kind="draft", messages=(Message(role="user", content=text),), max_tokens=max_tokens)


def test_given_prices_count_before_all_others(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text('["gpt-5-mini"]\ninput = 1\noutput = 2\ncached_input = 0.5\n')
    found = find_prices("gpt-5-mini", OPENAI, given_input=3, given_output=4, table=table)
    assert found == Prices(input=3, output=4)
    assert find_prices("gpt-5-mini", OPENAI, table=table) == Prices(input=1, output=2, cached_input=0.5)
    assert find_prices("another", OPENAI, table=table) is None


def test_known_models_have_their_prices_at_known_endpoints_only() -> None:
    pytest.importorskip("genai_prices")
    found = find_prices("gpt-4o-mini", OPENAI)
    assert found is not None
    assert 0 < found.input < found.output
    assert found.cached_input is not None
    assert found.cached_input < found.input
    assert find_prices("gpt-4o-mini", "http://localhost:8000/v1") is None
    assert find_prices("no-such-model", OPENAI) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input = ", "is no TOML"),
        ('"m" = 3\n', "must hold a table per model"),
        ('["m"]\ninput = 1\noutputs = 2\n', "did you mean 'output'"),
        ('["m"]\ninput = -1\noutput = 2\n', "'input'"),
    ],
)
def test_a_wrong_price_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        find_prices("m", OPENAI, table=path)


def test_one_of_two_prices_is_refused_and_so_is_a_budget_without_any(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both --price-input and --price-output"):
        find_prices("m", OPENAI, given_input=1)
    with pytest.raises(InputError, match="cannot be read"):
        find_prices("m", OPENAI, table=tmp_path / "none.toml")
    with pytest.raises(InputError, match=r"--price-input and --price-output .* --max-tokens-total"):
        require_prices(None, "m")


def test_costs_are_exact() -> None:
    prices = Prices(input=0.15, output=0.6, cached_input=0.075)
    assert prices.cost(1_000_000, 0) == 15 * CENT
    assert prices.cost(1_000_000, 1_000_000) == 75 * CENT
    assert prices.cost(1_000_000, 0, 400_000) == 9 * CENT + 3 * CENT
    assert Prices(input=0.15, output=0.6).cost(1_000_000, 0, 400_000) == 15 * CENT
    assert sum(prices.cost(1, 1) for _ in range(10)) == prices.cost(10, 10)


@given(st.text(max_size=300))
def test_no_tokenizer_makes_more_tokens_than_there_are_bytes(text: str) -> None:
    assert prompt_bound(request(text)) > len(text.encode("utf-8", "surrogatepass"))


def test_a_schema_counts_as_prompt() -> None:
    schema = {"type": "object", "properties": {"steps": {"type": "array"}}}
    with_schema = request("x").model_copy(update={"response_schema": schema})
    assert prompt_bound(with_schema) >= prompt_bound(request("x")) + 50


PRICES = Prices(input=1.0, output=2.0)


@settings(deadline=None, max_examples=60)
@given(
    limit=st.integers(0, 40),
    sizes=st.lists(st.tuples(st.integers(1, 12), st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    side_by_side=st.integers(1, 16),
    seed=st.integers(0, 99),
)
def test_the_budget_is_never_exceeded_and_never_left_while_a_call_fits(
    limit: int, sizes: list[tuple[int, float, bool]], side_by_side: int, seed: int
) -> None:
    """Calls of random worst cases and random real costs, some of which are cancelled."""
    budget = Budget(tokens=limit)
    paid, refused = 0, []

    async def call(worst: int, share: float, cancelled: bool, gate: asyncio.Semaphore) -> None:
        nonlocal paid
        async with gate:
            held = Charge(worst)
            await budget.reserve(held)
            charge = NOTHING
            try:
                for _ in range(random.Random(f"{seed}{worst}{share}").randrange(4)):
                    await asyncio.sleep(0)
                if cancelled:
                    raise asyncio.CancelledError
                charge = Charge(int(worst * share))
                paid += charge.tokens
            finally:
                budget.settle(held, charge)
            assert budget.spent.tokens == paid <= limit

    async def everything() -> None:
        gate = asyncio.Semaphore(side_by_side)
        ended = await asyncio.gather(*(call(*size, gate) for size in sizes), return_exceptions=True)
        for (worst, _, cancelled), result in zip(sizes, ended, strict=True):
            if isinstance(result, BudgetReached):
                refused.append(worst)
            else:
                assert result is None or (cancelled and isinstance(result, asyncio.CancelledError))

    asyncio.run(everything())
    assert budget.spent.tokens == paid <= limit
    if refused:
        # Refused when nothing was on its way: the first one refused did not fit into what was left.
        assert max(refused) > limit - paid


def test_a_call_that_does_not_fit_yet_waits_for_those_on_their_way() -> None:
    async def go() -> list[str]:
        budget, log = Budget(usd=0.10, prices=PRICES), []

        async def call(name: str, worst: int, real: int) -> None:
            await budget.reserve(Charge(0, worst * CENT))
            log.append(f"{name} begins")
            await asyncio.sleep(0.001)
            budget.settle(Charge(0, worst * CENT), Charge(0, real * CENT))
            log.append(f"{name} ends")

        await asyncio.gather(call("a", 8, 3), call("b", 7, 6))
        with pytest.raises(BudgetReached, match=r"\$0.0900 of --budget-usd 0.1 are spent .* \$0.0200"):
            await budget.reserve(Charge(0, 2 * CENT))
        return log

    assert asyncio.run(go()) == ["a begins", "a ends", "b begins", "b ends"]


def test_what_earlier_commands_spent_counts_at_today_s_price_where_it_was_unknown() -> None:
    budget = Budget(usd=1, prices=PRICES)
    budget.start(CallTotals(3, 0, 3_000, 300, 5 * CENT, 1_000, 100))
    assert budget.spent == Charge(3_300, 5 * CENT + PRICES.cost(1_000, 100))


def test_failed_tries_use_up_what_is_set_aside() -> None:
    async def go() -> None:
        budget = Budget(tokens=100)
        await budget.reserve(Charge(60))
        budget.check()
        budget.spend(Charge(40))
        budget.check()
        budget.spend(Charge(1))
        with pytest.raises(NoRoom):
            budget.check()
        budget.settle(Charge(60), NOTHING)
        assert budget.spent == Charge(41)
        with pytest.raises(BudgetReached, match="41 of --max-tokens-total 100"):
            await budget.reserve(Charge(60))

    asyncio.run(go())


def test_a_closed_budget_lets_nobody_begin() -> None:
    async def go() -> None:
        budget = Budget(tokens=10)
        await budget.reserve(Charge(10))
        waiting = asyncio.create_task(budget.reserve(Charge(5)))
        await asyncio.sleep(0)
        budget.close(KeyError("enough"))
        with pytest.raises(KeyError):
            await waiting
        with pytest.raises(KeyError):
            await budget.reserve(Charge(0))

    asyncio.run(go())


def test_a_budget_in_dollars_needs_prices() -> None:
    with pytest.raises(ValueError, match="needs prices"):
        Budget(usd=1)
