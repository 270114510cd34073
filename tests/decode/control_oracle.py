"""Step control once more, by the letter and slowly: what the tables are checked against."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from steiner.core import Ramp, SoftEnd, StepBudget
from steiner.protocol import ControlIds, ControlToken
from steiner.protocol.grammar import AFTER, TRANSITIONS, Other, State, closing_tokens

T = ControlToken
ENDLESS = 10**9


def report_allows(ids: ControlIds, history: list[int], budget: StepBudget, number: int) -> bool:
    """Apply the report's rules as they are written down in the protocol."""
    if not history:
        return number == ids[T.START]
    last = history[-1]
    if last == ids[T.STEP_END]:
        n = history.count(ids[T.STEP_END])
        if budget.max_steps is not None and n >= budget.max_steps:
            return number == ids[T.END]
        if n < budget.min_steps:
            return number in (ids[T.PROCEED], ids[T.BACKTRACK])
        return number in (ids[T.PROCEED], ids[T.END], ids[T.BACKTRACK])
    if last in (ids[T.PROCEED], ids[T.BACKTRACK]):
        return number == ids[T.STEP_START]
    return True


def strict_allowed(
    ids: ControlIds, history: list[int], budget: StepBudget, max_answer_tokens: int | None
) -> set[object]:
    """Walk the history through the grammar, then keep each symbol after which the budget can still be met."""
    state, steps, answer = State.BEGIN, 0, 0
    step_at, thought, thoughts = 0, None, []
    for place, number in enumerate(history):
        token = ids.token(number)
        if number == ids.eos:
            state = State.DONE
        elif token:
            state, answer = AFTER[token], 0
            steps += token is T.STEP_END
            step_at = place if token is T.STEP_START else step_at
            if token is T.THOUGHT_END and thought is not None:
                thoughts.append(thought)
            thought = [] if token is T.THOUGHT_START else None
        elif Other.TEXT in TRANSITIONS[state]:
            state = TRANSITIONS[state][Other.TEXT]
            answer += state is State.ANSWER
            if state is State.THOUGHT:
                thought = [*(thought or ()), number]
    if state is State.DONE:
        return {Other.EOS}
    left = ENDLESS if budget.max_reasoning_tokens is None else budget.max_reasoning_tokens - len(history)
    costs = {}
    for symbol, target in TRANSITIONS[state].items():
        if state is State.DECIDE and not _step_limits_allow(symbol, steps, budget):
            continue
        after = steps + (symbol is T.STEP_END)
        costs[symbol] = 1 + _shortest(target, min(after, budget.min_steps), budget.min_steps)
        if State.NEED_NAME <= state <= State.NEED_STEP_END and budget.max_step_tokens is not None:
            room = budget.max_step_tokens - (len(history) - step_at) - 1
            to_end = max(len(closing_tokens(target)) - 1, 0)
            if to_end > room and symbol is Other.TEXT:
                costs[symbol] += ENDLESS
    if state is State.ANSWER:
        room = ENDLESS if max_answer_tokens is None else max_answer_tokens - answer
        return set(costs) if room > 0 else {Other.EOS}
    if state is State.NEED_ANSWER:
        return set(costs)
    possible = {symbol for symbol, cost in costs.items() if cost <= left}
    if budget.ban_repeats and thought in thoughts and Other.TEXT in possible:
        possible -= {T.THOUGHT_END}
    return possible or {symbol for symbol, cost in costs.items() if cost == min(costs.values())}


def _step_limits_allow(symbol: object, steps: int, budget: StepBudget) -> bool:
    if symbol is T.END:
        return steps >= budget.min_steps
    return budget.max_steps is None or steps < budget.max_steps


@cache
def _shortest(state: State, steps: int, min_steps: int) -> int:
    """Fewest tokens to the state after END with `min_steps` steps, by searching."""
    frontier, distance, seen = {(state, steps)}, 0, set()
    while not any(at >= State.NEED_ANSWER for at, _ in frontier):
        seen |= frontier
        following = set()
        for at, n in frontier:
            for symbol, target in TRANSITIONS[at].items():
                if symbol is not T.END or n >= min_steps:
                    following.add((target, min(n + (symbol is T.STEP_END), min_steps)))
        frontier, distance = following - seen, distance + 1
    return distance


def budgets() -> st.SearchStrategy[StepBudget]:
    """Any budget that can be kept."""

    def make(
        least: int,
        more: int | None,
        spare: int | None,
        step_tokens: int | None,
        ban: bool,
        bias: float,
        soft: SoftEnd | None,
    ) -> StepBudget:
        tokens = None if spare is None else max(16, 1 + 11 * least + spare)
        return StepBudget(
            min_steps=least,
            max_steps=None if more is None else least + more,
            max_reasoning_tokens=tokens,
            max_step_tokens=step_tokens,
            ban_repeats=ban,
            backtrack_bias=bias,
            soft_end=soft,
        )

    optional = st.one_of(st.none(), st.integers(0, 3))
    return st.builds(
        make,
        st.integers(1, 4),
        optional,
        st.one_of(st.none(), st.integers(0, 60)),
        st.one_of(st.none(), st.integers(10, 20)),
        st.booleans(),
        st.sampled_from([0.0, 0.0, -3.0, 2.5]),
        st.one_of(st.none(), soft_ends()),
    )


def soft_ends() -> st.SearchStrategy[SoftEnd]:
    """Any schedule."""
    return st.builds(
        SoftEnd,
        start=st.floats(-20, 20),
        stop=st.floats(-20, 20),
        steps=st.integers(1, 9),
        tokens=st.one_of(st.none(), st.integers(1, 90)),
        ramp=st.sampled_from(Ramp),
        sharpness=st.floats(0.1, 50),
    )
