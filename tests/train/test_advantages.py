"""Advantages against examples worked out by hand, and against what must hold for all rewards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.train.advantages import (
    EPSILON,
    group_advantages,
    outcome_advantages,
    process_advantages,
    token_advantages,
)
from steiner.train.rewards import DagReward, Earned, MonteCarloReward, OutcomeReward, ProgressReward

# Rewards of some size: differences near the rounding error of floats mean nothing to anybody.
REWARDS = st.integers(-200, 200).map(lambda n: n / 100)
GROUPS = st.lists(st.lists(REWARDS, max_size=6), min_size=1, max_size=5)


def test_outcome_by_hand():
    # 1 0 0 1: mean 1/2, deviations ±1/2, sample variance 4 · 1/4 / 3 = 1/3.
    scale = 0.5 / (math.sqrt(1 / 3) + EPSILON)
    assert outcome_advantages([1, 0, 0, 1]) == pytest.approx([scale, -scale, -scale, scale])


def test_process_supervision_by_hand():
    # Section 4.1.3 of DeepSeekMath: all step rewards of the group are normalised together, then a step gets
    # the sum of its own and all later ones. Rewards 1 2 | 3: mean 2, sample deviation 1, so -1 0 | 1.
    unit = 1 / (1 + EPSILON)
    first, second = process_advantages([[1.0, 2.0], [3.0]])
    assert first == pytest.approx([-unit, 0.0])
    assert second == pytest.approx([unit])


def test_later_rewards_count_for_earlier_steps():
    # 0 0 4 | 0 0 2: mean 1, deviations -1 -1 3 | -1 -1 1, sample variance 14 / 5.
    unit = 1 / (math.sqrt(14 / 5) + EPSILON)
    first, second = process_advantages([[0.0, 0.0, 4.0], [0.0, 0.0, 2.0]])
    assert first == pytest.approx([unit, 2 * unit, 3 * unit])
    assert second == pytest.approx([-unit, 0.0, unit])


def test_a_completion_without_steps_keeps_its_place():
    first, second, third = process_advantages([[], [1.0, 0.0], []])
    assert first.shape == third.shape == (0,)
    assert second.shape == (2,)


def test_no_completion_at_all():
    assert process_advantages([]) == []
    assert outcome_advantages([]).shape == (0,)


@given(REWARDS, st.integers(1, 8))
def test_equal_rewards_say_nothing(reward, count):
    assert not outcome_advantages([reward] * count).any()
    assert not np.concatenate(process_advantages([[reward] * 3] * count)).any()


@given(st.lists(REWARDS, min_size=2, max_size=12))
def test_outcomes_sum_to_zero_in_the_order_of_the_rewards(rewards):
    advantages = outcome_advantages(rewards)
    assert advantages.shape == (len(rewards),)
    assert advantages.sum() == pytest.approx(0, abs=1e-9)
    order = np.argsort(rewards, kind="stable")
    assert (np.diff(advantages[order]) >= 0).all()


@given(GROUPS)
def test_shapes_and_the_sum_of_normalised_rewards(group):
    advantages = process_advantages(group)
    assert [len(one) for one in advantages] == [len(rewards) for rewards in group]
    # The first step of a completion holds the sum of all its rewards, and all normalised rewards sum to zero.
    assert sum(one[0] for one in advantages if len(one)) == pytest.approx(0, abs=1e-9)


@given(GROUPS, st.randoms(use_true_random=False))
def test_the_order_of_a_group_means_nothing(group, rng):
    order = list(range(len(group)))
    rng.shuffle(order)
    straight = process_advantages(group)
    shuffled = process_advantages([group[i] for i in order])
    for place, i in enumerate(order):
        assert shuffled[place] == pytest.approx(straight[i], abs=1e-9)


def test_tokens_by_hand():
    #        START  step 0    move   step 1  END answer
    index = [-1, 0, 0, -1, 1, 1, -1, -1]
    advantages = token_advantages(index, [0.5, -2.0], outcome=1.0)
    assert advantages.tolist() == [1.5, 1.5, 1.5, -1.0, -1.0, -1.0, 1.0, 1.0]


def test_a_completion_without_steps_gets_the_outcome_alone():
    assert token_advantages([-1, -1, -1], [], outcome=0.7).tolist() == [0.7, 0.7, 0.7]


def test_an_empty_completion():
    assert token_advantages([], [1.0], outcome=1.0).shape == (0,)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), REWARDS), max_size=6), st.integers(0, 4), REWARDS
)
def test_every_token_gets_its_own_or_the_following_step(steps, tail, outcome):
    index: list[int] = []
    expected: list[float] = []
    for number, (between, inside, advantage) in enumerate(steps):
        index += [-1] * between + [number] * inside
        expected += [advantage + outcome] * (between + inside)
    index += [-1] * tail
    expected += [outcome] * tail
    advantages = token_advantages(index, [advantage for _, _, advantage in steps], outcome)
    assert advantages.shape == (len(index),)
    assert advantages.tolist() == pytest.approx(expected)


def test_without_the_standard_deviation_by_hand():
    # Dr. GRPO: 1 0 0 0 less its mean. Steps 0 0 4 | 0 0 2 less their mean 1, summed from behind.
    assert outcome_advantages([1, 0, 0, 0], divide_by_std=False) == pytest.approx([0.75, -0.25, -0.25, -0.25])
    first, second = process_advantages([[0.0, 0.0, 4.0], [0.0, 0.0, 2.0]], divide_by_std=False)
    assert first == pytest.approx([1, 2, 3])
    assert second == pytest.approx([-1, 0, 1])


def test_own_credit_by_hand():
    # As above: normalised -1 0 | 1, and nobody is paid for what comes later.
    unit = 1 / (1 + EPSILON)
    first, second = process_advantages([[1.0, 2.0], [3.0]], credit="own")
    assert first == pytest.approx([-unit, 0.0])
    assert second == pytest.approx([unit])
    (later,) = process_advantages([[1.0, 2.0, 3.0]], credit="own", divide_by_std=False)
    assert later == pytest.approx([-1, 0, 1])


def test_what_follows_the_last_step_has_an_advantage_of_its_own():
    # Tokens: START, a step, END, answer.
    tokens = token_advantages([-1, 0, 0, -1, -1], [2.0], 0.5, end=-1.0)
    assert tokens == pytest.approx([2.5, 2.5, 2.5, -0.5, -0.5])


def test_several_rewards_normalised_one_by_one():
    rewards = (OutcomeReward(weight=2.0), DagReward(weight=0.5), MonteCarloReward(weight=1.0))
    group = [
        (Earned(whole=1.0), Earned(steps=(1.0, 2.0)), Earned(steps=(0.0, 0.5), end=0.5)),
        (Earned(whole=0.0), Earned(steps=(3.0,)), Earned(steps=(-0.5,), end=0.0)),
    ]
    first, second = group_advantages(group, [2, 1], rewards, divide_by_std=False)
    # Outcome ±1/2. Steps of the graph -1 0 | 1, summed from behind. Changes of value: mean 0.1, each its own.
    assert first.whole == pytest.approx(2 * 0.5)
    assert first.steps == pytest.approx([0.5 * -1 - 0.1, 0.5 * 0 + 0.4])
    assert first.end == pytest.approx(0.4)
    assert second.whole == pytest.approx(2 * -0.5)
    assert second.steps == pytest.approx([0.5 * 1 - 0.6])
    assert second.end == pytest.approx(-0.1)


def test_several_rewards_summed_before_they_are_normalised():
    rewards = (OutcomeReward(weight=1.0), DagReward(weight=2.0, path=1.0), ProgressReward(weight=1.0))
    group = [
        (Earned(whole=1.0), Earned(steps=(1.0, 2.0), whole=0.5), Earned(steps=(0.3, 0.1))),
        (Earned(whole=0.0), Earned(steps=(3.0,), whole=0.0), Earned(steps=(0.2,))),
    ]
    first, second = group_advantages(
        group, [2, 1], rewards, aggregation="sum_then_normalise", divide_by_std=False
    )
    # Whole: 1 + 2 · 0.5 = 2 and 0. Graph: 2 4 | 6, mean 4, summed from behind. Progress: mean 0.2.
    assert (first.whole, second.whole) == (pytest.approx(1), pytest.approx(-1))
    assert first.steps == pytest.approx([-2 + 0 + 0.1, 0 - 0.1])
    assert second.steps == pytest.approx([2 + 0])


def test_with_one_reward_both_ways_are_the_same():
    group = [(Earned(steps=(1.0, 5.0), whole=1.0),), (Earned(steps=(), whole=0.0),), (Earned(steps=(2.0,)),)]
    kinds = [
        group_advantages(group, [2, 0, 1], (DagReward(path=1.0),), aggregation=kind)
        for kind in ("normalise_then_sum", "sum_then_normalise")
    ]
    for one, other in zip(*kinds, strict=True):
        assert one.steps == pytest.approx(other.steps)
        assert (one.end, one.whole) == pytest.approx((other.end, other.whole))


def test_a_group_is_flat_only_if_no_reward_tells_its_members_apart():
    rewards = (OutcomeReward(), ProgressReward())
    same = [(Earned(whole=1.0), Earned(steps=(0.5, 0.5)))] * 3
    assert all(one.flat for one in group_advantages(same, [2] * 3, rewards))
    other = [*same, (Earned(whole=1.0), Earned(steps=(0.5, 0.25)))]
    assert not all(one.flat for one in group_advantages(other, [2] * 4, rewards))


@given(GROUPS, st.sampled_from(["later", "own"]))
def test_the_scale_of_a_reward_does_not_count_once_it_is_normalised(group, credit):
    rewards = (DagReward(credit=credit),)
    counts = [len(steps) for steps in group]
    one = group_advantages([(Earned(steps=tuple(steps)),) for steps in group], counts, rewards)
    scaled = [(Earned(steps=tuple(8 * r for r in steps)),) for steps in group]
    other = group_advantages(scaled, counts, rewards)
    for a, b in zip(one, other, strict=True):
        assert a.steps == pytest.approx(b.steps, rel=0.05, abs=1e-9)
