"""The folded history against reading everything anew, and the limits that need it."""

import random
from itertools import pairwise
from typing import NamedTuple

import pytest
from pydantic import ValidationError
from test_decode_control import random_walk
from test_decode_hf import random_budget

from steiner.core import StepBudget
from steiner.decode import History, Mode, Rest, StepControl
from steiner.decode.history import Facts
from steiner.protocol import ControlToken

T = ControlToken


class Plain(NamedTuple):
    mark: int
    trailing: int
    steps: int
    length: int
    in_step: int
    repeats: bool


def read_anew(control, history):
    """The facts by their definitions, with whole thoughts in a list."""
    ids = control.ids
    marks = [place for place, number in enumerate(history) if number in control.codes]
    begins = [place for place, number in enumerate(history) if number == ids[T.STEP_START]]
    thoughts = [
        history[a + 1 : b]
        for a, b in pairwise(marks)
        if history[a] == ids[T.THOUGHT_START] and history[b] == ids[T.THOUGHT_END]
    ]
    last = marks[-1] if marks else -1
    opened = last >= 0 and history[last] == ids[T.THOUGHT_START]
    return Plain(
        mark=control.codes[history[last]] if marks else 0,
        trailing=len(history) - 1 - last,
        steps=history.count(ids[T.STEP_END]),
        length=len(history),
        in_step=len(history) - (begins[-1] if begins else 0),
        repeats=opened and history[last + 1 :] in thoughts,
    )


def plain(history):
    facts = Facts.of([history])
    return Plain(*(int(values[0]) for values in facts))


def random_tokens(ids, rng, length):
    """Half well-formed beginnings with few different words, half any tokens with many thoughts among them."""
    if rng.random() < 0.5:
        return random_walk(ids, rng.random(), random_budget(rng), length)
    often = [ids[T.THOUGHT_START], ids[T.THOUGHT_END], ids[T.THOUGHT_END], 65]
    return rng.choices([*often, *often, 66, *ids.control, ids.eos], k=length)


@pytest.mark.parametrize("seed", range(4))
def test_folding_on_equals_reading_anew_on_random_histories(ids, seed):
    """4 × 300 histories, each compared at every length."""
    rng = random.Random(seed)
    control = StepControl(ids)
    repeats = 0
    for _ in range(300):
        tokens = random_tokens(ids, rng, rng.randrange(70))
        history = History()
        for place, number in enumerate(tokens, 1):
            history = control.advance(history, number)
            want = read_anew(control, tokens[:place])
            assert plain(history) == want
            repeats += want.repeats
        assert history == control.fold(tokens)
    assert repeats > 100


def test_forks_and_rewinds_do_not_disturb_each_other(ids):
    rng = random.Random(7)
    control = StepControl(ids)
    kept = [((), History())]
    for _ in range(1000):
        tokens, history = rng.choice(kept)
        more = tuple(random_tokens(ids, rng, rng.randrange(1, 12)))
        kept.append((tokens + more, control.fold(more, history)))
    for tokens, history in kept:
        assert plain(history) == read_anew(control, list(tokens))
        assert history == control.fold(tokens)


def step(ids, thought):
    fields = [
        [ids[T.NAME_START], 66, ids[T.NAME_END]],
        [ids[T.THOUGHT_START], *thought, ids[T.THOUGHT_END]],
        [ids[T.SUMMARY_START], ids[T.SUMMARY_END]],
        [ids[T.REFLECTION_START], ids[T.REFLECTION_END]],
    ]
    return [ids[T.STEP_START], *(number for field in fields for number in field), ids[T.STEP_END]]


def in_third_thought(ids, thought):
    written = [ids[T.START], *step(ids, [65, 66, 67]), ids[T.PROCEED], *step(ids, [])]
    return [*written, *step(ids, thought)[: 5 + len(thought)]]


@pytest.mark.parametrize(
    ("thought", "banned"),
    [([], True), ([65], False), ([65, 66], False), ([65, 66, 67], True), ([65, 66, 67, 67], False)],
)
def test_the_token_that_would_complete_a_repetition_is_banned(ids, thought, banned):
    history = in_third_thought(ids, thought)
    allowed = StepControl(ids).allowed(history, StepBudget(ban_repeats=True))
    assert allowed.allows(ids[T.THOUGHT_END], ids) is not banned
    assert allowed.rest is Rest.TEXT
    assert StepControl(ids).allowed(history, StepBudget()).allows(ids[T.THOUGHT_END], ids)


def test_a_step_without_room_may_repeat(ids):
    history = in_third_thought(ids, [65, 66, 67])
    length = len(history) - history[::-1].index(ids[T.STEP_START])
    used = len(history) - length + 1
    budget = StepBudget(ban_repeats=True, max_step_tokens=used + 6)  # six close the step
    allowed = StepControl(ids).allowed(history, budget)
    assert allowed.ids == {ids[T.THOUGHT_END]}
    assert allowed.rest is Rest.NOTHING
    roomy = StepBudget(ban_repeats=True, max_step_tokens=used + 7)
    assert StepControl(ids).allowed(history, roomy).ids == frozenset()


def test_a_step_closes_its_fields_in_order_when_its_tokens_are_used_up(ids):
    control, budget = StepControl(ids), StepBudget(max_step_tokens=12)
    history = [ids[T.START]]
    while ids[T.STEP_END] not in history:
        allowed = control.allowed(history, budget)
        history.append(65 if allowed.rest is Rest.TEXT else min(allowed.ids))
    assert len(history) == 13
    assert [ids.token(n) or n for n in history[2:6]] == [T.NAME_START, 65, 65, T.NAME_END]


@pytest.mark.parametrize("mode", [Mode.REPORT, Mode.OFF])
def test_other_modes_know_none_of_these_limits(ids, mode):
    history = in_third_thought(ids, [65, 66, 67])
    strictest = StepBudget(ban_repeats=True, max_step_tokens=10)
    control = StepControl(ids, mode)
    assert control.allowed(history, strictest) == control.allowed(history, StepBudget())


def test_a_limit_below_an_empty_step_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 10"):
        StepBudget(max_step_tokens=9)


def test_a_thousand_thoughts_are_kept_in_few_sets(ids):
    """So that neither looking one up nor adding one takes time in proportion to their number."""
    history = StepControl(ids).fold(
        number
        for thought in range(1000)
        for number in (ids[T.THOUGHT_START], *divmod(thought, 256), ids[T.THOUGHT_END])
    )
    assert sum(map(len, history.closed)) == 1000
    assert len(history.closed) <= 10
