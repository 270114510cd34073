"""The concurrency controller and the rates, on a clock of their own."""

from __future__ import annotations

import asyncio
import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.teacher.chat.controller import CUT, ConcurrencyController, ConcurrencyGate, Permit
from steiner.teacher.chat.limits import RateGate, TokenBucket


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def controller(ceiling: int = 1000, start: int = 16, clock: Clock | None = None) -> ConcurrencyController:
    return ConcurrencyController(ceiling, start, 1.0, clock or Clock(), lambda: 1.0)


ACTIONS = st.lists(st.sampled_from(["start", "ok", "fail", "429", "429 later", "wait"]), max_size=300)


@given(ACTIONS, st.integers(1, 40), st.integers(1, 40), st.randoms())
def test_the_controller_keeps_its_promises_whatever_happens(actions, ceiling, start, rng):
    clock = Clock()
    control = controller(ceiling, start, clock)
    permits: list[Permit] = []
    given_in_all = last_of_episode = episodes = 0
    not_before = 0.0
    for action in actions:
        if action == "start":
            if control.may_start():
                assert len(permits) < min(control.limit, ceiling)
                assert clock.now >= not_before
                permits.append(control.start())
                given_in_all += 1
        elif action == "wait":
            clock.now += 0.7
        elif permits:
            permit = permits.pop(rng.randrange(len(permits)))
            before = control.limit
            if action.startswith("429"):
                asked = 2.0 if action.endswith("later") else None
                new = control.rate_limited(permit, asked)
                assert new == (permit.number > last_of_episode)
                if new:
                    episodes += 1
                    last_of_episode = given_in_all
                    assert control.limit >= 1
                    assert control.limit < before or before == 1
                    assert clock.now < control.paused_until
                else:
                    assert control.limit == before
                if asked:
                    not_before = max(not_before, clock.now + asked)
            else:
                control.finished(permit, 0.1 if action == "ok" else None)
                if action == "fail":
                    assert control.limit == before
        assert control.in_flight == len(permits)
        assert 1 <= control.limit <= ceiling
        assert control.episodes == episodes


def test_one_cut_for_all_429s_of_a_burst():
    clock = Clock()
    control = controller(100, 100, clock)
    permits = [control.start() for _ in range(100)]
    assert control.rate_limited(permits[70], 3.0)
    assert control.limit == int(100 * CUT)
    assert not any(control.rate_limited(permit, 5.0) for permit in permits if permit is not permits[70])
    assert control.limit == int(100 * CUT)
    assert control.paused_until == 5.0
    assert not control.may_start()
    clock.now = 5.0
    assert control.may_start()
    control.rate_limited(control.start(), 1.0)
    assert control.episodes == 2


def test_a_lone_429_costs_little_concurrency_once_the_endpoint_answers_again():
    clock = Clock()
    control = controller(100, 100, clock)
    permits = [control.start() for _ in range(100)]
    control.rate_limited(permits.pop(), 1.0)
    for permit in permits:
        control.finished(permit, 0.1)  # sent before the cut: no sign that the endpoint answers again
    assert control.limit == int(100 * CUT)
    clock.now = 1.0
    control.finished(control.start(), 0.1)
    assert control.limit == 99


def test_many_429s_cost_what_the_cut_takes():
    clock = Clock()
    control = controller(100, 100, clock)
    for permit in [control.start() for _ in range(100)][:11]:
        control.rate_limited(permit, 1.0)
    clock.now = 1.0
    control.finished(control.start(), 0.1)
    assert control.limit == int(100 * CUT)


def test_pauses_of_our_own_grow_from_episode_to_episode_and_start_anew_after_a_success():
    clock = Clock()
    control = controller(clock=clock)
    pauses = []
    for _ in range(4):
        control.rate_limited(control.start(), None)
        pauses.append(control.paused_until - clock.now)
        clock.now = control.paused_until
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    control.rate_limited(
        control.start(), 0.0
    )  # an endpoint that says "at once" again and again is not believed
    assert control.paused_until - clock.now >= 8.0
    clock.now = control.paused_until
    control.finished(control.start(), 0.1)
    control.rate_limited(control.start(), None)
    assert control.paused_until - clock.now == 1.0


def simulate(control: ConcurrencyController, clock: Clock, seconds: float, knee: float, most: float) -> int:
    """Run an endpoint of one-second replies that slow down beyond `knee` in flight and 429 beyond `most`."""
    rng = random.Random(0)
    under_way: list[tuple[float, int, Permit, float | None]] = []
    done = 0
    end = clock.now + seconds
    while clock.now < end or under_way:
        while clock.now < end and control.may_start():
            permit = control.start()
            took = rng.uniform(0.5, 1.5) * max(1.0, control.in_flight / knee)
            if control.in_flight > most:
                heapq.heappush(under_way, (clock.now + 0.05, permit.number, permit, None))
            else:
                heapq.heappush(under_way, (clock.now + took, permit.number, permit, took))
        if not under_way:
            clock.now = control.paused_until
            continue
        clock.now, _, permit, seconds_taken = heapq.heappop(under_way)
        if seconds_taken is None:
            control.rate_limited(permit, 1.0)
        else:
            done += 1
            control.finished(permit, seconds_taken)
    return done


def test_it_grows_to_the_ceiling_where_that_pays():
    clock = Clock()
    control = controller(2000, clock=clock)
    simulate(control, clock, 60, knee=1e9, most=1e9)
    assert control.limit == 2000


def test_it_does_not_grow_where_it_does_not_pay():
    clock = Clock()
    control = ConcurrencyController(2000, 16, 1.0, clock, lambda: 1.0)
    tally = 0
    for _ in range(400):  # every request takes as long as there are others before it
        permits = []
        while control.may_start():
            permits.append(control.start())
        for permit in permits:
            control.finished(permit, len(permits) / 16)
        tally = max(tally, control.limit)
    assert tally <= 64


def test_it_recovers_after_a_storm_and_lives_with_a_fixed_allowance():
    clock = Clock()
    control = controller(1000, clock=clock)
    simulate(control, clock, 20, knee=1e9, most=1e9)
    for _ in range(8):
        control.rate_limited(control.start(), 0.1)
        clock.now = control.paused_until
    low = control.limit
    simulate(control, clock, 200, knee=1e9, most=1e9)
    assert low < 100
    assert control.limit == 1000
    clock = Clock()
    control = controller(1000, clock=clock)
    assert simulate(control, clock, 300, knee=1e9, most=100) > 0.7 * 100 * 300
    assert control.limit <= 110


def test_it_does_not_grow_unless_requests_wait():
    control = controller(1000)
    for _ in range(1000):
        assert control.may_start()
        control.finished(control.start(), 0.1)
    assert control.limit == 16


def test_bad_bounds():
    with pytest.raises(ValueError, match="at least 1"):
        ConcurrencyController(0)
    with pytest.raises(ValueError, match="positive"):
        TokenBucket(0)


# The gate


def test_the_gate_serves_in_order_with_retries_first():
    async def run() -> list[str]:
        gate = ConcurrencyGate(ConcurrencyController(1, 1))
        order: list[str] = []

        async def go(name: str, first: bool = False) -> None:
            permit = await gate.acquire(first)
            order.append(name)
            await asyncio.sleep(0)
            gate.release(permit)

        held = await gate.acquire()
        tasks = [asyncio.ensure_future(go(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(go("retry", first=True)))
        await asyncio.sleep(0)
        gate.release(held)
        await asyncio.gather(*tasks)
        assert gate.controller.in_flight == 0
        return order

    assert asyncio.run(run()) == ["retry", "a", "b", "c"]


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False))
def test_cancelling_at_any_moment_loses_no_permit(rng):
    async def run() -> None:
        gate = ConcurrencyGate(ConcurrencyController(5, 5))
        inside = 0

        async def go() -> None:
            nonlocal inside
            permit = await gate.acquire(rng.random() < 0.2)
            inside += 1
            assert inside <= 5
            try:
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                inside -= 1
                gate.release(permit)

        tasks = [asyncio.ensure_future(go()) for _ in range(60)]
        while not all(task.done() for task in tasks):
            rng.choice(tasks).cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gate.controller.in_flight == 0
        assert gate.controller.may_start()
        await asyncio.wait_for(gate.acquire(), 5)

    asyncio.run(run())


def test_the_gate_opens_again_after_a_pause_without_anyone_else_coming():
    async def run() -> float:
        gate = ConcurrencyGate(ConcurrencyController(4, 4))
        loop = asyncio.get_running_loop()
        gate.release_rate_limited(await gate.acquire(), 0.2)
        begun = loop.time()
        await asyncio.wait_for(gate.acquire(), 10)
        return loop.time() - begun

    assert asyncio.run(run()) >= 0.2


# Rates


@given(
    st.sampled_from([1.0, 7.0, 60.0, 1200.0]),
    st.lists(st.floats(0, 30), max_size=80),
)
def test_no_minute_has_more_requests_than_allowed(per_minute, gaps):
    clock = Clock()
    bucket = TokenBucket(per_minute, clock)
    times: list[float] = []
    for gap in gaps:
        clock.now += gap
        for _ in range(100):
            if bucket.wait(1):
                break
            bucket.take(1)
            times.append(clock.now)
    for start in times:
        assert sum(start <= time < start + 59.99 for time in times) <= per_minute


def test_the_wait_is_long_enough_and_waiting_it_gives_the_allowance():
    clock = Clock()
    bucket = TokenBucket(600, clock)
    count = 0
    while clock.now < 600:
        clock.now += bucket.wait(1)
        assert bucket.wait(1) == 0
        bucket.take(1)
        count += 1
    assert 0.95 * 6000 <= count <= 6000 + 20


def test_something_larger_than_the_bucket_goes_through_and_is_paid_off():
    clock = Clock()
    bucket = TokenBucket(600, clock)
    assert bucket.wait(5000) == 0
    bucket.take(5000)
    assert bucket.wait(1) > 480


def test_tokens_given_back_let_the_next_one_through_at_once():
    async def run() -> tuple[bool, bool]:
        clock = Clock()
        gate = RateGate(None, 6000, clock)
        assert not await gate.acquire(6000)  # pays off for a minute
        waiting = asyncio.ensure_future(gate.acquire(100))
        await asyncio.sleep(0)
        before = waiting.done()
        gate.settle(6000, 50)
        await asyncio.sleep(0)
        gate.close()
        return before, waiting.done()

    assert asyncio.run(run()) == (False, True)


def test_cancelled_requests_reserve_nothing():
    async def run() -> None:
        gate = RateGate(60, 6000)
        await gate.acquire(200)
        tasks = [asyncio.ensure_future(gate.acquire(5000)) for _ in range(50)]
        await asyncio.sleep(0)
        last = asyncio.ensure_future(gate.acquire(1))
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(last, 20)
        gate.close()

    asyncio.run(run())
