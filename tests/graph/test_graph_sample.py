from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from graph_cases import PROBLEM, random_graph, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from steiner.core import Move, NodeFacts, Problem, ReasoningPath, Step, StepEdge, StepGraph, Trace
from steiner.graph import (
    Routes,
    SampleSettings,
    Shortfall,
    build_graph,
    sample_paths,
    state_labels,
)
from steiner.graph.walk import SearchSpace


def ask(**values: Any) -> SampleSettings:
    return SampleSettings.model_validate({"paths_per_question": 1, **values})


def build(*traces: Trace) -> StepGraph:
    return build_graph(PROBLEM, traces, state_labels(traces))


def on_route(path: ReasoningPath) -> list[int]:
    route = [len(path.steps) - 1]
    while path.parents[route[-1]] >= 0:
        route.append(path.parents[route[-1]])
    return route[::-1]


def detours_of(path: ReasoningPath) -> list[list[int]]:
    """Return the positions of each detour: it begins below the route and ends where the next one begins."""
    route = set(on_route(path))
    detours: list[list[int]] = []
    for i, parent in enumerate(path.parents):
        if i in route:
            continue
        if parent in route or parent < 0:
            detours.append([])
        detours[-1].append(i)
    return detours


class PlainWriter:
    """Changes nothing."""

    def answer(self, problem: Problem, route: Any, candidates: Any) -> str:
        return str(candidates[0])

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        return step

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        return step


@st.composite
def cases(draw: st.DrawFn) -> tuple[StepGraph, SampleSettings]:
    graph = random_graph(
        draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 99)),
        density=draw(st.sampled_from([0.3, 0.7, 1.0])), leaves=draw(st.integers(0, 3)),
    )  # fmt: skip
    weights = st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any)
    return graph, ask(
        detours=draw(weights),
        descents=draw(weights),
        depths=draw(st.one_of(st.just(()), weights)),
        longer_ways=draw(st.sampled_from([0, 0.5, 1])),
        routes=draw(st.sampled_from(["uniform", "traces"])),
        max_steps=draw(st.integers(1, 15)),
        min_backtracks=draw(st.integers(0, 2)),
        seed=draw(st.integers(0, 9)),
    )


@settings(max_examples=120, deadline=None)
@given(cases())
def test_what_holds_for_every_path(case: tuple[StepGraph, SampleSettings]) -> None:
    graph, wish = case
    sampled = sample_paths(PROBLEM, graph, wish, count=12, writer=PlainWriter())
    space = SearchSpace(graph)
    for path in sampled.paths:
        nodes = [graph.index_of[node] for node in path.nodes]
        assert len(set(nodes)) == len(nodes) <= wish.max_steps
        assert path.backtracks >= wish.min_backtracks
        for node, parent, step in zip(nodes, path.parents, path.steps, strict=True):
            above = 0 if parent < 0 else nodes[parent]
            edge = next(e for e in graph.out_edges[above] if e.target == node)
            assert step in [graph.nodes[node].wordings[w] for w in edge.wordings]
        route = on_route(path)
        assert any(e.target == graph.answer_index for e in graph.out_edges[nodes[-1]])
        detours = detours_of(path)
        assert len(detours) < len(wish.detours)
        assert wish.detours[len(detours)]
        for detour in detours:
            assert all(graph.facts[nodes[i]].d_e != 1 for i in detour), (
                "a detour may not stand before the answer"
            )
            assert wish.longer_ways or all(graph.facts[nodes[i]].d_e is None for i in detour)
            depth: dict[int, int] = {}
            for i in detour:
                depth[i] = depth.get(path.parents[i], 0) + 1
            assert max(depth.values()) <= (len(wish.depths) or len(nodes))
            turns = [i for i in detour if i + 1 not in detour or path.parents[i + 1] != i]
            assert len(turns) <= len(wish.descents)
            for i in turns:
                assert space.is_end[nodes[i]] or wish.depths, "a detour ends only where the search is stuck"
        assert route[-1] == len(nodes) - 1
    reads = {(path.steps, path.moves, path.answer) for path in sampled.paths}
    assert len(reads) == len({path.id for path in sampled.paths}) == len(sampled.paths)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(0, 8))
def test_asking_for_more_never_changes_what_came_before(
    case: tuple[StepGraph, SampleSettings], fewer: int
) -> None:
    graph, wish = case
    many = sample_paths(PROBLEM, graph, wish, count=12)
    few = sample_paths(PROBLEM, graph, wish, count=fewer)
    assert few.paths == many.paths[:fewer]
    assert sample_paths(PROBLEM, graph, wish, count=12) == many


def test_another_seed_gives_other_paths() -> None:
    graph = random_graph(5, 3)
    first, second = (sample_paths(PROBLEM, graph, ask(seed=seed), count=20).paths for seed in (1, 2))
    assert {path.id for path in first} != {path.id for path in second}


def test_the_number_of_detours_follows_its_weights() -> None:
    graph = random_graph(6, 4, density=1.0, leaves=3)
    paths = sample_paths(PROBLEM, graph, ask(detours=(1, 2, 0, 1)), count=2000).paths
    counts = Counter(len(detours_of(path)) for path in paths)
    assert set(counts) == {0, 1, 3}
    assert chisquare([counts[0], counts[1], counts[3]], [500, 1000, 500]).pvalue > 0.01


def test_the_depth_of_detours_follows_its_weights() -> None:
    """One long dead branch: how deep it is followed is what was asked for."""
    route = [trace(" ".join(f"r{i}" for i in range(2)))]
    dead = [trace(f"d{k}-0 d{k}-1 d{k}-2 d{k}-3", "w") for k in range(1000)]
    paths = sample_paths(
        PROBLEM, build(*route, *dead), ask(detours=(0, 1), depths=(1, 0, 3), descents=(1,)), count=200
    ).paths
    counts = Counter(len(path.steps) - 2 for path in paths)
    assert set(counts) == {1, 3}
    assert chisquare([counts[1], counts[3]], [50, 150]).pvalue > 0.01


def test_a_detour_explores_depth_first() -> None:
    """Below `x` lie two dead leaves: both are tried before the path goes back to the route."""
    graph = build(trace("a b"), trace("a x y", "w"), trace("a x z", "w"))
    sampled = sample_paths(PROBLEM, graph, ask(detours=(0, 1), descents=(0, 1)), count=2)
    assert {tuple(step.name for step in path.steps) for path in sampled.paths} == {
        ("a", "x", "y", "z", "b"),
        ("a", "x", "z", "y", "b"),
    }
    assert {path.parents for path in sampled.paths} == {(-1, 0, 1, 1, 0)}
    assert all([move.value[0] for move in path.moves] == list("ppbb") for path in sampled.paths)


def test_routes_are_all_used_before_any_is_used_again() -> None:
    graph = random_graph(4, 3, seed=1)
    count = Routes(graph).count
    paths = sample_paths(PROBLEM, graph, ask(detours=(0, 1)), count=count).paths
    assert len({tuple(path.nodes[i] for i in on_route(path)) for path in paths}) == count


def test_a_question_says_why_it_has_no_more() -> None:
    def shortfall(graph: StepGraph, **values: Any) -> tuple[int, Shortfall | None]:
        sampled = sample_paths(PROBLEM, graph, ask(**values), count=50)
        return len(sampled.paths), sampled.shortfall

    assert shortfall(build()) == (0, Shortfall.NO_ROUTE)
    assert shortfall(build(trace("a b", "w"))) == (0, Shortfall.NO_ROUTE)
    assert shortfall(build(trace("a b c")), max_steps=2) == (0, Shortfall.TOO_LONG)
    assert shortfall(build(trace("a b c")), detours=(1, 1)) == (1, Shortfall.NO_DEAD_END)
    assert shortfall(build(trace("a"))) == (1, Shortfall.NO_DEAD_END)
    assert shortfall(build(trace("a b"), trace("x", "w")), detours=(1, 1)) == (2, Shortfall.EXHAUSTED)
    assert shortfall(random_graph(5, 3)) == (50, None)


def test_a_graph_in_which_the_answer_is_unreachable_gives_nothing() -> None:
    graph = build(trace("a b"))
    cut = graph.model_copy(update={"edges": graph.edges[1:]})
    cut = StepGraph.model_validate(cut.model_dump())
    assert cut.facts[1].d_s is None
    assert sample_paths(PROBLEM, cut, ask(), count=5) == ((), Shortfall.NO_ROUTE)


def test_a_route_without_a_step_is_passed_over() -> None:
    graph = build(trace("a b"), trace("x", "w"))
    short = StepEdge(source=0, target=graph.answer_index or 0, wordings=(0,))
    graph = StepGraph(problem_id=PROBLEM.id, nodes=graph.nodes, edges=(*graph.edges, short))
    sampled = sample_paths(PROBLEM, graph, ask(detours=(1, 1)), count=9)
    assert {tuple(step.name for step in path.steps) for path in sampled.paths} == {
        ("a", "b"),
        ("x", "a", "b"),
    }


def test_longer_ways_are_left_only_when_allowed() -> None:
    graph = build(trace("a b c d"), trace("a d"))
    assert sample_paths(PROBLEM, graph, ask(detours=(0, 1)), count=5).shortfall is Shortfall.NO_DEAD_END
    wish = ask(detours=(0, 1), longer_ways=1.0, depths=(0, 1))
    path = sample_paths(PROBLEM, graph, wish, count=1).paths[0]
    assert [step.name for step in path.steps] == ["a", "b", "c", "d"]
    assert path.parents == (-1, 0, 1, 0)


def test_traces_with_backtracks_are_taken_as_they_are_and_only_once() -> None:
    told, plain, again = trace("a x b<0"), trace("a b"), trace("a x a<-1 b")
    graph = build(told, plain, again)
    taken = sample_paths(PROBLEM, graph, ask(), count=50, traces=[told, plain, again])
    first = taken.paths[0]
    assert first.steps == tuple(item.step for item in told.steps)
    assert first.moves == (Move.PROCEED, Move.BACKTRACK)
    assert [graph.nodes[graph.index_of[node]].state for node in first.nodes] == ["a", "x", "b"]
    assert len({(path.nodes, path.moves) for path in taken.paths}) == len(taken.paths) == 2
    without = sample_paths(PROBLEM, graph, ask(include_traces=False), count=50, traces=[told])
    assert first.id not in {path.id for path in without.paths}


def test_answers_fit_the_last_step() -> None:
    graph = build(trace("a", "r", "six sevens are 42"), trace("b", "r", "42, of course"))
    answers = {
        path.steps[-1].name: path.answer for path in sample_paths(PROBLEM, graph, ask(), count=2).paths
    }
    assert answers == {"a": "six sevens are 42", "b": "42, of course"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"detours": ()}, "at least one weight"),
        ({"detours": (0, 0)}, "more than 0"),
        ({"depths": (-1,)}, "not negative"),
        ({"descents": (float("nan"),)}, "finite"),
        ({"paths": 5}, "either paths"),
        ({"paths_per_question": None}, "either paths"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ask(**values)


def test_steps_before_a_backtrack_and_no_others_are_rewritten() -> None:
    graph = random_graph(4, 3)
    for path in sample_paths(PROBLEM, graph, ask(), count=30).paths:
        for step, move in zip(path.steps, path.moves, strict=False):
            assert (step.reflection != "go on") == (move is Move.BACKTRACK)
        assert path.steps[-1].reflection == "go on"


def test_as_many_detours_as_there_are_dead_ends_can_be_had() -> None:
    """Drawn places that are used up are exchanged for others, so one draw is enough."""
    graph = build(trace("a b c"), trace("x", "w"), *[trace(f"a y{i}", "w") for i in range(5)])
    sampled = sample_paths(PROBLEM, graph, ask(detours=(0, 0, 0, 0, 0, 0, 1)), slots=8)
    assert len(sampled.paths) == 8
    assert all(len(detours_of(path)) == 6 for path in sampled.paths)
    assert not sample_paths(PROBLEM, graph, ask(detours=(0,) * 7 + (1,)), slots=8).paths
