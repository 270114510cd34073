"""Weighted routes against the formulas of docs/graphs.md, worked out by enumeration."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import networkx
import pytest
from graph_cases import PROBLEM, random_graph, trace, traces_and_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from steiner.core import StepGraph, Trace
from steiner.graph import RouteChoice, Routes, SampleSettings, build_graph, sample_paths, state_labels
from steiner.graph.weigh import RouteDrawer, Weights, branch_weights


def build(*traces: Trace) -> StepGraph:
    return build_graph(PROBLEM, traces, state_labels(traces))


def ask(choice: RouteChoice, **values: Any) -> SampleSettings:
    return SampleSettings.model_validate({"paths_per_question": 1, "routes": choice, **values})


def enumerated(graph: StepGraph) -> list[tuple[int, ...]]:
    oracle = networkx.DiGraph((e.source, e.target) for e in graph.edges)
    return [tuple(route) for route in networkx.all_simple_paths(oracle, 0, graph.answer_index)]


def probability(routes: Routes, weights: Weights, route: tuple[int, ...]) -> float:
    likely = 1.0
    for node, after in pairwise(route):
        likely *= weights[node][routes.onward[node].index(after)] / sum(weights[node])
    return likely


def by_formula(graph: StepGraph, choice: RouteChoice, factor: float) -> dict[tuple[int, ...], float]:
    """Return the probability of each route, from the definition and a list of all routes."""
    every = enumerated(graph)
    if choice in (RouteChoice.LENGTH, RouteChoice.UNIFORM):
        weight = [factor ** len(route) if choice is RouteChoice.LENGTH else 1.0 for route in every]
        return {route: w / sum(weight) for route, w in zip(every, weight, strict=True)}
    followers: dict[int, set[int]] = {}
    for route in every:
        for node, after in pairwise(route):
            followers.setdefault(node, set()).add(after)
    edge_traces = {(e.source, e.target): e.traces for e in graph.edges}

    def weigh(node: int, after: int) -> float:
        if choice is RouteChoice.TRACES:
            return edge_traces[node, after]
        return (graph.nodes[after].right + 1) / (graph.nodes[after].traces + 2)

    found = {}
    for route in every:
        likely = 1.0
        for node, after in pairwise(route):
            likely *= weigh(node, after) / sum(weigh(node, other) for other in followers[node])
        found[route] = likely
    return found


FIXED = [RouteChoice.UNIFORM, RouteChoice.TRACES, RouteChoice.VALUE, RouteChoice.LENGTH]


@settings(max_examples=80, deadline=None)
@given(traces_and_labels(), st.sampled_from(FIXED), st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_every_route_is_as_likely_as_its_formula_says(
    case: tuple[list[Trace], list[list[str]]], choice: RouteChoice, factor: float
) -> None:
    traces, labels = case
    graph = build_graph(PROBLEM, traces, tuple(map(tuple, labels)))
    if graph.answer_index is None:
        return
    routes = Routes(graph)
    weights = branch_weights(routes, choice, factor)
    wanted = by_formula(graph, choice, factor)
    assert wanted
    for route, likely in wanted.items():
        assert probability(routes, weights, route) == pytest.approx(likely, rel=1e-9)


RICH = (
    trace("a c"), trace("a d c"), trace("a c e"), trace("b"), trace("b c", "w"), trace("a d", "w"),
    *[trace("x", "w")] * 5,
)  # fmt: skip


@pytest.mark.parametrize("choice", FIXED)
def test_draws_follow_the_formula(choice: RouteChoice) -> None:
    graph = build(*RICH)
    drawer = RouteDrawer(Routes(graph), ask(choice, length_factor=0.4), Random(3))
    drawn = Counter(tuple(drawer.draw()) for _ in range(5000))
    wanted = by_formula(graph, choice, 0.4)
    assert set(drawn) <= set(wanted)
    assert chisquare([drawn[r] for r in wanted], [5000 * p for p in wanted.values()]).pvalue > 0.01


def test_weights_of_length_work_where_counts_exceed_a_float() -> None:
    """4**600 routes; by factor 1 all are as likely, so each of the four first steps is."""
    routes = Routes(random_graph(600, 4, density=1.0, leaves=0))
    assert routes.count == 4**600
    for choice in (RouteChoice.LENGTH, RouteChoice.UNIFORM):
        weights = branch_weights(routes, choice, 1.0)
        assert weights[0] == pytest.approx((1.0,) * 4)
    drawer = RouteDrawer(routes, ask(RouteChoice.LENGTH, length_factor=0.5), Random(0))
    assert len(drawer.draw()) == 602


def nodes_used(graph: StepGraph, choice: RouteChoice, count: int, seed: int) -> set[str]:
    wish = ask(choice, detours=(1,), seed=seed, include_traces=False)
    return {node for path in sample_paths(PROBLEM, graph, wish, count=count).paths for node in path.nodes}


def test_novelty_reaches_all_nodes_sooner() -> None:
    """6 layers of 6: six paths can visit all 36 steps, uniform draws leave about a third aside."""
    graph = random_graph(6, 6, density=1.0, leaves=0)
    seen = {
        choice: [len(nodes_used(graph, choice, 6, seed)) for seed in range(10)]
        for choice in (RouteChoice.NOVELTY, RouteChoice.UNIFORM)
    }
    assert min(seen[RouteChoice.NOVELTY]) > max(seen[RouteChoice.UNIFORM])


def test_novelty_makes_what_was_used_once_ten_times_less_likely() -> None:
    graph = build(trace("a"), trace("b"))
    routes = Routes(graph)
    firsts = Counter()
    for seed in range(3000):
        drawer = RouteDrawer(routes, ask(RouteChoice.NOVELTY), Random(seed))
        drawer.note(routes.route(0))
        firsts[tuple(drawer.draw())] += 1
    wanted = {tuple(routes.route(0)): 3000 / 11, tuple(routes.route(1)): 30000 / 11}
    assert chisquare([firsts[r] for r in wanted], list(wanted.values())).pvalue > 0.01


@settings(max_examples=40, deadline=None)
@given(traces_and_labels(), st.sampled_from(RouteChoice))
def test_every_choice_gives_all_plain_paths_in_the_end(
    case: tuple[list[Trace], list[list[str]]], choice: RouteChoice
) -> None:
    """Weights decide the order; what they hardly ever draw is found all the same, and nothing twice."""
    traces, _ = case
    graph = build_graph(PROBLEM, traces, state_labels(traces))
    wish = ask(choice, detours=(1,), include_traces=False)
    sampled = sample_paths(PROBLEM, graph, wish, count=10**6)
    routes = enumerated(graph) if graph.answer_index is not None else []
    steps = {tuple(graph.nodes[i].state for i in route[1:-1]) for route in routes}
    reads = [tuple(step.name for step in path.steps) for path in sampled.paths]
    assert len(set(reads)) == len(reads)
    assert set(reads) == {route for route in steps if route}
    assert sampled.shortfall is not None


def test_a_rare_route_comes_up_though_its_weight_is_tiny() -> None:
    graph = build(*[trace("a")] * 400, trace("b c d e f g"))
    wish = ask(RouteChoice.LENGTH, length_factor=0.001, detours=(1,), include_traces=False)
    names = [path.steps[0].name for path in sample_paths(PROBLEM, graph, wish, count=2).paths]
    assert names == ["a", "b"]


def test_without_an_answer_there_is_nothing_to_draw() -> None:
    routes = Routes(build(trace("a b", "w")))
    for choice in RouteChoice:
        with pytest.raises(IndexError):
            RouteDrawer(routes, ask(choice), Random(0)).draw()


def test_the_first_path_of_a_question_is_any_of_its_routes_with_the_same_probability() -> None:
    graph = random_graph(3, 3, seed=4, density=0.8, leaves=0)
    count = Routes(graph).count
    assert count == len(enumerated(graph)) > 8
    drawn = Counter(
        sample_paths(PROBLEM, graph, ask(RouteChoice.UNIFORM, detours=(1,), seed=seed), count=1)
        .paths[0]
        .nodes
        for seed in range(100 * count)
    )
    assert len(drawn) == count
    assert chisquare(list(drawn.values())).pvalue > 0.01
