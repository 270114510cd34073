"""The reward from the step graph, term by term."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import NodeFacts
from steiner.train.rewards import Attempt, DagReward, GeneratedStep, dag, node_score

NOTHING = DagReward(
    answer=0,
    progress=0,
    breadth=0,
    junction=0,
    leave_dead_end=0,
    leave_good_branch=0,
    repeat=0,
    broken=0,
    path=0,
)
QUESTION = NodeFacts(e_i=0, e_o=4, d_s=0, d_e=3)
HALFWAY = NodeFacts(e_i=2, e_o=3, d_s=1, d_e=2)
DEAD_END = NodeFacts(e_i=1, e_o=0, d_s=2, d_e=None)
SOLVED = NodeFacts(e_i=3, e_o=1, d_s=2, d_e=1)


def only(**weights: float) -> DagReward:
    """Return weights with all terms switched off but these."""
    return NOTHING.model_copy(update=weights)


def step(
    facts: NodeFacts | None,
    start: NodeFacts | None,
    *,
    left: NodeFacts | None = None,
    backtracks: bool = False,
    repeated: bool = False,
    sound: bool = True,
) -> GeneratedStep:
    return GeneratedStep(facts, start, left, backtracks, repeated, sound)


def step_rewards(
    steps: list[GeneratedStep], weights: DagReward, question: NodeFacts | None = None
) -> list[float]:
    return list(dag(Attempt(tuple(steps), right=False, question=question), weights).steps)


def reward(one: GeneratedStep, weights: DagReward) -> float:
    return step_rewards([one], weights)[0]


def path_reward(steps: list[GeneratedStep], weights: DagReward) -> float | None:
    return dag(Attempt(tuple(steps), right=False), weights).whole


@pytest.mark.parametrize(
    ("weights", "facts", "score"),
    [
        (only(answer=6), HALFWAY, 6 / (1 + 2)),
        (only(answer=6), DEAD_END, 0),
        (only(progress=6), HALFWAY, 6 * 1 / (1 + 2)),
        (only(progress=6), QUESTION, 0),
        (only(progress=6), DEAD_END, 0),
        (only(progress=6), NodeFacts(0, 1, None, 2), 0),
        (only(progress=6), NodeFacts(0, 0, 0, 0), 0),
        (only(breadth=4), HALFWAY, 4 * 3 / (1 + 3)),
        (only(breadth=4), DEAD_END, 0),
        (only(junction=6), HALFWAY, 6 * 2 / (1 + 2)),
        (only(junction=6), QUESTION, 0),
        (DagReward(), HALFWAY, 0.5 / 3 + 0.5 / 3),
    ],
)
def test_score_of_a_node(weights, facts, score):
    assert node_score(facts, weights) == pytest.approx(score)


def test_a_step_earns_the_difference_of_scores():
    assert reward(step(HALFWAY, QUESTION), only(answer=1)) == pytest.approx(1 / 3 - 1 / 4)
    assert reward(step(DEAD_END, HALFWAY), only(answer=1)) == pytest.approx(-1 / 3)


def test_going_back_is_judged_by_what_was_left():
    weights = only(leave_dead_end=0.2, leave_good_branch=0.3)
    assert reward(step(SOLVED, HALFWAY, left=DEAD_END, backtracks=True), weights) == pytest.approx(0.2)
    assert reward(step(SOLVED, DEAD_END, left=DEAD_END, backtracks=True), weights) == 0
    assert reward(step(DEAD_END, QUESTION, left=HALFWAY, backtracks=True), weights) == pytest.approx(-0.3)
    assert reward(step(SOLVED, HALFWAY, left=None, backtracks=True), weights) == 0


def test_a_detour_earns_back_what_it_lost_and_no_more():
    weights = DagReward(leave_good_branch=0)
    straight = [step(HALFWAY, QUESTION), step(SOLVED, HALFWAY)]
    detour = [
        step(DEAD_END, QUESTION),
        step(DEAD_END, DEAD_END),
        step(DEAD_END, DEAD_END, left=DEAD_END, backtracks=True),
        step(HALFWAY, QUESTION, left=DEAD_END, backtracks=True),
        step(SOLVED, HALFWAY),
    ]
    assert sum(step_rewards(detour, weights)) == pytest.approx(sum(step_rewards(straight, weights)))


def test_an_unsound_step_costs_what_broken_says_and_earns_nothing():
    weights = DagReward(broken=0.7)
    for facts in (None, SOLVED):
        assert reward(step(facts, QUESTION, sound=False), weights) == -0.7
    assert reward(step(None, QUESTION, left=DEAD_END, backtracks=True, sound=False), weights) == -0.7


def test_a_new_node_earns_nothing():
    assert reward(step(None, HALFWAY), DagReward()) == 0
    assert reward(step(HALFWAY, None), DagReward()) == 0


def test_a_repeated_step_costs_the_charge_even_where_it_leads_somewhere_good():
    weights = DagReward(repeat=0.5)
    assert reward(step(SOLVED, HALFWAY, repeated=True), weights) == -0.5
    worse = reward(step(DEAD_END, HALFWAY, repeated=True), weights)
    assert worse == pytest.approx(-0.5 - node_score(HALFWAY, weights))


def test_rewards_are_parallel_to_steps():
    steps = [step(HALFWAY, QUESTION), step(None, None, sound=False), step(DEAD_END, HALFWAY)]
    assert step_rewards(steps, DagReward()) == [reward(one, DagReward()) for one in steps]
    assert step_rewards([], DagReward()) == []


DISTANCE = st.integers(0, 9)
FACTS = st.builds(NodeFacts, DISTANCE, DISTANCE, DISTANCE, st.one_of(st.none(), DISTANCE))
WEIGHT = st.floats(0, 2)
WEIGHTS = st.builds(
    DagReward,
    answer=WEIGHT,
    progress=WEIGHT,
    breadth=WEIGHT,
    junction=WEIGHT,
    leave_dead_end=WEIGHT,
    leave_good_branch=WEIGHT,
    repeat=WEIGHT,
    broken=WEIGHT,
)


@given(st.lists(FACTS, min_size=1, max_size=8), WEIGHTS)
def test_a_closed_walk_earns_nothing_from_potentials(nodes, weights):
    walk = [*nodes, nodes[0]]
    steps = [step(after, before) for before, after in pairwise(walk)]
    assert sum(step_rewards(steps, weights)) == pytest.approx(0, abs=1e-9)


@given(st.lists(FACTS, min_size=2, max_size=8), WEIGHTS)
def test_an_open_walk_earns_what_its_end_is_better_than_its_start(nodes, weights):
    steps = [step(after, before) for before, after in pairwise(nodes)]
    gained = node_score(nodes[-1], weights) - node_score(nodes[0], weights)
    assert sum(step_rewards(steps, weights)) == pytest.approx(gained, abs=1e-9)


MAYBE = st.one_of(st.none(), FACTS)


@given(MAYBE, MAYBE, MAYBE, st.booleans(), st.booleans(), WEIGHTS)
def test_a_repeated_step_never_pays(facts, start, left, backtracks, sound, weights):
    one = step(facts, start, left=left, backtracks=backtracks, repeated=True, sound=sound)
    assert reward(one, weights) <= 0


def test_the_search_goes_on_standing_at_the_last_known_node():
    new = step(None, HALFWAY)
    after = step(SOLVED, None)
    weights = only(answer=6)
    # Question 6 / 4, halfway 6 / 3, solved 6 / 2: what the new node hides is paid at the next known one.
    assert step_rewards([step(HALFWAY, None), new, after], weights, QUESTION) == pytest.approx([0.5, 0, 1])


def test_the_reward_of_the_path_is_the_mean_score_of_its_steps():
    weights = only(answer=6, path=0.5)
    # Scores 2, 0 and 3.
    steps = [step(HALFWAY, QUESTION), step(DEAD_END, HALFWAY), step(SOLVED, HALFWAY)]
    assert path_reward(steps, weights) == pytest.approx(0.5 * (2 + 0 + 3) / 3)
    # A new node does not count; a repeated or unsound step counts as nothing.
    assert path_reward([*steps, step(None, SOLVED)], weights) == pytest.approx(0.5 * 5 / 3)
    assert path_reward([*steps, step(SOLVED, SOLVED, repeated=True)], weights) == pytest.approx(0.5 * 5 / 4)
    assert path_reward([*steps, step(SOLVED, None, sound=False)], weights) == pytest.approx(0.5 * 5 / 4)
    assert path_reward([], weights) == path_reward([step(None, None)], weights) == 0


def test_without_a_weight_the_path_says_nothing():
    assert path_reward([step(HALFWAY, QUESTION)], DagReward()) is None
