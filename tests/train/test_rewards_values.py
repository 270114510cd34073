"""Rewards that are changes of a value, and the sum of several rewards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import NodeFacts
from steiner.train.rewards import (
    Attempt,
    DagReward,
    Earned,
    GeneratedStep,
    MonteCarloReward,
    OutcomeReward,
    ProgressReward,
    earn,
    montecarlo,
    outcome,
    progress,
    shared_changes,
    total,
)

SOMEWHERE = NodeFacts(e_i=1, e_o=1, d_s=1, d_e=1)


def at(right: int, traces: int, *, sound: bool = True) -> GeneratedStep:
    """A step to a node that `traces` traces passed, `right` of them on their way to the right answer."""
    return GeneratedStep(SOMEWHERE, None, None, False, False, sound, traces, right)


NEW = GeneratedStep(None, None, None, False, False, True)


def progress_of(steps: list[GeneratedStep], chance: float, **settings: float) -> tuple[float, ...]:
    attempt = Attempt(tuple(steps), right=False, chance=chance)
    return progress(attempt, ProgressReward.model_validate(settings)).steps


def test_outcome():
    assert outcome(Attempt((), right=True), OutcomeReward()) == Earned(whole=1.0)
    assert outcome(Attempt((NEW,), right=False), OutcomeReward()) == Earned(whole=0.0)


def test_progress_by_hand():
    # Values 3/4, 0/2 and 2/2 after a question of 1/2, without pseudo-traces.
    steps = [at(3, 4), at(0, 2), at(2, 2)]
    assert progress_of(steps, 0.5, prior=0) == pytest.approx((0.25, -0.75, 1.0))


def test_pseudo_traces_draw_to_the_value_of_the_question():
    # (1 + 2 · 0.5) / (1 + 2) = 2/3 instead of 1.
    assert progress_of([at(1, 1)], 0.5, prior=2) == pytest.approx((2 / 3 - 1 / 2,))


def test_a_new_node_changes_nothing_and_the_next_known_one_tells():
    assert progress_of([at(3, 4), NEW, at(0, 4)], 0.5, prior=0) == pytest.approx((0.25, 0.0, -0.75))


def test_costs_and_unsound_steps():
    steps = [at(3, 4), at(4, 4, sound=False), at(1, 4)]
    rewards = progress_of(steps, 0.5, prior=0, cost=0.01, broken=0.3)
    assert rewards == pytest.approx((0.24, -0.31, -0.51))


COUNTS = st.integers(0, 9).flatmap(lambda right: st.tuples(st.just(right), st.integers(max(1, right), 9)))


@given(st.lists(st.one_of(st.just(NEW), COUNTS.map(lambda n: at(*n))), max_size=8), st.floats(0, 1))
def test_progress_adds_up_to_where_the_search_ends(steps, chance):
    known = [s.right / s.traces for s in steps if s.facts is not None]
    assert sum(progress_of(steps, chance, prior=0)) == pytest.approx((known or [chance])[-1] - chance)


def test_montecarlo_by_hand():
    attempt = Attempt((NEW, NEW), right=True, values=(0.5, 0.75, 0.25))
    earned = montecarlo(attempt, MonteCarloReward())
    assert earned == Earned(steps=(0.25, -0.5), end=0.75)


def test_steps_between_two_measured_ones_share_the_change():
    attempt = Attempt((NEW,) * 4, right=False, values=(0.5, None, 0.9, None, None))
    earned = montecarlo(attempt, MonteCarloReward())
    assert earned.steps == pytest.approx((0.2, 0.2, -0.3, -0.3))
    assert earned.end == pytest.approx(-0.3)


def test_a_completion_without_steps_has_an_end_all_the_same():
    earned = montecarlo(Attempt((), right=True, values=(0.25,)), MonteCarloReward())
    assert earned == Earned(steps=(), end=0.75)


def test_montecarlo_needs_its_values():
    with pytest.raises(ValueError, match="were not measured"):
        montecarlo(Attempt((NEW,), right=True), MonteCarloReward())


@given(st.floats(0, 1), st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=9), st.booleans())
def test_changes_add_up_whatever_was_measured(first, between, right):
    changes = shared_changes([first, *between, float(right)])
    assert len(changes) == len(between) + 1
    assert sum(changes) == pytest.approx(float(right) - first, abs=1e-9)


def test_each_reward_by_its_name():
    attempt = Attempt((at(3, 4),), right=True, question=SOMEWHERE, chance=0.5, values=(0.5, 1.0))
    rewards = (OutcomeReward(), DagReward(), ProgressReward(prior=0), MonteCarloReward())
    whole, by_graph, by_traces, by_rollouts = earn(attempt, rewards)
    assert whole == Earned(whole=1.0)
    assert by_graph == Earned(steps=(0.0,))
    assert by_traces == Earned(steps=(0.25,))
    assert by_rollouts == Earned(steps=(0.5,), end=0.0)


def test_the_sum_of_weighted_rewards():
    rewards = (OutcomeReward(weight=2), ProgressReward(weight=3), MonteCarloReward(weight=0.5))
    earned = (Earned(whole=1.0), Earned(steps=(1.0, -1.0)), Earned(steps=(0.5, 0.5), end=4.0))
    assert total(earned, rewards, 2) == Earned(steps=(3.25, -2.75), end=2.0, whole=2.0)
    assert total(earned[:1], rewards[:1], 2) == Earned(steps=(0.0, 0.0), end=None, whole=2.0)
