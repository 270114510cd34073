"""The numbers of nodes against networkx, enumeration and counting by hand."""

from __future__ import annotations

import networkx
from graph_cases import PROBLEM, random_graph, trace, traces_and_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import NodeKind, StepEdge, StepGraph, StepNode, Trace, Verdict
from steiner.graph import NodeNumbers, build_graph, node_numbers, state_labels


def check(graph: StepGraph) -> None:
    oracle = networkx.DiGraph()
    oracle.add_nodes_from(range(len(graph.nodes)))
    oracle.add_edges_from((e.source, e.target) for e in graph.edges)
    answer = graph.answer_index
    from_question = networkx.single_source_shortest_path_length(oracle, 0)
    to_answer = {} if answer is None else dict(networkx.single_target_shortest_path_length(oracle, answer))
    every = [] if answer is None else list(networkx.all_simple_paths(oracle, 0, answer))
    for i, numbers in enumerate(node_numbers(graph)):
        assert (numbers.e_i, numbers.e_o) == (oracle.in_degree(i), oracle.out_degree(i))
        assert numbers.d_s == from_question.get(i)
        assert numbers.d_e == to_answer.get(i)
        assert numbers.dead_end == (i not in to_answer)
        ways = 0 if answer is None else len(list(networkx.all_simple_paths(oracle, i, answer)))
        assert numbers.routes == (1 if i == answer else ways)
        assert numbers.through == sum(i in route for route in every)
        node = graph.nodes[i]
        assert (numbers.traces, numbers.right) == (node.traces, node.right)
        assert numbers.value == (node.right / node.traces if node.traces else None)


@settings(max_examples=120, deadline=None)
@given(traces_and_labels(), st.booleans())
def test_graphs_of_traces(case: tuple[list[Trace], list[list[str]]], exact: bool) -> None:
    traces, labels = case
    check(build_graph(PROBLEM, traces, state_labels(traces) if exact else tuple(map(tuple, labels))))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_graphs_without_traces(layers: int, width: int, seed: int) -> None:
    graph = random_graph(layers, width, seed)
    check(graph)
    assert {numbers.value for numbers in node_numbers(graph)} == {None}


@settings(max_examples=120, deadline=None)
@given(traces_and_labels())
def test_traces_through_a_node_and_those_that_ended_right(
    case: tuple[list[Trace], list[list[str]]],
) -> None:
    """Counted again from the traces, found in the finished graph step by step."""
    traces, _ = case
    graph = build_graph(PROBLEM, traces, state_labels(traces))
    states = [node.state for node in graph.nodes if node.kind is NodeKind.STEP]
    for node, numbers in zip(graph.nodes, node_numbers(graph), strict=True):
        if states.count(node.state) != 1:
            continue  # the question, answers, and states that had to be split
        touched = [one for one in traces if node.state in {item.state for item in one.steps}]
        right = [
            one
            for one in touched
            if one.verdict is Verdict.RIGHT
            and node.state in {one.steps[i].state for i in one.route(len(one.steps) - 1)}
        ]
        assert (numbers.traces, numbers.right) == (len(touched), len(right))


def test_an_empty_graph() -> None:
    assert node_numbers(build_graph(PROBLEM, [], ())) == (
        NodeNumbers(0, 0, 0, None, traces=0, right=0, value=None, routes=0, through=0),
    )


def test_a_question_without_a_right_trace() -> None:
    traces = [trace("a b", "w"), trace("a", "u")]
    graph = build_graph(PROBLEM, traces, state_labels(traces))
    for i, numbers in enumerate(node_numbers(graph)):
        assert (numbers.d_e, numbers.routes, numbers.through, numbers.value) == (None, 0, 0, 0.0), i
        assert numbers.dead_end


def test_a_one_step_path() -> None:
    one = [trace("a")]
    question, step, answer = node_numbers(build_graph(PROBLEM, one, state_labels(one)))
    assert question == NodeNumbers(0, 1, 0, 2, 1, 1, 1.0, 1, 1)
    assert step == NodeNumbers(1, 1, 1, 1, 1, 1, 1.0, 1, 1)
    assert answer == NodeNumbers(1, 0, 2, 0, 1, 1, 1.0, 1, 1)


def test_nodes_that_cannot_be_reached_from_the_question() -> None:
    """A step that nothing leads to, though it leads to the answer: no route goes through it."""
    step = trace("a").steps[0].step
    graph = StepGraph(
        problem_id=PROBLEM.id,
        nodes=(
            StepNode(id="q", kind=NodeKind.QUESTION),
            StepNode(id="alone", kind=NodeKind.STEP, wordings=(step,)),
            StepNode(id="answer", kind=NodeKind.RIGHT, answers=("42",)),
        ),
        edges=(StepEdge(source=1, target=2, wordings=(0,)),),
    )
    check(graph)
    question, alone, _ = node_numbers(graph)
    assert alone == NodeNumbers(0, 1, None, 1, 0, 0, None, 1, 0)
    assert (question.d_e, question.routes, question.dead_end) == (None, 0, True)


def test_routes_beyond_64_bits_are_exact() -> None:
    assert node_numbers(random_graph(50, 4, density=1.0))[0].routes == 4**50
