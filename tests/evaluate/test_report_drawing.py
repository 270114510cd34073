"""Drawings: places, crops and orders that must hold whatever is drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import PROSE_PATH, RIGHT_PATH, WRONG_PATH, countdown_graph
from report_strategies import graphs

from steiner.core import NodeKind, StepGraph
from steiner.evaluate import CurvePoint, GraphExample, ModelResult, TrainingCurve
from steiner.evaluate.drawing.accuracy import NARROW, WIDE, accuracy_figure
from steiner.evaluate.drawing.layers import lay_out
from steiner.evaluate.drawing.panels import histogram_figure, training_figure
from steiner.evaluate.drawing.stepgraph import graph_figure
from steiner.evaluate.drawing.svg import Point, number, shorten, tag
from steiner.evaluate.drawing.tree import QUESTION, places_of, tree_figure
from steiner.evaluate.metrics import histogram


def point(max_steps: int | None, accuracy: float) -> CurvePoint:
    low, high = max(0.0, accuracy - 0.05), min(1.0, accuracy + 0.05)
    return CurvePoint(
        max_steps=max_steps,
        accuracy=accuracy,
        low=low,
        high=high,
        n=400,
        mean_steps=3,
        mean_reasoning_tokens=90,
        well_formed=1,
    )


def model(title: str, *points: CurvePoint) -> ModelResult:
    return ModelResult(
        name=title, title=title, curve=points, final=points[-1], minimum=points[0], repeats=0.1, seconds=1
    )


def marks(svg: str) -> list[tuple[float, float]]:
    """Centres of the data points, in the order of drawing."""
    return [
        (float(x), float(y))
        for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="12" class="target"', svg)
    ]


def test_accuracy_axis_is_logarithmic_and_upwards() -> None:
    places = marks(accuracy_figure([model("m", point(2, 0.1), point(4, 0.3), point(8, 0.5), point(16, 0.9))]))
    gaps = [right[0] - left[0] for left, right in pairwise(places)]
    assert gaps == pytest.approx([gaps[0]] * 3, abs=0.2)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_accuracy_without_limit_stands_right_of_the_last_limit_and_is_dashed() -> None:
    svg = accuracy_figure([model("m", point(2, 0.1), point(8, 0.5), point(None, 0.6))])
    places = marks(svg)
    assert places[2][0] > places[1][0]
    assert "no limit" in svg
    assert 'class="line dashed"' in svg


def test_accuracy_of_one_point_has_a_whisker() -> None:
    svg = accuracy_figure([model("m", point(None, 0.5))])
    assert 'class="whisker s0"' in svg
    assert len(marks(svg)) == 1


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from([WIDE, NARROW]))
def test_accuracy_stays_inside_and_labels_never_overlap(ends: list[float], canvas: object) -> None:
    models = [model(f"model {i}", point(2, 0.1), point(16, end)) for i, end in enumerate(ends)]
    svg = accuracy_figure(models, canvas)  # type: ignore[arg-type]
    size = WIDE if canvas == WIDE else NARROW
    assert all(size.left <= x <= size.width - size.right for x, _ in marks(svg))
    assert all(size.top - 0.1 <= y <= size.height - size.bottom + 0.1 for _, y in marks(svg))
    labels = sorted(float(y) for y in re.findall(r'<text x="[\d.]+" y="([-\d.]+)" class="end', svg))
    assert len(labels) == (len(ends) if size is WIDE else 0)
    assert all(right - left >= 16.8 for left, right in pairwise(labels))
    ElementTree.fromstring(svg)


def test_training_curve_breaks_where_it_is_not_finite() -> None:
    values = (1.0, 0.5, float("nan"), 0.4, float("inf"), 0.3)
    curve = TrainingCurve(stage="rl", metric="loss", steps=tuple(range(6)), values=values)
    assert curve.values == (1.0, 0.5, None, 0.4, None, 0.3)
    assert training_figure(curve).count("<polyline") == 3


def test_training_curve_that_never_was_finite_says_so() -> None:
    curve = TrainingCurve(stage="rl", metric="loss", steps=(1,), values=(float("nan"),))
    assert "no finite value" in training_figure(curve)


def test_long_training_curve_is_thinned_and_keeps_its_ends() -> None:
    n = 10_000
    curve = TrainingCurve(
        stage="s", metric="m", steps=tuple(range(n)), values=tuple(float(i) for i in range(n))
    )
    svg = training_figure(curve)
    assert len(svg) < 5_000
    assert ">9,999</text>" in svg


def test_histogram_draws_each_bin_with_its_count() -> None:
    svg = histogram_figure(histogram([2, 2, 3, 5], "steps per path"))
    assert re.findall(r"<title>(\d) steps per path: (\d+)</title>", svg) == [
        ("2", "2"),
        ("3", "1"),
        ("4", "0"),
        ("5", "1"),
    ]
    wide = histogram_figure(histogram([0, 999], "tokens"))
    assert "<title>0–49 tokens: 1</title>" in wide


def test_tree_places_follow_parents_where_they_are_known() -> None:
    assert [p.parent for p in places_of(RIGHT_PATH)] == list(RIGHT_PATH.parents)
    assert [p.depth for p in places_of(RIGHT_PATH)] == [1, 2, 2, 1, 2, 1, 2]


@pytest.mark.parametrize("path", [RIGHT_PATH, WRONG_PATH])
def test_tree_places_of_countdown_are_found_without_parents(path: object) -> None:
    known = path.model_copy(update={"parents": ()})  # type: ignore[attr-defined]
    assert places_of(known) == places_of(path)  # type: ignore[arg-type]


def test_tree_admits_what_it_cannot_know() -> None:
    assert [p.parent for p in places_of(PROSE_PATH)] == [QUESTION, 0, None]


def test_tree_draws_each_step_and_each_return_in_a_lane_of_its_own() -> None:
    svg = tree_figure(RIGHT_PATH, right=True)
    ElementTree.fromstring(svg)
    assert len(re.findall('class="knot', svg)) == len(RIGHT_PATH.steps) + 2
    assert svg.count('class="return"') == RIGHT_PATH.backtracks == 3
    spans = re.findall(r'd="M[\d.]+ ([\d.]+)H[\d.]+Q([\d.]+) [^V]*V([\d.]+)Q', svg)
    lanes = [(float(lane), float(top), float(bottom)) for bottom, lane, top in spans]
    for i, (lane, top, bottom) in enumerate(lanes):
        for other, other_top, other_bottom in lanes[:i]:
            assert lane != other or bottom < other_top or other_bottom < top


def test_graph_of_countdown_shows_its_path_and_dead_ends() -> None:
    graph = countdown_graph()
    figure = graph_figure(GraphExample(question="q", graph=graph, path_nodes=RIGHT_PATH.nodes))
    ElementTree.fromstring(figure.svg)
    assert figure.drawn + figure.left_out == len(graph.nodes)
    assert figure.svg.count('class="route"') == len(RIGHT_PATH.nodes) + 1
    assert figure.svg.count('class="return"') == RIGHT_PATH.backtracks
    assert re.findall(r'class="badge">(\d+)<', figure.svg) == [str(i) for i in range(1, 8)]
    assert figure.svg.count("dead end;") == figure.svg.count('class="node dead"') + figure.svg.count(
        'class="node wrong"'
    )


def test_graph_ignores_nodes_of_another_graph() -> None:
    figure = graph_figure(GraphExample(question="q", graph=countdown_graph(), path_nodes=("nowhere",)))
    assert "badge" not in figure.svg


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(1, 12), st.integers(1, 6))
def test_layout_is_a_crop_that_hangs_together(graph: StepGraph, most: int, most_in_layer: int) -> None:
    layout = lay_out(graph, [], most, most_in_layer)
    drawn = [node for layer in layout.layers for node in layer]
    assert len(drawn) == len(set(drawn)) == len(graph.nodes) - layout.left_out
    assert layout.layers[0] == (0,)
    level = {node: depth for depth, layer in enumerate(layout.layers) for node in layer}
    for node in drawn[1:]:
        sources = [edge.source for edge in graph.edges if edge.target == node]
        assert any(level.get(source, 99) < level[node] for source in sources)
    assert all(graph.facts[node].d_s is not None for node in drawn)
    answer = graph.answer_index
    if answer is not None and graph.facts[answer].d_s is not None:
        assert answer in layout.layers[-1]
    if layout.left_out == 0:
        assert {level[n] for n in drawn if graph.nodes[n].kind is NodeKind.STEP} <= set(
            range(1, len(layout.layers))
        )


@settings(max_examples=30, deadline=None)
@given(graphs(most_nodes=120))
def test_any_graph_can_be_drawn_and_stays_small(graph: StepGraph) -> None:
    figure = graph_figure(GraphExample(question="q", graph=graph))
    ElementTree.fromstring(figure.svg)
    assert figure.drawn <= 64 + len(graph.nodes) // 2
    assert figure == graph_figure(GraphExample(question="q", graph=graph))


def test_elements_are_escaped_and_short() -> None:
    assert tag("text", "<b>", x=1.04, class_="a", title=None) == '<text x="1" class="a">&lt;b&gt;</text>'
    assert (
        tag("g", tag("title", 'a"b'), aria_label='a"b')
        == '<g aria-label="a&#34;b"><title>a&#34;b</title></g>'
    )
    assert [number(value) for value in (-0.04, 10.0, 1.25, "x")] == ["0", "10", "1.2", "x"]
    assert shorten("a  b\nc", 10) == "a b c"
    assert shorten("abcdef", 4) == "abc…"
    assert Point(1, 2).x == 1
