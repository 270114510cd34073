from __future__ import annotations

import random

import pytest
from graph_cases import PROBLEM, say, trace, traces_and_labels
from hypothesis import given, settings

from steiner.core import InputError, NodeKind, Problem, StepGraph, Trace, Verdict
from steiner.graph import (
    answer_key,
    build_graph,
    locate,
    right_node_id,
    state_labels,
    state_node_id,
    statistics,
    value,
)


def build(*traces: Trace) -> StepGraph:
    return build_graph(PROBLEM, traces, state_labels(traces))


def named(graph: StepGraph) -> dict[str, int]:
    return {node.state: i for i, node in enumerate(graph.nodes) if node.state is not None}


def arrows(graph: StepGraph) -> set[tuple[str, str]]:
    names = [node.state or node.kind.value for node in graph.nodes]
    return {(names[e.source], names[e.target]) for e in graph.edges}


def test_edges_follow_parents_not_lines() -> None:
    graph = build(trace("a b c<0"))
    assert arrows(graph) == {("question", "a"), ("a", "b"), ("a", "c"), ("c", "right")}


def test_equal_states_are_one_node_whose_edges_keep_their_own_wordings() -> None:
    first, second = trace("a c"), trace("b c")
    other = second.steps[1].model_copy(update={"step": say("another way to c")})
    second = second.model_copy(update={"steps": (second.steps[0], other)})
    graph = build(first, second)
    place = named(graph)
    assert [step.name for step in graph.nodes[place["c"]].wordings] == ["another way to c", "c"]
    used = {
        graph.nodes[e.source].state: [graph.nodes[e.target].wordings[w].name for w in e.wordings]
        for e in graph.edges
        if e.target == place["c"]
    }
    assert used == {"a": ["c"], "b": ["another way to c"]}


def test_distances_degrees_and_dead_ends() -> None:
    graph = build(trace("a b c"), trace("a c"), trace("a d", "w"), trace("e", "u"))
    fact = {name: graph.facts[i] for name, i in named(graph).items()}
    assert graph.facts[0] == (0, 2, 0, 3)
    assert fact["a"] == (1, 3, 1, 2)
    assert fact["b"] == (1, 1, 2, 2)
    assert fact["c"] == (2, 1, 2, 1)
    assert fact["d"] == (1, 1, 2, None)
    assert fact["e"] == (1, 0, 1, None)
    assert graph.facts[graph.answer_index or 0] == (1, 0, 3, 0)
    assert statistics(graph) == (4, 5, 8, 2, 2, 1, True, 2)


def test_a_branch_given_up_on_the_way_to_a_right_answer_is_not_worth_anything() -> None:
    graph = build(trace("a b c<0"), trace("a b", "w"))
    worth = {name: value(graph.nodes[i]) for name, i in named(graph).items()}
    assert worth == {"a": 0.5, "b": 0.0, "c": 1.0}
    assert (graph.nodes[0].traces, graph.nodes[0].right) == (2, 1)


def test_right_answers_are_one_node_and_wrong_ones_are_told_apart() -> None:
    graph = build(
        trace("a", "r", "42"), trace("a", "r", "It is 42."), trace("a", "w", "41"), trace("b", "w", " 41. "),
        trace("a", "w", "40"),
    )  # fmt: skip
    right = graph.nodes[graph.answer_index or 0]
    assert right.answers == ("42", "It is 42.")
    wrong = {node.answers for node in graph.nodes if node.kind is NodeKind.WRONG}
    assert wrong == {("40",), (" 41. ", "41")}


@pytest.mark.parametrize(
    ("one", "other"), [("Yes", " yes. "), ("（B）", "(b)"), ("１２", "12"), ("...", "...")]
)
def test_equal_answers_share_a_key(one: str, other: str) -> None:
    assert answer_key(one) == answer_key(other)


def test_a_step_in_its_parents_node_collapses() -> None:
    graph = build(trace("a a b"))
    assert arrows(graph) == {("question", "a"), ("a", "b"), ("b", "right")}


def test_only_the_labels_of_a_cycle_are_split_and_joined_again_where_they_can() -> None:
    """`a` and `b` in both orders: one of them stays whole, the other becomes two nodes."""
    graph = build(trace("a b"), trace("b a"), trace("c d"), trace("d e c", "w"))
    states = sorted(node.state or "" for node in graph.nodes if node.kind is NodeKind.STEP)
    assert len(states) == len({"a", "b", "c", "d", "e"}) + 2
    assert states.count("e") == 1


def test_a_trace_that_comes_back_gets_a_second_node() -> None:
    graph = build(trace("a b a c"))
    assert [node.state for node in graph.nodes if node.kind is NodeKind.STEP] == ["a", "b", "a", "c"]
    assert graph.nodes[1].id == state_node_id(PROBLEM.id, "a")
    assert graph.nodes[3].id not in (graph.nodes[1].id, graph.nodes[2].id)


def test_ids_stay_when_traces_come() -> None:
    before, after = build(trace("a b")), build(trace("a b"), trace("c d", "w"), trace("a e b"))
    assert {node.id for node in before.nodes} <= {node.id for node in after.nodes}
    assert state_node_id(PROBLEM.id, "a") in after.index_of
    assert after.nodes[after.answer_index or 0].id == right_node_id(PROBLEM.id)


def test_no_traces_give_the_question_alone() -> None:
    empty = trace("", "u")
    for graph in (build(), build(empty)):
        assert [node.kind for node in graph.nodes] == [NodeKind.QUESTION]
        assert statistics(graph) == (0, 0, 0, 0, 0, 0, False, 0)


def test_bad_input_is_refused() -> None:
    one = trace("a")
    with pytest.raises(ValueError, match="as many rows of labels"):
        build_graph(PROBLEM, [one], ())
    with pytest.raises(ValueError, match="zip"):
        build_graph(PROBLEM, [one], (("a", "b"),))
    with pytest.raises(ValueError, match="belongs to problem"):
        build_graph(Problem(question="another", answer="42"), [one], (("a",),))
    stateless = one.model_copy(update={"steps": (one.steps[0].model_copy(update={"state": None}),)})
    with pytest.raises(InputError, match="--cluster text"):
        state_labels([stateless])


@settings(max_examples=150, deadline=None)
@given(traces_and_labels())
def test_any_labels_give_the_same_acyclic_graph_in_any_order(
    case: tuple[list[Trace], list[list[str]]],
) -> None:
    """`StepGraph` itself checks that every edge points forward and every id is unique."""
    traces, labels = case
    graph = build_graph(PROBLEM, traces, tuple(map(tuple, labels)))
    order = list(range(len(traces)))
    random.Random(0).shuffle(order)
    again = build_graph(PROBLEM, [traces[i] for i in order], tuple(tuple(labels[i]) for i in order))
    assert again == graph
    used = [t for t in traces if t.steps]
    assert graph.nodes[0].traces == len(used)
    assert graph.nodes[0].right == sum(t.verdict is Verdict.RIGHT for t in used)
    assert all(node.right <= node.traces for node in graph.nodes)
    assert all(fact.d_s is not None for fact in graph.facts)
    texts = {item.step for t in used for item in t.steps}
    assert {step for node in graph.nodes for step in node.wordings} == texts
    assert StepGraph.model_validate_json(graph.model_dump_json()) == graph


@settings(max_examples=100, deadline=None)
@given(traces_and_labels())
def test_every_trace_is_found_again_in_its_graph(case: tuple[list[Trace], list[list[str]]]) -> None:
    traces, _ = case
    graph = build_graph(PROBLEM, traces, state_labels(traces))
    for one in traces:
        places = locate(graph, one)
        assert places is not None
        for place, item in zip(places, one.steps, strict=True):
            assert item.step in graph.nodes[place].wordings
            above = 0 if item.parent < 0 else places[item.parent]
            assert place == above or any(e.target == place for e in graph.out_edges[above])


def test_of_two_nodes_with_the_same_words_the_one_is_found_from_which_the_trace_goes_on() -> None:
    """`c` had to be split, and `f` leads to both parts of it."""
    traces = [trace("a f<-1 c<1 a<2 a<3"), trace("a a a"), trace("a a c"), trace("b f c b a")]
    graph = build(*traces)
    places = locate(graph, traces[0])
    assert places is not None
    assert [graph.nodes[place].state for place in places] == ["a", "f", "c", "a", "a"]
    assert places[3] == places[4]


def test_a_step_that_the_graph_never_saw_is_not_found() -> None:
    assert locate(build(trace("a b")), trace("a c")) is None
