"""Which extra rollouts are asked for, and what values they give."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from steiner.train.continuations import boundaries, choose_boundaries, values_of
from steiner.train.rewards import MonteCarloReward

END = 9
A = (1, END, 2, END, 3)
B = (1, END, 4, END, 5, END)


def chosen(group, first=0, **settings):
    return choose_boundaries(first, group, END, MonteCarloReward(**settings), random.Random(0))


def test_boundaries_stop_at_the_last_whole_step():
    assert boundaries(A, 2, END) == [2, 4]
    assert boundaries(B, 2, END) == [2, 4]
    assert boundaries((), 0, END) == []


def test_a_beginning_that_two_share_is_continued_once():
    wanted = chosen([(A, 2), (B, 3)], first=4, continuations=2)
    assert [one.prefix for one in wanted[::2]] == [A[:2], A[:4], B[:4], B]
    assert [one.prefix for one in wanted[1::2]] == [one.prefix for one in wanted[::2]]
    assert [one.member for one in wanted] == [4, 4, 4, 4, 5, 5, 5, 5]
    assert len({one.seed for one in wanted}) == len(wanted)


@given(st.integers(0, 30), st.integers(1, 8), st.integers(1, 60))
def test_the_budget_is_kept_and_spread(steps, continuations, most):
    ids = tuple(token for n in range(steps) for token in (100 + n, END))
    wanted = chosen([(ids, steps)], continuations=continuations, most=most)
    assert len(wanted) <= max(most, 1)
    places = sorted({len(one.prefix) // 2 for one in wanted})
    if places and len(places) < steps:
        gaps = [b - a for a, b in zip([0, *places], [*places, steps + 1], strict=True)]
        assert max(gaps) <= 2 * (steps // len(places)) + 2


def test_values_by_hand():
    # Group 0: A right, B wrong. Beginnings of both: 1 of 2; the rest of A: 2 of 2; of B nothing was written.
    wanted = [one for one in chosen([(A, 2), (B, 3)], continuations=2) if one.prefix in (A[:2], A[:4])]
    hits = [True, False, True, True]
    assert values_of([(A, 2), (B, 3)], END, [True, False], 2, wanted, hits) == [
        (0.5, 0.5, 1.0),
        (0.5, 0.5, None, None),
    ]


def test_groups_do_not_share_values():
    wanted = chosen([(A, 1)], first=0, continuations=1)
    values = values_of([(A, 1), (A, 1)], END, [True, False], 1, wanted, [True])
    assert values == [(1.0, 1.0), (0.0, None)]
