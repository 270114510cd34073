"""Systematic walks over random graphs of Countdown and hand-made ones."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import Problem, StepGraph
from steiner.graph import SampleSettings, build_graph, sample_paths, state_labels
from steiner.graph.settings import BranchOrder
from steiner.graph.sweep import full_sweep, operands_rank, text_rank, ways_on
from steiner.problems.countdown import Limits, make_problem, outcomes
from steiner.problems.grading import grade
from steiner.synthesis import SynthesisSettings, synthesise
from steiner.teacher import CountdownWriter, SymbolicCountdownTeacher

LIMITS = Limits(max_result=30)


def graph_of(numbers: tuple[int, ...], seed: int) -> tuple[Problem, StepGraph]:
    target = random.Random(seed).choice(sorted(outcomes(tuple(sorted(numbers)), LIMITS)))
    problem = make_problem(numbers, target, LIMITS)
    chosen = SynthesisSettings(truncations=12, cut="early", max_attempt_steps=16)
    traces = synthesise(
        problem, SymbolicCountdownTeacher(2.0), lambda p, a: grade(p, a).right, chosen, random.Random(seed)
    )
    return problem, build_graph(problem, traces, state_labels(traces))


NUMBERS = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.integers(0, 9))
def test_a_sweep_is_in_order_and_ends_at_the_first_right_answer(numbers, seed):
    _, graph = graph_of(numbers, seed)
    walk = full_sweep(graph)
    assert walk is not None
    assert len(set(walk.nodes)) == len(walk.nodes)
    leads = [any(e.target == graph.answer_index for e in graph.out_edges[node]) for node in walk.nodes]
    assert leads == [False] * (len(leads) - 1) + [True]
    for parent in set(walk.parents):
        source = 0 if parent < 0 else walk.nodes[parent]
        edges = {e.target: e for e in graph.out_edges[source]}
        below = [node for node, above in zip(walk.nodes, walk.parents, strict=True) if above == parent]
        ranks = [min(text_rank(graph.nodes[n].wordings[w].thought) for w in edges[n].wordings) for n in below]
        assert all(before <= after for before, after in pairwise(ranks))


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.integers(0, 9))
def test_paths_are_the_sweep_with_branches_left_out(numbers, seed):
    problem, graph = graph_of(numbers, seed)
    whole = full_sweep(graph)
    assert whole is not None
    ids = [graph.nodes[node].id for node in whole.nodes]
    chosen = SampleSettings(
        paths_per_question=8, order=BranchOrder.SORTED, detours=(1, 1, 1, 5), include_traces=False
    )
    sampled = sample_paths(problem, graph, chosen, count=8, writer=CountdownWriter())
    assert sampled.paths
    assert len({path.id for path in sampled.paths}) == len(sampled.paths)
    for path in sampled.paths:
        places = [ids.index(node) for node in path.nodes]
        assert places == sorted(places)
        assert places[-1] == len(ids) - 1
        assert grade(problem, path.answer).right


@pytest.mark.parametrize(
    "texts", [["2 + 9 = 11", "2 + 10 = 12", "10 - 2 = 8"], ["", "a", "a 2", "a 10", "a b", "1"]]
)
def test_texts_sort_with_numbers_by_value(texts):
    mixed = random.Random(0).sample(texts, len(texts))
    assert sorted(mixed, key=text_rank) == texts
    assert text_rank("2 + 9 = 11") < text_rank("2 + 10 = 12") < text_rank("10 - 2 = 8")


def test_a_graph_without_a_right_answer_gives_no_sweep():
    problem = make_problem((1, 2, 3), 6)
    assert full_sweep(build_graph(problem, [], ())) is None


@settings(max_examples=20, deadline=None)
@given(NUMBERS, st.integers(0, 9))
def test_without_weights_all_branches_are_kept(numbers, seed):
    problem, graph = graph_of(numbers, seed)
    whole = full_sweep(graph)
    assert whole is not None
    wanted = SampleSettings(
        paths_per_question=3, order=BranchOrder.SORTED, detours=(), include_traces=False, max_steps=200
    )
    paths = sample_paths(problem, graph, wanted, count=3, writer=CountdownWriter()).paths
    assert [path.nodes for path in paths] == [tuple(graph.nodes[node].id for node in whole.nodes)]


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.integers(0, 9), st.integers(0, 20))
def test_a_rotated_sweep_goes_round_from_its_start(numbers, seed, start):
    _, graph = graph_of(numbers, seed)
    ways = [way.target for way in ways_on(graph, 0)]
    start %= len(ways)
    walk = full_sweep(graph, start)
    assert walk is not None
    tops = [node for node, parent in zip(walk.nodes, walk.parents, strict=True) if parent < 0]
    # A way on may have been met below an earlier one; those that are left keep their order.
    turned = ways[start:] + ways[:start]
    assert tops[0] == turned[0]
    assert tops == [way for way in turned if way in tops]
    assert any(edge.target == graph.answer_index for edge in graph.out_edges[walk.nodes[-1]])


def test_rotation_gives_one_path_for_each_start():
    problem, graph = graph_of((3, 5, 9), 1)
    ways = [graph.nodes[way.target].id for way in ways_on(graph, 0)]
    wanted = SampleSettings(
        paths_per_question=50, order=BranchOrder.SORTED, rotate=True, detours=(), include_traces=False
    )
    paths = sample_paths(problem, graph, wanted, count=50, writer=CountdownWriter()).paths
    assert sorted(path.nodes[0] for path in paths) == sorted(ways)
    assert all(grade(problem, path.answer).right for path in paths)


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.integers(0, 9), st.integers(0, 20))
def test_a_sweep_with_revisits_takes_every_step_pair_by_pair(numbers, seed, start):
    problem, graph = graph_of(numbers, seed)
    count = len(ways_on(graph, 0, BranchOrder.OPERANDS, each_thought=True))
    walk = full_sweep(graph, start % count, BranchOrder.OPERANDS, revisit=True)
    assert walk is not None
    steps = [graph.nodes[n].wordings[w[0]] for n, w in zip(walk.nodes, walk.wordings, strict=True)]
    children: dict[int, list[int]] = {}
    for place, parent in enumerate(walk.parents):
        children.setdefault(parent, []).append(place)
    for parent, places in children.items():
        source = 0 if parent < 0 else walk.nodes[parent]
        ways = ways_on(graph, source, BranchOrder.OPERANDS, each_thought=True)
        all_thoughts = [graph.nodes[way.target].wordings[way.wordings[0]].thought for way in ways]
        assert all_thoughts == sorted(set(all_thoughts), key=operands_rank)
        turn = start % count if parent < 0 else 0
        turned = all_thoughts[turn:] + all_thoughts[:turn]
        # Nothing is left out before the step that ends the search.
        assert [steps[place].thought for place in places] == turned[: len(places)]
        searched = places[-1] != len(steps) - 1 and len(steps) - 1 not in children.get(places[-1], [])
        assert not searched or len(places) == len(turned)
    wanted = SampleSettings(
        paths_per_question=3, order=BranchOrder.OPERANDS, revisit=True, detours=(), include_traces=False,
        max_steps=200,
    )  # fmt: skip
    (path,) = sample_paths(problem, graph, wanted, count=3, writer=CountdownWriter()).paths
    assert grade(problem, path.answer).right
    if start % count == 0:
        assert [step.thought for step in path.steps] == [step.thought for step in steps]


def test_a_sweep_with_revisits_ends_where_branches_double(monkeypatch):
    _, graph = graph_of((3, 5, 9), 1)
    walk = full_sweep(graph, order=BranchOrder.OPERANDS, revisit=True)
    assert walk is not None
    monkeypatch.setattr("steiner.graph.sweep.MOST_STEPS", len(walk.nodes))
    assert full_sweep(graph, order=BranchOrder.OPERANDS, revisit=True) == walk
    monkeypatch.setattr("steiner.graph.sweep.MOST_STEPS", len(walk.nodes) - 1)
    assert full_sweep(graph, order=BranchOrder.OPERANDS, revisit=True) is None
    assert full_sweep(graph) is not None


def test_what_can_be_done_with_two_numbers_comes_together():
    texts = ["3 * 5 = 15", "3 + 5 = 8", "5 - 3 = 2", "3 + 9 = 12", "9 / 3 = 3", "5 + 9 = 14"]
    assert sorted(random.Random(0).sample(texts, len(texts)), key=operands_rank) == texts
    assert sorted(texts, key=text_rank) != texts


@pytest.mark.parametrize("name", ["rotate", "revisit"])
def test_what_needs_an_order_says_so(name):
    with pytest.raises(ValueError, match=name):
        SampleSettings(paths_per_question=1, **{name: True})
