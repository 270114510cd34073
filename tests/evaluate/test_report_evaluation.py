"""The report of an evaluation: built, packed, rendered, written from the command line."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from saved_example import LIMITS, saved
from test_report_page import HOSTILE, Page
from typer.testing import CliRunner

from steiner.cli.report import app
from steiner.core import InputError, Step
from steiner.evaluate import FailureKind, Report
from steiner.evaluate.baselines import Pool
from steiner.evaluate.curves import Axis, scaling_curve
from steiner.evaluate.drawing.scaling import scaling_figure
from steiner.evaluate.pages.build import evaluation_report, failure_table, with_failures
from steiner.evaluate.pages.card import model_card, plain
from steiner.evaluate.pages.pack import MOST_CHARACTERS, PART, entries, pack
from steiner.evaluate.pages.records import EvaluationReport, FailureTable
from steiner.evaluate.report import render
from steiner.evaluate.saved import SavedEvaluation, save

NOW = "2026-11-23T00:00:00+00:00"


def report(evaluation: SavedEvaluation | None = None, **values: Any) -> EvaluationReport:
    return evaluation_report(evaluation or saved(), created=NOW, **values)


@pytest.fixture(scope="module")
def compared() -> EvaluationReport:
    return report(against=saved(model="runs/a/sft/model", skill=0.4, seed=0))


@pytest.fixture(scope="module")
def page(compared: EvaluationReport) -> str:
    return render(compared, json_link="report.json")


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_every_wrong_sample_is_in_the_table_once(compared: EvaluationReport) -> None:
    table = compared.failures
    assert table is not None
    assert table.limits == LIMITS
    wrong = [s for s in saved().samples if not s.right]
    assert sum(map(sum, (row.counts for row in table.rows))) == len(wrong) == sum(table.wrong)
    assert [row.kind for row in table.rows] == list(FailureKind)
    assert all(len(row.other) == len(LIMITS) for row in table.rows)


def test_a_table_that_forgets_a_sample_is_refused(compared: EvaluationReport) -> None:
    assert compared.failures is not None
    short = compared.failures.model_dump() | {"rows": compared.failures.rows[1:]}
    with pytest.raises(ValueError, match="every wrong sample must be in one class"):
        FailureTable.model_validate(short)


def test_other_limits_of_the_other_run_are_left_open() -> None:
    own, other = with_failures(saved().samples), with_failures(saved(limits=(4, 16)).samples)
    table = failure_table(own, other, "other")
    assert {tuple(count is None for count in row.other) for row in table.rows} == {(True, False, True)}


def test_old_files_get_classes_from_their_counts() -> None:
    bare = saved(kept=False)
    bare = bare.model_copy(
        update={"samples": tuple(s.model_copy(update={"failure": None}) for s in bare.samples)}
    )
    made = report(bare)
    assert made.failures is not None
    assert sum(made.failures.wrong) == sum(not s.right for s in bare.samples) > 0
    assert any("text of the completions was not kept" in note for note in made.notes)
    assert "browser" in render(made)


def test_report_says_what_was_measured(compared: EvaluationReport) -> None:
    assert "answers 73.3% of 60 questions right with up to 8 steps (95% interval" in compared.verdict
    assert "Against runs/a/sft/model: better: +" in compared.verdict
    assert [c.max_steps for c in compared.comparisons] == list(LIMITS)
    assert [(c.title, c.axis) for c in compared.curves] == [
        ("runs/a/rl/model", Axis.MAX_STEPS), ("runs/a/rl/model", Axis.TOKENS),
        ("runs/a/sft/model", Axis.MAX_STEPS), ("runs/a/sft/model", Axis.TOKENS),
    ]  # fmt: skip
    assert [row.name for row in compared.metrics] == ["pass@1"]
    assert compared.metrics[0].other is not None
    assert any("60 questions: the intervals are wide" in note for note in compared.notes)


def test_several_completions_a_question_give_all_metrics() -> None:
    made = report(saved(12, limits=(None,), epochs=4))
    assert [row.name for row in made.metrics] == ["pass@1", "avg@4", "pass@2", "pass@4", "maj@2", "maj@4"]
    assert made.curves == ()
    assert made.browser is not None
    joined = entries(made.browser)
    assert len(joined) == 48
    assert [e.written.problem_id for e in joined] == [e.question.problem_id for e in joined]


def test_json_twin_reads_back_as_both(compared: EvaluationReport) -> None:
    text = compared.model_dump_json()
    assert EvaluationReport.model_validate_json(text) == compared
    kept = json.loads(text)
    plain_report = {name: kept[name] for name in Report.model_fields}
    assert Report.model_validate(plain_report).verdict == compared.verdict
    assert kept["schema_version"] == 1


def test_samples_are_packed_whole_and_in_parts() -> None:
    made = report(saved(2 * PART + 30))
    assert made.browser is not None
    packed = pack(made.browser)
    index = unpacked(packed.overview)
    texts = [text for part in packed.parts for text in unpacked(part)]
    assert [len(unpacked(part)) for part in packed.parts] == [PART, PART, 30]
    assert index["id"] == [f"p{number:05}" for number in range(2 * PART + 30)]
    by_key = {(s.problem_id, s.max_steps): s for s in made.browser.samples}
    for entry, (name, text) in enumerate(zip(index["id"], texts, strict=True)):
        for column, limit in enumerate(LIMITS):
            right, kind, steps, tokens, answer, evidence, _ = index["results"][entry][column]
            sample = by_key[name, limit]
            assert (bool(right), steps, tokens) == (sample.right, sample.steps, sample.reasoning_tokens)
            assert answer == text["answers"][column] == sample.answer
            if sample.right:
                assert (kind, evidence) == (-1, "")
            else:
                assert sample.failure is not None
                assert (index["kinds"][kind][0], evidence) == (sample.failure.kind, sample.failure.evidence)
        assert len(index["moves"][entry]) == len(text["steps"]) - 1
    assert pack(made.browser) == packed


def test_packed_texts_are_cut_and_say_so() -> None:
    long = Step(name="n", thought="x" * (MOST_CHARACTERS + 500), summary="", reflection="\u202e\ud800")
    made = report(saved(2, steps=(long, long)))
    assert made.browser is not None
    (text, _) = unpacked(pack(made.browser).parts[0])
    assert text["steps"][0][1].endswith("… (500 more characters)")
    assert text["steps"][0][3] == "\ufffd?"


def test_page_has_its_parts_and_its_links(compared: EvaluationReport, page: str) -> None:
    tree = Page(page)
    order = ["metrics", "curves", "comparisons", "failures", "samples", "provenance"]
    places = [page.index(f'id="{part}"') for part in order]
    assert places == sorted(places)
    assert compared.failures is not None
    links = {a["href"] for a in tree.tags("a")}
    for row in compared.failures.rows:
        for column, count in enumerate(row.counts):
            assert (f"#samples/{row.kind}/{column}" in links) == (count > 0)
    for curve in compared.curves:
        assert html.escape(curve.verdict, quote=False) in page
    for warning in [c.warning for c in (*compared.curves, *compared.comparisons) if c.warning]:
        assert warning in tree.text
    assert all(a.get("scope") in ("col", "row") for a in tree.tags("th"))
    ids = [a["id"] for _, a in tree.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in tree.seen if "aria-labelledby" in a} <= set(ids)


def test_policy_allows_exactly_our_script(page: str) -> None:
    tree = Page(page)
    policy = next(m["content"] for m in tree.tags("meta") if m.get("http-equiv"))
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    others = [a for a in tree.tags("script") if a]
    assert others
    assert {a["type"] for a in others} == {"application/octet-stream"}
    for name in ("link", "img", "iframe", "object", "embed", "base"):
        assert tree.tags(name) == []
    for _, attributes in tree.seen:
        assert not {"src", "srcset", "style", "xlink:href"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|innerHTML|eval\(", page)


def test_hostile_texts_stay_text() -> None:
    step = Step(name=HOSTILE, thought=HOSTILE, summary=HOSTILE, reflection=HOSTILE)
    evil = saved(30, model=HOSTILE, steps=(step,) * 3, prompt=HOSTILE, answer=HOSTILE)
    made = report(evil, against=saved(30, model=HOSTILE + "2", skill=0.2))
    text = render(made)
    page = Page(text)
    assert page.tags("img") == []
    assert len(page.tags("style")) == 1
    assert len(re.findall("<script", text)) == 2 + 1, "index, one part, and the script itself"
    assert "\u202e" not in text
    card = model_card(made)
    assert "<script" not in card
    assert "<img" not in card
    assert "\u202e" not in card


def test_nothing_wrong_is_said() -> None:
    made = report(saved(20, skill=9.0, limits=(8,)))
    page = Page(render(made))
    assert "Nothing is wrong: all 20 completions were right." in page.text
    assert "Where it goes wrong" not in model_card(made)


def test_figure_draws_bands_baselines_and_no_limit() -> None:
    samples = saved(80, limits=(2, 8, None)).samples
    pool = Pool(
        "short",
        [s.model_copy(update={"max_steps": 1}) for s in saved(80, limits=(2,), epochs=9).samples],
        True,
    )
    curve = scaling_curve([samples], Axis.MAX_STEPS, title="m", pools=[pool])
    svg = scaling_figure([curve])
    assert svg.count('class="band') == 1
    assert "no limit" in svg
    assert svg.count("line dashed") == 2
    assert "majority vote of short" in svg
    assert "best of N of short" in svg
    made = render(report(curves=[curve]))
    assert "best of N of short, same tokens" in made
    xs = [float(x) for x in re.findall(r'<circle cx="([\d.]+)" cy="[\d.]+" r="12"', svg)]
    assert all(52 <= x <= 860 - 24 for x in xs)


def test_card_is_markdown_with_the_numbers(compared: EvaluationReport) -> None:
    card = model_card(compared)
    assert card.startswith("## Evaluation\n")
    assert "| pass@1 | 73.3% (" in card
    assert "### Where it goes wrong" in card
    assert "| left a good branch |" in card
    assert "`steiner evaluate runs/a/rl/model --run runs/test`, commit 280a9e7, seed 0" in card
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert all(line.endswith(" |") for line in rows)
    assert plain("a|b\n<i>_x_ `c`") == r"a\|b &lt;i&gt;\_x\_ \`c\`"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_writes_three_files_and_goes_on_from_them(tmp_path: Path) -> None:
    own, other = tmp_path / "rl.json", tmp_path / "sft.json"
    save(saved(40, model=str(tmp_path / "rl" / "model")), own)
    save(saved(40, model="sft", skill=0.3), other)
    (tmp_path / "rl").mkdir()
    alarm = {"name": "no_signal", "since": 9, "evidence": "groups: 95.0%", "advice": "x"}
    (tmp_path / "rl" / "training.json").write_text(json.dumps({"stage": "rl", "alarms": [alarm]}))
    done = run(own, "--against", other, "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    made = EvaluationReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert made.training_alarms is not None
    assert made.training_alarms[0].evidence == "groups: 95.0%"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "groups: 95.0%" in page
    assert made.verdict in done.output.replace("\n", " ")
    assert (tmp_path / "out" / "model-card.md").read_text() == model_card(made)
    again = run(own, "--output", tmp_path / "out")
    with pytest.raises(InputError, match="exists: give another --output, or --force"):
        raise again.exception
    (tmp_path / "out" / "report.html").unlink()
    (tmp_path / "out" / "model-card.md").unlink()
    assert run(tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "report.html").read_text() == page


def test_command_takes_curves_with_baselines(tmp_path: Path) -> None:
    own = saved(40)
    save(own, tmp_path / "rl.json")
    short = [s.model_copy(update={"max_steps": 1}) for s in saved(40, limits=(2,), epochs=5).samples]
    curve = scaling_curve([own.samples], Axis.TOKENS, title=own.model, pools=[Pool("short", short)])
    (tmp_path / "curve.json").write_text(curve.model_dump_json())
    done = run(tmp_path / "rl.json", "--curve", tmp_path / "curve.json")
    assert done.exit_code == 0, done.output
    made = EvaluationReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert [(c.axis, len(c.baselines)) for c in made.curves] == [(Axis.TOKENS, 1), (Axis.MAX_STEPS, 0)]
    assert "majority vote of short, same tokens" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.json"], "cannot be read"),
        (["bad/report.json"], "no report of this version"),
        (["good.json", "--curve", "bad/report.json"], "was not written by `steiner curve --output`"),
        (["good.json", "--curve", "nothing.json"], "The curve nothing.json cannot be read"),
        (["good.json", "--against", "fewer.json"], "Evaluate both on the same problems"),
        (["bad/report.json", "--against", "good.json"], "is a finished report"),
    ],
)
def test_command_says_what_is_wrong(tmp_path: Path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "report.json").write_text("{}")
    save(saved(10), tmp_path / "good.json")
    save(saved(9), tmp_path / "fewer.json")
    with pytest.raises(InputError, match=message):
        raise run(*arguments, "--output", "out").exception
    assert not (tmp_path / "out").exists()
