from __future__ import annotations

from collections import Counter
from random import Random

import networkx
import pytest
from graph_cases import PROBLEM, random_graph, trace, traces_and_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from steiner.core import StepGraph, Trace
from steiner.graph import Routes, build_graph, state_labels
from steiner.graph.count import shuffled


def enumerated(graph: StepGraph) -> list[list[int]]:
    if graph.answer_index is None:
        return []
    oracle = networkx.DiGraph((e.source, e.target) for e in graph.edges)
    return [list(route) for route in networkx.all_simple_paths(oracle, 0, graph.answer_index)]


def check(graph: StepGraph) -> None:
    expected = enumerated(graph)
    routes = Routes(graph)
    assert routes.count == len(expected)
    assert sorted(routes.route(rank) for rank in range(routes.count)) == sorted(expected)
    passed = Counter(node for route in expected for node in route)
    assert routes.through == tuple(passed[i] for i in range(len(graph.nodes)))


@settings(max_examples=100, deadline=None)
@given(traces_and_labels())
def test_counts_and_ranks_agree_with_enumeration(case: tuple[list[Trace], list[list[str]]]) -> None:
    traces, labels = case
    check(build_graph(PROBLEM, traces, tuple(map(tuple, labels))))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_counts_and_ranks_agree_with_enumeration_in_layers(layers: int, width: int, seed: int) -> None:
    check(random_graph(layers, width, seed))


def test_counts_beyond_64_bits_are_exact() -> None:
    routes = Routes(random_graph(50, 4, density=1.0))
    assert routes.count == 4**50
    last = routes.route(routes.count - 1)
    assert len(last) == 52
    assert last != routes.route(0)
    for rank in (-1, routes.count):
        with pytest.raises(IndexError):
            routes.route(rank)


def test_without_an_answer_there_is_nothing_to_draw() -> None:
    traces = [trace("a b", "w")]
    routes = Routes(build_graph(PROBLEM, traces, state_labels(traces)))
    assert routes.count == 0
    with pytest.raises(IndexError):
        routes.draw(Random(0))


def test_draws_are_uniform() -> None:
    routes = Routes(random_graph(4, 3, seed=2, density=0.9))
    rng = Random(11)
    drawn = Counter(tuple(routes.draw(rng)) for _ in range(60 * routes.count))
    assert len(drawn) == routes.count > 20
    assert chisquare(list(drawn.values())).pvalue > 0.01


@given(st.integers(0, 200), st.integers(0, 100))
def test_shuffled_gives_each_number_once(count: int, seed: int) -> None:
    assert sorted(shuffled(count, Random(seed))) == list(range(count))


def test_shuffled_is_uniform_over_orders() -> None:
    orders = Counter(tuple(shuffled(4, Random(seed))) for seed in range(2400))
    assert len(orders) == 24
    assert chisquare(list(orders.values())).pvalue > 0.01


def test_shuffled_needs_no_memory_for_what_it_has_not_reached() -> None:
    stream = shuffled(10**40, Random(1))
    assert len({next(stream) for _ in range(1000)}) == 1000
