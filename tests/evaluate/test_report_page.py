"""The page: complete, self-contained, safe against what is written in it, and equal to its JSON twin."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_example import RIGHT_PATH, WRONG_PATH, example_report

from steiner.core import Move, ReasoningPath, Step, StorageError
from steiner.evaluate import Headline, PathExample, Report
from steiner.evaluate.report import counted, duration, example_view, readable, render, write_report

HOSTILE = "<script>alert(1)</script></style></title>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}\x00\u202e"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects the tags of a page and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.seen if tag == name]


@pytest.fixture(scope="module")
def report() -> Report:
    return example_report()


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report, json_link="report.json")


def hostile(report: Report) -> Report:
    """A report with markup wherever a model, a file name or a setting could put some."""
    step = Step(name=HOSTILE, thought=HOSTILE, summary=HOSTILE, reflection=HOSTILE)
    path = ReasoningPath(steps=(step, step, step), moves=(Move.PROCEED, Move.BACKTRACK), answer=HOSTILE)
    example = PathExample(title=HOSTILE, question=HOSTILE, path=path, right=False, reference=HOSTILE)
    assert report.graph is not None
    assert report.dataset is not None
    nodes = list(report.graph.graph.nodes)
    nodes[1] = nodes[1].model_copy(update={"wordings": (step,) * len(nodes[1].wordings), "state": HOSTILE})
    graph = report.graph.graph.model_copy(update={"nodes": tuple(nodes)})
    return report.model_copy(
        update={
            "title": HOSTILE,
            "verdict": HOSTILE,
            "command": HOSTILE,
            "machine": HOSTILE,
            "notes": (HOSTILE,),
            "settings": {HOSTILE: HOSTILE},
            "headline": (Headline(label=HOSTILE, value=HOSTILE, note=HOSTILE),),
            "models": tuple(m.model_copy(update={"title": HOSTILE}) for m in report.models),
            "comparisons": tuple(c.model_copy(update={"after": HOSTILE}) for c in report.comparisons),
            "examples": (example,),
            "graph": report.graph.model_copy(update={"graph": graph, "question": HOSTILE}),
            "times": tuple(t.model_copy(update={"note": HOSTILE}) for t in report.times),
            "training_curves": tuple(c.model_copy(update={"stage": HOSTILE}) for c in report.training_curves),
            "dataset": report.dataset.model_copy(
                update={"dropped": {HOSTILE: 1}, "languages": {HOSTILE: 1, "b": 2}}
            ),
        }
    )


def test_everything_hostile_stays_text(report: Report) -> None:
    text = render(hostile(report))
    page = Page(text)
    assert page.tags("script") == []
    assert page.tags("img") == []
    assert len(page.tags("style")) == 1
    assert all(not name.startswith("on") for _, attributes in page.seen for name in attributes)
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "49" not in re.findall(r"onerror=alert\(1\)>(\d*)", html.unescape(text))
    assert page.text.count("<script>alert(1)</script>") >= 15
    assert page.text.count("{{ 7 * 7 }}") >= 15


def test_page_fetches_and_runs_nothing(page: str) -> None:
    tree = Page(page)
    for name in ("script", "link", "img", "iframe", "object", "embed", "base", "form"):
        assert tree.tags(name) == []
    for _, attributes in tree.seen:
        assert not {"src", "srcset", "style", "xlink:href"} & attributes.keys()
    assert [a["href"] for a in tree.tags("a")] == ["#results", "report.json"]
    assert not re.search(r"https?://|@import|url\(", page)


def test_policy_allows_exactly_the_style_sheet(page: str) -> None:
    policy = next(m["content"] for m in Page(page).tags("meta") if m.get("http-equiv"))
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL)
    assert policy is not None
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_page_shows_every_number_of_the_models(report: Report, page: str) -> None:
    text = Page(page).text
    for model in report.models:
        for point in model.curve:
            assert f"{100 * point.accuracy:.1f}%" in text
            assert f"{100 * point.low:.1f}–{100 * point.high:.1f}%" in text
    for comparison in report.comparisons:
        assert comparison.verdict in text
    for expected in (
        report.title,
        report.verdict,
        report.command,
        report.commit,
        report.machine,
        *report.notes,
    ):
        assert expected in text


def test_page_is_small_and_has_its_parts_in_order(page: str) -> None:
    assert len(page.encode()) < 300_000
    places = [page.index(f'id="{part}"') for part in ("scaling", "comparisons", "paths", "graph", "data")]
    places += [page.index(f'id="{part}"') for part in ("training", "times", "provenance")]
    assert places == sorted(places)


def test_page_can_be_used_without_sight_or_mouse(page: str) -> None:
    tree = Page(page)
    figures = [a for a in tree.tags("svg") if a.get("aria-hidden") != "true"]
    assert len(figures) > 8
    assert all(a.get("role") == "img" and a.get("aria-label") for a in figures)
    assert all(a.get("scope") in ("col", "row") for a in tree.tags("th"))
    scrolling = [a for _, a in tree.seen if "scroll" in (a.get("class") or "").split()]
    assert scrolling
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in scrolling)
    assert tree.tags("html")[0]["lang"] == "en"
    ids = [a["id"] for _, a in tree.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in tree.seen if "aria-labelledby" in a} <= set(ids)


def test_empty_report_is_a_page() -> None:
    empty = Report(
        title="Nothing yet",
        verdict="No model.",
        created="2026-01-01T00:00:00Z",
        command="x",
        commit="",
        seed=0,
        machine="m",
    )
    text = Page(render(empty)).text
    assert "Nothing yet" in text
    assert "unknown" in text
    assert "What each stage added" not in text


def test_no_gain_is_called_that(page: str) -> None:
    text = Page(page).text
    assert "SFT → RL no clear difference" in text
    assert "no difference beyond noise: +" in text


def test_json_twin_reads_back(report: Report, tmp_path: Path) -> None:
    target, twin = tmp_path / "out" / "report.html", tmp_path / "out" / "data" / "report.json"
    write_report(report, target, twin)
    assert Report.model_validate_json(twin.read_bytes()) == report
    page = target.read_text(encoding="utf-8")
    assert 'href="data/report.json"' in page
    assert page == render(report, json_link="data/report.json")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["report.html", "report.json"]


def test_place_that_cannot_be_written_is_named(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/report"):
        write_report(report, tmp_path / "file" / "report.html", tmp_path / "file" / "report.json")


def test_arrivals_name_where_a_backtrack_went() -> None:
    view = example_view(PathExample(title="t", question="q", path=RIGHT_PATH, right=True))
    assert [step.arrival for step in view.steps] == [
        "starts",
        "proceeds",
        "backtracks to step 1",
        "backtracks to the question",
        "proceeds",
        "backtracks to the question",
        "proceeds",
    ]
    assert [step.depth for step in view.steps] == [0, 1, 1, 0, 1, 0, 1]


def test_repeated_steps_are_pointed_out() -> None:
    view = example_view(PathExample(title="t", question="q", path=WRONG_PATH, right=False))
    assert [step.repeats for step in view.steps] == [None, None, 1, None]


def test_long_path_is_cut_and_says_so() -> None:
    step = Step(name="n", thought="x" * 5000, summary="", reflection="")
    path = ReasoningPath(steps=(step,) * 100, moves=(Move.PROCEED,) * 99, answer="1")
    report = Report(
        title="t", verdict="v", created="2026-01-01T00:00:00Z", command="c", commit="", seed=0, machine="m",
        examples=(PathExample(title="t", question="q", path=path, right=True),),
    )  # fmt: skip
    text = Page(render(report)).text
    assert "20 more steps are in the JSON file" in text
    assert "(3,500 more characters)" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (552, "9 min 12 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_readable_keeps_text_and_counts_what_it_cuts() -> None:
    assert readable("a\tb\r\nc") == "a\tb\nc"
    assert readable("abcdef", 4) == "abcd… (2 more characters)"
    assert readable("a\x07b") == "a\ufffdb"
    assert (counted(1, "step"), counted(1200, "step")) == ("1 step", "1,200 steps")
