"""Imports end with the same journal, whatever the order of the files, the workers and the kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from steiner.core import Grading, InputError, Problem, ResumeError, Trace, Verdict
from steiner.store import RunDir
from steiner.synthesis.importers import ImportReport, ImportSettings, import_traces
from steiner.synthesis.importers.native import export_native
from steiner.synthesis.importers.prose import ProseSettings

_TRACES = TypeAdapter(list[Trace])
REASONING = (
    "The room measures four metres by three metres on plan. That makes twelve square metres in all of it. "
)
OPTIONS = ["one", "two", "three"]
DEFAULT = ImportSettings()


def row(number: int = 7, **changes: Any) -> dict[str, Any]:
    return {
        "question_id": number,
        "question": f"How many lamps does room {number} need?",
        "options": OPTIONS,
        "answer": "B",
        "answer_index": 1,
        "category": "engineering",
        "pred": "B",
        "generated_text": f"{REASONING}The answer is (B).",
    } | changes


def archive(folder: Path, name: str, rows: Any, member: str = "out.json") -> Path:
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, rows if isinstance(rows, str) else json.dumps(rows))
    return path


def do_import(
    run: Path,
    files: list[Path],
    settings: ImportSettings = DEFAULT,
    workers: int = 1,
    **options: Any,
) -> ImportReport:
    with RunDir(run) as directory:
        return import_traces(directory, settings, files, workers=workers, **options)


def journal(run: Path) -> list[tuple[str, str, int, bytes]]:
    with RunDir(run, read_only=True) as directory:
        return [(s, *record) for s in ("problems", "traces") for record in directory.journal.records(s)]


def traces_of(run: Path) -> list[list[Trace]]:
    with RunDir(run, read_only=True) as directory:
        return [_TRACES.validate_json(record.body) for record in directory.journal.records("traces")]


def problems_of(run: Path) -> list[Problem]:
    with RunDir(run, read_only=True) as directory:
        return [Problem.model_validate_json(r.body) for r in directory.journal.records("problems")]


def test_one_record_becomes_problem_and_trace(tmp_path: Path) -> None:
    report = do_import(tmp_path / "run", [archive(tmp_path, "model-a", [row()])])
    problem = problems_of(tmp_path / "run")[0]
    assert problem.choices == ("one", "two", "three")
    assert (problem.answer, problem.grading, problem.source) == ("B", Grading.CHOICE, "mmlu-pro")
    assert problem.facts == {"category": "engineering"}
    trace = traces_of(tmp_path / "run")[0][0]
    assert trace.problem_id == problem.id
    assert [item.step.thought for item in trace.steps] == [
        part.strip() + "." for part in REASONING.split(".")[:2]
    ]
    assert [item.parent for item in trace.steps] == [-1, 0]
    assert (trace.answer, trace.verdict) == ("The answer is (B).", Verdict.RIGHT)
    assert (trace.provenance.teacher, trace.provenance.method) == ("model-a", "import")
    assert (report.problems, report.records, report.traces, report.bare) == (1, 1, 1, 0)
    assert report.teachers["model-a"].right == 1
    assert report.steps_per_trace == {2: 1}
    assert not list((tmp_path / "run").glob("import.sqlite*"))


def test_shapes_and_verdicts(tmp_path: Path) -> None:
    files = [
        archive(tmp_path, "a", ["stray", row(pred="C", generated_text=f"{REASONING}The answer is (C).")]),
        archive(tmp_path, "b", [row(options=str(OPTIONS), generated_text=None, model_outputs=REASONING)]),
        archive(tmp_path, "c", [row(pred=None, generated_text=REASONING)]),
        archive(tmp_path, "d", [row(generated_text="The answer is (B).")]),
        archive(tmp_path, "e", [row(options=["two", "one", "three"])]),
    ]  # fmt: skip
    report = do_import(tmp_path / "run", files)
    verdicts = {t.provenance.teacher: t.verdict for t in traces_of(tmp_path / "run")[0]}
    # b: the letter was guessed, the text does not state it.
    assert verdicts == {"a": Verdict.WRONG, "b": Verdict.UNFINISHED, "c": Verdict.UNFINISHED}
    assert (report.bare, report.other_options, report.corrected) == (1, 1, 1)


def test_order_of_questions_and_equal_questions(tmp_path: Path) -> None:
    twin = row(3, question="How many lamps does room 9 need?")
    files = [archive(tmp_path, "a", [row(9), row(2), twin]), archive(tmp_path, "b", [row(9)])]
    report = do_import(tmp_path / "run", files)
    assert [p.question for p in problems_of(tmp_path / "run")] == [row(2)["question"], row(9)["question"]]
    assert report.repeated == 1
    # The text of `a` is the same under both numbers: it is one trace.
    assert [t.provenance.teacher for t in traces_of(tmp_path / "run")[1]] == ["a", "b"]


def test_files_order_and_workers_do_not_matter(tmp_path: Path) -> None:
    files = [archive(tmp_path, name, [row(i) for i in range(20)]) for name in ("a", "b", "c")]
    do_import(tmp_path / "one", files)
    do_import(tmp_path / "two", files[::-1], workers=2)
    assert journal(tmp_path / "one") == journal(tmp_path / "two")


def test_limit_takes_the_first_questions(tmp_path: Path) -> None:
    file = archive(tmp_path, "a", [row(i) for i in (5, 1, 3)])
    report = do_import(tmp_path / "run", [file], ImportSettings(limit=2))
    assert report.problems == report.records == 2
    assert [p.question for p in problems_of(tmp_path / "run")] == [row(1)["question"], row(3)["question"]]


def test_other_settings_or_files_are_refused_unless_forced(tmp_path: Path) -> None:
    file = archive(tmp_path, "a", [row()])
    first = do_import(tmp_path / "run", [file])
    assert do_import(tmp_path / "run", [file]) == first
    finer = ImportSettings(prose=ProseSettings(max_steps=1))
    with pytest.raises(ResumeError, match="max_steps was 10, now 1"):
        do_import(tmp_path / "run", [file], finer)
    assert do_import(tmp_path / "run", [file], finer, force=True).steps_per_trace == {1: 1}
    other = archive(tmp_path, "a", [row(8)])
    with pytest.raises(ResumeError, match="input 'a' has changed"):
        do_import(tmp_path / "run", [other], finer)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": 1}, "holds a JSON dict, expected a list"),
        (["total"], "a list without any record"),
        ([{"question_id": 1, "prompt": "x"}], "has no question, .* it has question_id, prompt"),
        ([row(generated_text=None)], "has no generated_text or model_outputs"),
        ([row(options="['one'")], "is malformed"),
        ([row(answer="J")], "answer 'J' is not the letter of one of its 3 options"),
        ("[{", "is malformed"),
        ([], "There is no question"),
    ],
)
def test_other_shapes_are_explained(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        do_import(tmp_path / "run", [archive(tmp_path, "a", rows)])


def test_unreadable_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.json file; it holds notes\.txt"):
        do_import(tmp_path / "run", [archive(tmp_path, "a", "x", member="notes.txt")])
    damaged = archive(tmp_path, "b", [row(i) for i in range(50)])
    damaged.write_bytes(damaged.read_bytes()[:-40])
    with pytest.raises(InputError, match="no readable ZIP"):
        do_import(tmp_path / "run2", [damaged])
    with pytest.raises(InputError, match="does not exist"):
        do_import(tmp_path / "run3", [tmp_path / "missing.zip"])
    with pytest.raises(InputError, match="No file"):
        do_import(tmp_path / "run4", [])
    with pytest.raises(InputError, match="Unknown format 'x': known are mmlu-pro, native"):
        do_import(tmp_path / "run5", [damaged], ImportSettings(format="x"))
    (tmp_path / "sub").mkdir()
    twins = [archive(tmp_path, "c", [row()]), archive(tmp_path / "sub", "c", [row()])]
    with pytest.raises(InputError, match="have the same name"):
        do_import(tmp_path / "run6", twins)


def test_native_round_trip(tmp_path: Path) -> None:
    do_import(tmp_path / "run", [archive(tmp_path, n, [row(i) for i in range(5)]) for n in "ab"])
    with RunDir(tmp_path / "run", read_only=True) as directory:
        assert export_native(directory, tmp_path / "all.jsonl") == 5
    report = do_import(tmp_path / "again", [tmp_path / "all.jsonl"], ImportSettings(format="native"))
    assert (report.problems, report.traces, report.bare) == (5, 10, 0)
    assert traces_of(tmp_path / "again") == traces_of(tmp_path / "run")
    assert problems_of(tmp_path / "again") == problems_of(tmp_path / "run")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is no record of problem and traces"),
        ('{"problem": {"question": "q", "answer": "a"}, "steps": []}', "line 2 .*steps: Extra inputs|traces"),
        (
            '{"schema_version": 9, "problem": {"question": "q", "answer": "a"}, "traces": []}',
            "schema version 9",
        ),
    ],
)
def test_native_errors_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"problem": {"question": "q", "answer": "a"}, "traces": []}\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        do_import(tmp_path / "run", [path], ImportSettings(format="native"))


KILLED = """
import sys
from pathlib import Path
import steiner.store.stage as stage
stage.COMMIT_RECORDS = 8
from steiner.store import RunDir
from steiner.synthesis.importers import ImportSettings, import_traces
with RunDir(sys.argv[1]) as run:
    import_traces(run, ImportSettings(), [Path(name) for name in sys.argv[2:]])
"""


def test_killed_import_goes_on_to_the_same_journal(tmp_path: Path) -> None:
    text = REASONING * 3 + "The answer is (B)."
    rows = [row(i, generated_text=f"Room {i} comes first of all the rooms here. {text}") for i in range(200)]
    files = [archive(tmp_path, name, rows) for name in ("a", "b", "c")]
    whole = do_import(tmp_path / "whole", files)
    run = tmp_path / "run"
    for least in (1, 90):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(run), *map(str, files)])
        _wait_for_traces(run, least, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert do_import(run, files) == whole
    assert journal(run) == journal(tmp_path / "whole")


def _wait_for_traces(run: Path, least: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        if (run / "journal.sqlite").exists():
            try:
                with RunDir(run, read_only=True) as directory:
                    if directory.journal.count("traces") >= least:
                        return
            except Exception:  # the journal is just being made
                pass
        time.sleep(0.005)


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mmlu_pro_traces"
    file = folder / "gemini-1.5-pro-002.zip"
    if not file.exists():
        pytest.skip(f"no MMLU-Pro traces in {folder}")
    report = do_import(tmp_path / "run", [file], ImportSettings(limit=60))
    assert report.problems == 60
    assert report.teachers["gemini-1.5-pro-002"].right > report.traces / 2
    assert max(report.steps_per_trace) <= 10
    for trace in (t for row in traces_of(tmp_path / "run") for t in row):
        for item in trace.steps:
            assert "step by step" not in item.step.thought[:30].lower()
            assert "Question:" not in item.step.thought
