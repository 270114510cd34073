"""`steiner graph show`: the tree in the terminal, the drawings, and which question is meant."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from graph_cases import PROBLEM, PROVENANCE, random_graph, trace, traces_and_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from rich.cells import cell_len
from typer.testing import CliRunner

from steiner.cli.graph_tree import spanning_tree, tree_lines
from steiner.cli.main import app
from steiner.core import (
    NodeKind,
    Problem,
    ReasoningPath,
    Settings,
    Step,
    StepEdge,
    StepGraph,
    StepNode,
    Trace,
    TraceStep,
    Verdict,
)
from steiner.evaluate.drawing.layers import lay_out
from steiner.evaluate.drawing.sheet import Subject, path_visits, sheet_file
from steiner.evaluate.drawing.sheet_layout import _apart, crossings, place
from steiner.evaluate.drawing.sheet_page import sheet_page
from steiner.evaluate.drawing.sheet_text import cells, wrap
from steiner.graph import build_graph, state_labels
from steiner.store import RunDir, Stage, StoredRecord

SVG = "{http://www.w3.org/2000/svg}"
_TRACES = TypeAdapter(list[Trace])
_PATHS = TypeAdapter(list[ReasoningPath])

TRACES = [trace("a b c"), trace("a b d", "w"), trace("e c"), trace("a f b<0 c"), trace("g h", "u")]
GRAPH = build_graph(PROBLEM, TRACES, state_labels(TRACES))
PATH = ReasoningPath.from_trace(TRACES[3]).model_copy(
    update={"nodes": tuple(n.id for word in "afbc" for n in GRAPH.nodes if n.state == word)}
)

GOLDEN = """\
                                                         traces  to right
● the question                                                5       60%
├─○ 1. a · think a                                            3       67%
│ ├─○ 2. b · think b                                          3       67%
│ │ ├─○ 3. c · think c → ✓                                    3      100%
│ │ └─× 4. d · think d → ✗1                                   1  dead end
│ └─× 5. f · think f                                          1  dead end
├─○ 6. e · think e → 3                                        1      100%
└─× 7. g · think g                                            1  dead end
  × 8. h · think h                                            1  dead end
✓ 42                                                          3     right
✗1 41                                                         1     wrong"""

GOLDEN_PATH = """\
                                                traces  to right  in path
● the question                                       5       60%
├─○ 1. a · think a                                   3       67%        1
│ ├─○ 2. b · think b                                 3       67%        3
│ │ ├─○ 3. c · think c → ✓                           3      100%        4
│ │ └─× 4. d · think d → ✗1                          1  dead end
│ └─× 5. f · think f                                 1  dead end       2↩
├─○ 6. e · think e → 3                               1      100%
└─× 7. g · think g                                   1  dead end
  × 8. h · think h                                   1  dead end
✓ 42                                                 3     right
✗1 41                                                1     wrong"""


def everything(graph: StepGraph) -> set[int]:
    return set(range(len(graph.nodes)))


def subject(graph: StepGraph, path: ReasoningPath | None = None, most: int = 10**6) -> Subject:
    visited = [graph.index_of[node] for node in (path.nodes if path else ())]
    layout = lay_out(graph, visited, most, len(graph.nodes))
    drawn = {node for layer in layout.layers for node in layer}
    tree = spanning_tree(graph, drawn)
    return Subject(PROBLEM, graph, layout, tree.number, tree.wording, path, "path 1" if path else "")


def drawn_nodes(svg: ET.Element) -> dict[int, ET.Element]:
    groups = [g for g in svg.iter(f"{SVG}g") if g.get("class", "").startswith("node ")]
    found = {int(str(group.get("id"))[1:]): group for group in groups}
    assert len(found) == len(groups), "a node is drawn twice"
    return found


def centre(group: ET.Element) -> tuple[float, float]:
    circle = group.find(f"{SVG}circle")
    if circle is not None:
        return float(str(circle.get("cx"))), float(str(circle.get("cy")))
    polygon = group.find(f"{SVG}polygon")
    assert polygon is not None
    points = [tuple(map(float, pair.split(","))) for pair in str(polygon.get("points")).split()]
    return sum(p[0] for p in points) / 4, sum(p[1] for p in points) / 4


# The tree.


def test_the_tree_of_a_small_graph() -> None:
    lines = tree_lines(GRAPH, everything(GRAPH), width=73)
    assert "\n".join(line.plain for line in lines) == GOLDEN


def test_the_tree_with_a_path() -> None:
    lines = list(tree_lines(GRAPH, everything(GRAPH), width=73, path=PATH))
    assert "\n".join(line.plain for line in lines) == GOLDEN_PATH
    moves = {str(span.style) for line in lines for span in line.spans if "bold" in str(span.style)}
    assert {"bold blue", "bold yellow"} <= moves, "going on and going back have colours of their own"


@given(traces_and_labels(), st.integers(60, 120))
@settings(max_examples=60, deadline=None)
def test_every_step_has_one_line_and_every_edge_is_shown(case: tuple, width: int) -> None:
    graph = build_graph(PROBLEM, *case)
    shown = {i for i, facts in enumerate(graph.facts) if facts.d_s is not None}
    tree = spanning_tree(graph, shown)
    edges = sorted((s, t) for below in (tree.children, tree.others) for s, ts in below.items() for t in ts)
    assert edges == sorted((edge.source, edge.target) for edge in graph.edges)
    parents = [child for ways in tree.children.values() for child in ways]
    assert sorted(parents) == [i for i in sorted(shown) if graph.nodes[i].kind is NodeKind.STEP]
    lines = list(tree_lines(graph, shown, width=width))
    assert len(lines) == 1 + len(shown)
    assert all(cell_len(line.plain) <= width for line in lines)


def chinese_graph(depth: int = 6) -> StepGraph:
    steps = [
        Step(name=f"第{i}步计算折扣后的价格", thought="原价乘以折扣率" * 20, summary="", reflection="")
        for i in range(depth)
    ]
    rows = [
        Trace(
            problem_id=PROBLEM.id,
            steps=tuple(TraceStep(step=step, parent=i - 1) for i, step in enumerate(steps[:length])),
            answer="四十二" * 30,
            verdict=Verdict.RIGHT if length == depth else Verdict.WRONG,
            provenance=PROVENANCE,
        )
        for length in range(1, depth + 1)
    ]
    return build_graph(PROBLEM, rows, tuple(tuple(str(i) for i in range(len(r.steps))) for r in rows))


def test_chinese_fills_its_columns_and_no_more() -> None:
    graph = chinese_graph()
    lines = [line.plain for line in tree_lines(graph, everything(graph), width=80)]
    assert all(cell_len(line) <= 80 for line in lines)
    # The columns on the right stand below each other although the characters are twice as wide.
    ends = {cell_len(line) for line in lines if line.endswith(("%", "right", "wrong"))}
    assert ends == {80}


def test_a_deep_comb_stays_within_the_line() -> None:
    rows = [trace(" ".join([f"s{i}" for i in range(n)] + [f"x{n}"]), "w") for n in range(60)]
    graph = build_graph(PROBLEM, rows, state_labels(rows))
    lines = [line.plain for line in tree_lines(graph, everything(graph), width=60)]
    assert max(map(cell_len, lines)) <= 60
    assert any(line.startswith("…") for line in lines), "the indentation is cut, not the text"
    assert all(re.search(r"[○×] \d+\. \S", line) for line in lines[2:-1])


def test_control_characters_do_not_reach_the_terminal() -> None:
    step = Step(name="\x1b[31mred\x07", thought="", summary="\x1b]0;title\x07", reflection="")
    graph = StepGraph(
        problem_id="p",
        nodes=(
            StepNode(id="q", kind=NodeKind.QUESTION),
            StepNode(id="a", kind=NodeKind.STEP, wordings=(step,)),
            StepNode(id="w", kind=NodeKind.WRONG, answers=("\x1b[2J",)),
        ),
        edges=(StepEdge(source=0, target=1, wordings=(0,)), StepEdge(source=1, target=2, wordings=(0,))),
    )
    text = "\n".join(line.plain for line in tree_lines(graph, everything(graph)))
    assert "\x1b" not in text
    assert "\x07" not in text


# The drawing.


@given(traces_and_labels())
@settings(max_examples=40, deadline=None)
def test_every_node_and_every_edge_is_drawn_once(case: tuple) -> None:
    graph = build_graph(PROBLEM, *case)
    svg = ET.fromstring(sheet_file(subject(graph)))
    assert sorted(drawn_nodes(svg)) == list(range(len(graph.nodes)))
    edges = [path for path in svg.iter(f"{SVG}path") if "edge" in str(path.get("class")).split()]
    assert len(edges) == len(graph.edges)
    assert not [e for e in svg.iter() if e.tag in (f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject")]


@given(traces_and_labels())
@settings(max_examples=40, deadline=None)
def test_height_is_distance_and_neighbours_keep_apart(case: tuple) -> None:
    graph = build_graph(PROBLEM, *case)
    view = subject(graph)
    at = place(graph, view.layout, slot=100, row=80, gap=30).at
    for height in {point.y for point in at.values()}:
        xs = sorted(point.x for point in at.values() if point.y == height)
        assert all(b - a > 99.9 for a, b in itertools.pairwise(xs))
    steps = [i for i in at if graph.nodes[i].kind is NodeKind.STEP]
    for a, b in itertools.pairwise(sorted(steps, key=lambda i: graph.facts[i].d_s or 0)):
        assert (at[a].y < at[b].y) == (graph.facts[a].d_s != graph.facts[b].d_s)
    for edge in graph.edges:
        if graph.nodes[edge.target].answers:
            assert at[edge.source].y < at[edge.target].y, "answers stand below what leads to them"
    if graph.answer_index is not None:
        assert all(at[i].y < at[graph.answer_index].y for i in steps)


def test_wide_layers_take_several_rows_and_nothing_overlaps() -> None:
    graph = random_graph(2, 70, seed=4, density=0.03, leaves=1)
    view = subject(graph)
    places = place(graph, view.layout, slot=100, row=80, gap=30)
    for a, b in itertools.combinations(places.at.values(), 2):
        assert abs(a.y - b.y) > 79 or abs(a.x - b.x) > 99
    assert places.width < 100 * 30


def test_size_grows_with_traces() -> None:
    nodes = drawn_nodes(ET.fromstring(sheet_file(subject(GRAPH))))
    radius = {}
    for i, node in enumerate(GRAPH.nodes):
        circle = nodes[i].find(f"{SVG}circle")
        if node.kind is NodeKind.STEP and circle is not None:
            radius[node.state] = float(str(circle.get("r")))
    assert radius["a"] == radius["b"] == radius["c"] > radius["d"] == radius["e"]


def test_dead_ends_and_answers_are_marked() -> None:
    nodes = drawn_nodes(ET.fromstring(sheet_file(subject(GRAPH))))
    for i, node in enumerate(GRAPH.nodes):
        kinds = str(nodes[i].get("class")).split()
        dead = node.kind is NodeKind.STEP and GRAPH.facts[i].d_e is None
        assert ("dead" in kinds) == dead
        assert ("on" in kinds) == (node.kind is NodeKind.STEP and not dead)
        assert ("right" in kinds) == (node.kind is NodeKind.RIGHT)
        assert ("wrong" in kinds) == (node.kind is NodeKind.WRONG)
        assert (nodes[i].find(f"{SVG}path") is not None) == dead, "dead ends bear a cross, not only a colour"


def test_a_path_is_drawn_over_the_graph() -> None:
    view = subject(GRAPH, PATH)
    visits = path_visits(view)
    names = ["question", "a", "f", "b", "c"]
    index = {(node.state or "question"): i for i, node in enumerate(GRAPH.nodes) if not node.answers}
    ways = [("question", "a"), ("a", "f"), ("a", "b"), ("b", "c")]
    assert [(v.source, v.node) for v in visits] == [(index[a], index[b]) for a, b in ways]
    assert [v.left for v in visits] == [None, None, index["f"], None]
    svg = ET.fromstring(sheet_file(view))
    badges = [g for g in svg.iter(f"{SVG}g") if str(g.get("class")).startswith("badge")]
    assert ["".join(badge.itertext()) for badge in badges] == ["1", "2↩", "3", "4"]
    kinds = [path.get("class") for path in svg.iter(f"{SVG}path")]
    # One line for each step and one to the answer; one dashed way back; one more of each in the legend.
    assert kinds.count("route") == len(names) - 1 + 1 + 1
    assert kinds.count("return") == 1 + 1


def test_a_path_without_parents_is_followed_along_the_edges() -> None:
    bare = PATH.model_copy(update={"parents": ()})
    assert path_visits(subject(GRAPH, bare)) == path_visits(subject(GRAPH, PATH))


HOSTILE = '</title></svg><script>alert("x")</script>&<img src=x onerror=alert(1)>]]>\x00\ufffe\u202e'


def hostile_graph() -> StepGraph:
    step = Step(name=HOSTILE, thought=HOSTILE, summary=HOSTILE + "!", reflection=HOSTILE)
    item = TraceStep(step=step, parent=-1)
    row = Trace(
        problem_id=PROBLEM.id, steps=(item,), answer=HOSTILE, verdict=Verdict.RIGHT, provenance=PROVENANCE
    )
    return build_graph(PROBLEM, [row], (("x",),))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.styles: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.styles.append(data)


def test_step_text_stays_text() -> None:
    view = subject(hostile_graph())._replace(problem=Problem(question=HOSTILE, answer="42"))
    svg = ET.fromstring(sheet_file(view))
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= {
        "svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g", "circle", "polygon",
    }  # fmt: skip
    page = _Page()
    page.feed(sheet_page(view))
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "link", "object", "base", "form"}
    assert not [name for _, found in page.tags for name in found if name.startswith("on")]
    assert all("\x00" not in text for text in (sheet_file(view), sheet_page(view)))


def test_nothing_is_loaded_from_elsewhere() -> None:
    svg, page = sheet_file(subject(GRAPH, PATH)), sheet_page(subject(GRAPH, PATH))
    assert re.findall(r"\w+://[^\"'\s)]*", svg) == ["http://www.w3.org/2000/svg"], "the name space only"
    assert "://" not in page
    for text in (svg, page):
        assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#arrow", "#arrow-on", "#arrow-back"}
        assert "@import" not in text
        assert not re.search(r"\s(src|srcset|data|xlink:href)=", text)


def test_the_page_allows_its_own_style_only_and_links_each_step_to_its_text() -> None:
    page = _Page()
    page.feed(sheet_page(subject(GRAPH, PATH)))
    policy = next(found["content"] for tag, found in page.tags if "http-equiv" in found)
    for style in page.styles:
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in str(policy)
    assert len(page.styles) == 2
    assert str(policy).startswith("default-src 'none';")
    targets = {found["href"] for tag, found in page.tags if tag == "a"}
    steps = sum(node.kind is NodeKind.STEP for node in GRAPH.nodes)
    assert targets == {f"#s{i}" for i in range(1, steps + 1)}
    assert targets <= {f"#{found['id']}" for tag, found in page.tags if tag == "li" and "id" in found}


def test_a_large_graph_is_cropped_and_says_so() -> None:
    graph = random_graph(8, 40, seed=1, density=0.1, leaves=1)
    svg = ET.fromstring(sheet_file(subject(graph, most=300)))
    assert len(drawn_nodes(svg)) <= 300
    left_out = len(graph.nodes) - len(drawn_nodes(svg))
    assert f"{left_out:,} nodes that fewer traces pass through are left out" in "".join(svg.itertext())


def test_nodes_that_cannot_be_reached_are_left_out_with_a_note() -> None:
    lost = StepNode(id="lost", kind=NodeKind.STEP, wordings=(TRACES[0].steps[0].step,))
    graph = GRAPH.model_copy(update={"nodes": (*GRAPH.nodes, lost)})
    text = "".join(ET.fromstring(sheet_file(subject(graph))).itertext())
    assert "1 nodes cannot be reached from the question" in text


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True, max_size=20))
def test_crossings_are_counted(links: list[tuple[int, int]]) -> None:
    pairs = itertools.combinations(links, 2)
    crossed = sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs)
    assert crossings(range(7), range(7), links) == crossed


@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(0.1, 9)), min_size=1, max_size=9))
def test_places_keep_apart_and_stay_near_their_wishes(items: list[tuple[float, float]]) -> None:
    wishes, weights = [wish for wish, _ in items], [weight for _, weight in items]
    offsets = [10.0 * i for i in range(len(items))]
    x = _apart(wishes, weights, offsets)
    assert all(b - a > 10 - 1e-6 for a, b in itertools.pairwise(x))

    def cost(places: list[float]) -> float:
        return sum(w * (p - wish) ** 2 for p, wish, w in zip(places, wishes, weights, strict=True))

    # It is the optimum of a convex problem: no block of neighbours gains by moving as one.
    for i, j in itertools.combinations(range(len(x) + 1), 2):
        for move in (-0.01, 0.01):
            moved = [p + move * (i <= k < j) for k, p in enumerate(x)]
            if all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(moved)):
                assert cost(moved) >= cost(x) - 1e-6


@given(st.text(alphabet=st.sampled_from("ab ,价格"), max_size=60), st.integers(4, 20), st.integers(1, 4))
def test_labels_are_broken_within_their_room(text: str, room: int, most: int) -> None:
    lines = wrap(text, room, most)
    assert len(lines) <= most
    assert all(0 < cells(line) <= room for line in lines)
    flat = "".join("".join(lines).split())
    assert "".join(text.split()) == flat or flat.endswith("…")


# The command.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of three questions, the first with a path."""
    path = tmp_path_factory.mktemp("shown") / "run"
    others = [
        Problem(question="What is the price of a tape recorder after a discount?", answer="42"),
        Problem(question="What is the price of a book after a discount?", answer="42"),
    ]
    with RunDir(path) as held:
        problems = Stage(held, "problems", Settings())
        graphs, paths = Stage(held, "graphs", Settings()), Stage(held, "paths", Settings())
        for i, problem in enumerate([PROBLEM, *others]):
            rows = [item.model_copy(update={"problem_id": problem.id}) for item in TRACES]
            graph = build_graph(problem, rows, state_labels(rows))
            problems.put([StoredRecord(problem.id, i, problem.model_dump_json().encode())])
            graphs.put([StoredRecord(problem.id, i, graph.model_dump_json().encode())])
        paths.put([StoredRecord(PROBLEM.id, 0, _PATHS.dump_json([PATH]))])
        for stage in (problems, graphs, paths):
            stage.finish({})
    return path


def invoke(*words: str | Path, code: int = 0) -> str:
    """Run `steiner graph show` and return what it prints, or its error."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["graph", "show", *map(str, words)])
    assert done.exit_code == code, done.output + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize("wanted", ["1", PROBLEM.id, PROBLEM.id[:6], "six  TIMES", PROBLEM.question])
def test_a_question_is_found(run: Path, wanted: str) -> None:
    text = invoke(wanted, "--run", run)
    assert text.startswith(f"{PROBLEM.question}\nquestion 1 · {PROBLEM.id} · 5 traces, 3 right")
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    assert "├─○ 1. a · think a " in text
    assert "\x1b" not in text, "no colours where there is no terminal"


def test_all_questions_are_listed(run: Path) -> None:
    lines = invoke("--run", run).splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert lines[0].split()[1] == PROBLEM.id
    assert lines[0].endswith(PROBLEM.question)


def test_an_unknown_question_gets_the_nearest_and_how_to_list(run: Path) -> None:
    text = invoke("price of a tape measure", "--run", run, code=2)
    assert text.count("\n") == 1
    assert text.index("tape recorder") < text.index("price of a book")
    assert "without a question the command lists all of them" in text
    assert "Nearest" not in invoke("###", "--run", run, code=2)


def test_an_ambiguous_fragment_lists_what_fits(run: Path) -> None:
    text = invoke("after a discount", "--run", run, code=2)
    assert "fits 2 questions" in text
    assert "2 (" in text
    assert "3 (" in text
    assert "six times" not in text


@pytest.mark.parametrize("wanted", ["", "   ", "0", "4", "99999999999999999999"])
def test_numbers_that_no_question_has(run: Path, wanted: str) -> None:
    invoke(wanted, "--run", run, code=2)


def test_drawings_are_written(run: Path, tmp_path: Path) -> None:
    invoke("1", "--run", run, "--path", "1", "--output", tmp_path / "x.svg")
    invoke("1", "--run", run, "--output", tmp_path / "X.HTML")
    svg = ET.parse(tmp_path / "x.svg").getroot()
    assert sorted(drawn_nodes(svg)) == list(range(len(GRAPH.nodes)))
    assert "path 1: 4 steps, 1 backtracks" in "".join(svg.itertext())
    assert (tmp_path / "X.HTML").read_text().startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["X.HTML", "x.svg"]


def test_what_is_left_out_is_said(run: Path) -> None:
    text = invoke("1", "--run", run, "--nodes", "6")
    assert "5 nodes are left out" in text
    assert len(re.findall(r"^[│├└─ ]*[○×] \d+\.", text, re.MULTILINE)) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("1", "--output", "x.png"), "must end in .svg or .html"),
        (("1", "--path", "2"), "has 1 sampled paths"),
        (("2", "--path", "1"), "run `steiner sample` first"),
    ],
)
def test_what_cannot_be_shown(run: Path, words: tuple[str, ...], message: str) -> None:
    text = invoke(*words, "--run", run, code=2)
    assert message in text
    assert text.count("\n") == 1


def test_a_place_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = invoke("1", "--run", run, "--output", tmp_path / "file" / "x.svg", code=74)
    assert "cannot be written" in text


def test_a_run_without_graphs(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run"):
        pass
    assert "run the command that makes it first" in invoke("1", "--run", tmp_path / "run", code=2)
    assert "no run directory" in invoke("1", "--run", tmp_path / "none", code=2)


def test_a_terminal_without_unicode_gets_plain_signs(run: Path) -> None:
    import subprocess

    words = [sys.executable, "-m", "steiner.cli.main", "graph", "show", "1", "--run", str(run)]
    done = subprocess.run(
        words, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "COLUMNS": "80"}
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("ascii")
    assert "||" not in text
    assert re.search(r"^\|-o 1\. a . think a", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["racing-set", "loan-days", "markup"])
def test_the_drawings_of_the_documentation(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "docs" / "results" / "graphs" / f"{name}.svg"
    assert path.stat().st_size < 150_000
    assert len(drawn_nodes(ET.parse(path).getroot())) > 15
