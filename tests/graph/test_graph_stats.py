"""`steiner graph stats`: every number against the same number counted the long way."""

from __future__ import annotations

import json
import math
import random
import statistics
from pathlib import Path

import networkx as nx
import pytest
from graph_cases import PROBLEM, random_graph, trace, traces_and_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.core import NodeKind, Problem, Settings, StepEdge, StepGraph, StepNode
from steiner.graph import build_graph, state_labels
from steiner.graph.distribution import (
    NODE_TITLES,
    QUESTION_TITLES,
    Distributions,
    Spread,
    combine,
    distributions,
    graph_values,
    leading,
    scientific,
)
from steiner.store import RunDir, Stage, StoredRecord

CUTS = {"p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95}


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def graph_of(*rows: tuple[str, str]) -> StepGraph:
    traces = [trace(steps, end) for steps, end in rows]
    return build_graph(PROBLEM, traces, state_labels(traces))


@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=60))
def test_a_spread_is_exact_for_small_numbers(values: list[int]) -> None:
    spread = Spread()
    spread.add(values)
    found = spread.summary()
    assert found.count == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert (found.min, found.max) == (min(values), max(values))
    for name, percent in CUTS.items():
        assert getattr(found, name) == nearest_rank(values, percent)


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=60))
def test_a_spread_keeps_four_digits_of_large_numbers(values: list[int]) -> None:
    spread = Spread()
    spread.add(values)
    found = spread.summary()
    assert (found.min, found.max) == (min(values), max(values))
    for name, percent in CUTS.items():
        true = nearest_rank(values, percent)
        assert true * (1 - 1e-3) <= getattr(found, name) <= true


@given(st.integers(0, 10**40))
def test_leading_digits(value: int) -> None:
    text = str(value)
    assert leading(value) == int(text[:4] + "0" * (len(text) - 4))
    front, _, exponent = scientific(value).partition("e+")
    assert (front[0] + front[2:], int(exponent)) == (text[:4].ljust(4, "0"), len(text) - 1)


@pytest.mark.parametrize("exponent", [4, 16, 300, 5000, 100_000])
def test_powers_of_ten_and_their_neighbours(exponent: int) -> None:
    assert scientific(10**exponent) == f"1.000e+{exponent:02d}"
    assert scientific(10**exponent - 1) == f"9.999e+{exponent - 1:02d}"


def test_memory_does_not_grow_with_the_number_of_questions() -> None:
    rng, spread = random.Random(5), Spread()
    spread.add(rng.randrange(10**9) for _ in range(100_000))
    # At most 9,000 entries for each power of ten from 10^4 on, and 10,000 below.
    assert len(spread._counts) <= 10_000 + 9_000 * 5


def long_way(graph: StepGraph) -> dict[str, int | float | list[int]]:
    """Count one graph with networkx and plain loops."""
    net = nx.DiGraph()
    net.add_nodes_from(range(len(graph.nodes)))
    net.add_edges_from((edge.source, edge.target) for edge in graph.edges)
    steps = [i for i, node in enumerate(graph.nodes) if node.kind is NodeKind.STEP]
    right = next((i for i, node in enumerate(graph.nodes) if node.kind is NodeKind.RIGHT), None)
    down = nx.single_source_shortest_path_length(net, 0)
    up = {} if right is None else nx.single_source_shortest_path_length(net.reverse(), right)
    routes = [] if right is None or 0 not in up else list(nx.all_simple_paths(net, 0, right))
    return {
        "nodes": len(steps),
        "merged": sum(graph.nodes[i].traces for i in steps) - len(steps),
        "shared": sum(graph.nodes[i].traces > 1 for i in steps),
        "edges": net.number_of_edges(),
        "depth": max((down[i] for i in steps if i in down), default=0),
        "dead_ends": sum(i not in up for i in steps),
        "wrong_answers": sum(node.kind is NodeKind.WRONG for node in graph.nodes),
        "routes": len(routes),
        "shortest": min((len(route) - 2 for route in routes), default=-1),
        "e_i": sorted(net.in_degree(i) for i in steps),
        "e_o": sorted(net.out_degree(i) for i in steps),
        "d_s": sorted(down[i] for i in steps if i in down),
        "d_e": sorted(up[i] for i in steps if i in up),
    }


@given(traces_and_labels())
@settings(max_examples=80, deadline=None)
def test_one_graph_against_the_long_way(case: tuple) -> None:
    graph = build_graph(PROBLEM, *case)
    found, wanted = graph_values(graph), long_way(graph)
    answered = wanted["routes"] != 0
    for name in ("nodes", "merged", "shared", "edges", "depth", "dead_ends", "wrong_answers"):
        assert found.per_question[name] == wanted[name], name
    for name in ("routes", "shortest"):
        assert found.per_question.get(name) == (wanted[name] if answered else None), name
    for name in ("e_i", "e_o", "d_s", "d_e"):
        assert sorted(found.per_node[name]) == wanted[name], name
    used = [row for row in case[0] if row.steps]
    assert found.per_question["traces"] == len(used)
    assert found.answered == any(row.verdict.value == "right" for row in used)


def test_a_hand_counted_run() -> None:
    graphs = [
        graph_of(("a b", "r"), ("a c", "w"), ("a b", "r"), ("d", "u")),
        graph_of(("a", "r")),
        graph_of(("a b", "w"), ("c b", "w")),
        graph_of(),
    ]
    found = combine(map(graph_values, graphs))
    assert (found.questions, found.answered, found.with_dead_ends) == (4, 2, 1)
    assert (found.without_steps, found.unreachable) == (1, 0)
    question, node = found.per_question, found.per_node
    assert (question["nodes"].min, question["nodes"].p50, question["nodes"].max) == (0, 1, 4)
    # Visits 7, 1 and 4 for 4, 1 and 3 nodes.
    assert question["merged"].mean == pytest.approx((3 + 0 + 1 + 0) / 4)
    assert question["merged_share"].count == 3
    assert question["merged_share"].max == pytest.approx(3 / 7, abs=5e-4)
    assert question["right_share"].mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert question["dead_share"].max == 1.0
    # Only the first two questions have a way to the right answer: a b ✓ and a ✓.
    assert question["routes"].count == question["shortest"].count == 2
    assert (question["shortest"].min, question["shortest"].max) == (1, 2)
    assert node["traces"].count == 8
    assert (node["traces"].min, node["traces"].max) == (1, 3)
    assert node["value"].max == 1.0
    # The node a of the first question: three traces, two of them right through it.
    assert sorted(graph_values(graphs[0]).per_node["value"]) == [0, 0, 667, 1000]


def test_every_title_is_filled() -> None:
    values = graph_values(graph_of(("a b", "r"), ("a c", "w")))
    assert list(QUESTION_TITLES) == list(combine([values]).per_question)
    assert set(values.per_question) == set(QUESTION_TITLES)
    assert set(values.per_node) == set(NODE_TITLES)


def test_nodes_that_cannot_be_reached() -> None:
    step = trace("a").steps[0].step
    nodes = (
        StepNode(id="q", kind=NodeKind.QUESTION),
        StepNode(id="a", kind=NodeKind.STEP, wordings=(step,)),
        StepNode(id="b", kind=NodeKind.STEP, wordings=(step,)),
        StepNode(id="r", kind=NodeKind.RIGHT, answers=("42",)),
    )
    edges = (StepEdge(source=0, target=1, wordings=(0,)), StepEdge(source=2, target=3, wordings=(0,)))
    values = graph_values(StepGraph(problem_id="p", nodes=nodes, edges=edges))
    assert values.unreachable == 1
    assert values.per_node["d_s"] == [1]
    assert values.per_node["d_e"] == [1]
    assert "routes" not in values.per_question
    assert values.per_question["dead_ends"] == 1


def test_an_empty_run_has_no_numbers_and_no_error() -> None:
    found = combine([])
    assert found.questions == 0
    assert all(spread.count == 0 and spread.mean is None for spread in found.per_question.values())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of 40 questions, one of them with more routes than 64 bits can count."""
    path = tmp_path_factory.mktemp("measured") / "run"
    with RunDir(path) as held:
        problems, graphs = Stage(held, "problems", Settings()), Stage(held, "graphs", Settings())
        for i in range(40):
            problem = Problem(question=f"question {i}", answer="42")
            width, layers = (10, 30) if i == 39 else (1 + i % 4, 1 + i % 5)
            graph = random_graph(layers, width, seed=i, density=1.0).model_copy(
                update={"problem_id": problem.id}
            )
            problems.put([StoredRecord(problem.id, i, problem.model_dump_json().encode())])
            graphs.put([StoredRecord(problem.id, i, graph.model_dump_json().encode())])
        problems.finish({})
        graphs.finish({})
    return path


def test_the_number_of_workers_changes_nothing(run: Path) -> None:
    with RunDir(run, read_only=True) as held:
        assert distributions(held, workers=1) == distributions(held, workers=2)


def test_json_holds_what_the_records_say(run: Path) -> None:
    done = CliRunner().invoke(app, ["graph", "stats", "--run", str(run), "--json", "--workers", "1"])
    assert done.exit_code == 0, done.stderr
    with RunDir(run, read_only=True) as held:
        assert Distributions.model_validate(json.loads(done.stdout)) == distributions(held)
        bodies = [record.body for record in held.journal.records("graphs")]
    graphs = [StepGraph.model_validate_json(body) for body in bodies]
    routes = [(1 + i % 4) ** (1 + i % 5) for i in range(39)] + [10**30]
    values = json.loads(done.stdout)["per_question"]
    assert values["nodes"]["max"] == max(len(graph.nodes) - 2 for graph in graphs)
    assert values["routes"]["p50"] == nearest_rank(routes, 50)
    assert values["routes"]["max"] == "1.000e+30", "more than 2^53: text"


def test_the_table_fits_into_eighty_columns(run: Path) -> None:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(
        app, ["graph", "stats", "--run", str(run), "--workers", "1"]
    )
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "40 questions, 40 of them with a right trace, 40 with a dead end too"
    assert max(map(len, lines)) <= 80
    for title in (*QUESTION_TITLES.values(), *NODE_TITLES.values()):
        row = [line for line in lines if line.startswith(title.ljust(30) + " ")]
        assert len(row) == 1, title
        assert len(row[0].removeprefix(title).split()) == 8, row
    assert next(line for line in lines if line.startswith("routes")).endswith("  1e30")


def test_a_run_without_graphs_says_what_to_do(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run"):
        pass
    done = CliRunner().invoke(app, ["graph", "stats", "--run", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "run the command that makes it first" in done.stderr


def test_building_needs_no_subcommand(tmp_path: Path) -> None:
    for words in (["graph"], ["graph", "build"]):
        done = CliRunner().invoke(app, [*words, "--run", str(tmp_path / "none")])
        assert done.exit_code == 2
        assert "no run directory" in done.stderr
    done = CliRunner().invoke(app, ["graph", "shwo", "1"])
    assert "Did you mean 'show'?" in done.output + done.stderr
