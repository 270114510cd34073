"""What adding, permuting and distributing traces may change in a graph: any traces, any labels."""

from __future__ import annotations

import random

import networkx
import pytest
from graph_cases import PROBLEM, trace, traces_and_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import NodeKind, StepGraph, StepNode, Trace
from steiner.graph import Merging, build_graph, grouped_answers, state_labels, state_node_id
from steiner.graph.build import Labels
from steiner.graph.merge import pieces_of

NAMES = "abcdef"


@st.composite
def labelled(draw: st.DrawFn) -> tuple[list[Trace], Labels]:
    """Random traces; as labels their exact states, or clusters of states, equal texts in equal clusters."""
    traces, _ = draw(traces_and_labels())
    cluster = {name: draw(st.sampled_from("xyz")) for name in NAMES} if draw(st.booleans()) else None
    rows = state_labels(traces)
    return traces, rows if cluster is None else tuple(tuple(cluster[s] for s in row) for row in rows)


CASES = settings(max_examples=200, deadline=None)


def label_of(node: StepNode, traces: list[Trace], labels: Labels) -> str:
    found = {
        label
        for one, row in zip(traces, labels, strict=True)
        for item, label in zip(one.steps, row, strict=True)
        if item.step in node.wordings
    }
    assert len(found) == 1
    return found.pop()


def labels_on_cycles(traces: list[Trace], labels: Labels) -> set[str]:
    graph = networkx.DiGraph()
    for one, row in zip(traces, labels, strict=True):
        for item, label in zip(one.steps, row, strict=True):
            if item.parent >= 0 and row[item.parent] != label:
                graph.add_edge(row[item.parent], label)
    parts = networkx.strongly_connected_components(graph)
    return {label for part in parts if len(part) > 1 for label in part}


@CASES
@given(labelled(), st.sampled_from(Merging), st.integers(0, 99))
def test_graphs_are_acyclic_and_do_not_depend_on_the_order(
    case: tuple[list[Trace], Labels], merging: Merging, seed: int
) -> None:
    traces, labels = case
    graph = build_graph(PROBLEM, traces, labels, merging=merging)
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph((e.source, e.target) for e in graph.edges))
    order = random.Random(seed).sample(range(len(traces)), len(traces))
    again = build_graph(PROBLEM, [traces[i] for i in order], tuple(labels[i] for i in order), merging=merging)
    assert again == graph


@CASES
@given(labelled(), st.sampled_from(Merging))
def test_a_trace_changes_no_node_that_it_does_not_merge_with(
    case: tuple[list[Trace], Labels], merging: Merging
) -> None:
    """By depth without exception; otherwise for all labels that lie on no cycle."""
    traces, labels = case
    if not traces:
        return
    before = build_graph(PROBLEM, traces[:-1], labels[:-1], merging=merging)
    after = build_graph(PROBLEM, traces, labels, merging=merging)
    nodes = {node.id: node for node in after.nodes}
    new = pieces_of(labels[-1], [item.parent for item in traces[-1].steps])
    cyclic = labels_on_cycles(traces, labels)
    for node in before.nodes:
        if node.kind is not NodeKind.STEP:
            assert node.id in nodes
            continue
        label = label_of(node, traces, labels)
        if merging is Merging.DEPTH:
            touched = any(
                piece.label == label and piece.depth in depths_of(node, traces[:-1], labels[:-1])
                for piece in new
            )
        else:
            touched = label in cyclic or any(piece.label == label for piece in new)
        if not touched:
            assert nodes[node.id] == node


def depths_of(node: StepNode, traces: list[Trace], labels: Labels) -> set[int]:
    """Return all depths at which the node's wordings occur: a superset of the node's own."""
    depths = set()
    for one, row in zip(traces, labels, strict=True):
        pieces = pieces_of(row, [item.parent for item in one.steps])
        for item, piece in zip(one.steps, pieces, strict=True):
            if item.step in node.wordings:
                depths.add(piece.depth)
    return depths


@CASES
@given(labelled())
def test_the_id_of_an_exact_state_is_there_whatever_traces_come(case: tuple[list[Trace], Labels]) -> None:
    traces, _ = case
    graph = build_graph(PROBLEM, traces, state_labels(traces))
    for one in traces:
        for item in one.steps:
            assert state_node_id(PROBLEM.id, item.state or "") in graph.index_of


def test_no_rule_that_merges_across_depths_keeps_every_id() -> None:
    """The three traces of docs/graphs.md: any two agree to merge a label that the third says to split."""
    traces = [trace("a x", "w"), trace("y a", "w"), trace("x y", "w")]
    whole = build_graph(PROBLEM, traces, state_labels(traces))
    for out in range(3):
        rest = [one for i, one in enumerate(traces) if i != out]
        graph = build_graph(PROBLEM, rest, state_labels(rest))
        assert sum(node.kind is NodeKind.STEP for node in graph.nodes) == 3
    assert sum(node.kind is NodeKind.STEP for node in whole.nodes) == 4


def test_pieces_of_a_split_state_are_named_by_depth_not_by_number() -> None:
    """A piece in between changes the name of neither neighbour."""
    deep = trace("a b c a d", "w")
    before = build_graph(PROBLEM, [deep], state_labels([deep]))
    both = [deep, trace("p a", "w"), trace("q r a", "w")]
    after = build_graph(PROBLEM, both, state_labels(both))
    assert {node.id for node in before.nodes} <= {node.id for node in after.nodes}


def wrong(graph: StepGraph) -> set[tuple[str, ...]]:
    return {node.answers for node in graph.nodes if node.kind is NodeKind.WRONG}


def test_equivalent_wrong_answers_are_one_terminal_node() -> None:
    traces = [trace("a", "w", text) for text in ("41", "41.0", "forty-one", "40", "0.5", "1/2")]
    numbers = {"41": 41.0, "41.0": 41.0, "40": 40.0, "0.5": 0.5, "1/2": 0.5}
    key = grouped_answers(
        [one.answer for one in traces], lambda a, b: a in numbers and numbers[a] == numbers.get(b)
    )
    graph = build_graph(PROBLEM, traces, state_labels(traces), key)
    assert wrong(graph) == {("41", "41.0"), ("forty-one",), ("40",), ("0.5", "1/2")}
    assert all(not graph.out_edges[i] for i, node in enumerate(graph.nodes) if node.kind is NodeKind.WRONG)


@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=8), st.sets(st.tuples(*[st.sampled_from("abcdefgh")] * 2))
)
def test_groups_of_answers_are_the_components_of_what_is_equivalent(
    answers: list[str], pairs: set[tuple[str, str]]
) -> None:
    key = grouped_answers(answers, lambda a, b: (a, b) in pairs or (b, a) in pairs)
    oracle = networkx.Graph()
    oracle.add_nodes_from(answers)
    oracle.add_edges_from((a, b) for a, b in pairs if a in oracle and b in oracle)
    for part in networkx.connected_components(oracle):
        assert {key(answer) for answer in part} == {min(part)}
    assert grouped_answers(reversed(answers), lambda a, b: False)("a") == "a" if "a" in answers else True


def test_an_answer_that_the_groups_do_not_know_is_an_error() -> None:
    with pytest.raises(KeyError):
        grouped_answers(["41"], lambda a, b: False)("40")
