"""The stage `problems`: duplicates, resuming, leaks between splits, and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli.problems import app
from steiner.core import InputError, Problem, ResumeError
from steiner.problems.countdown import CountdownSettings
from steiner.problems.files import FileSettings
from steiner.problems.source import (
    CountdownProblems,
    ProblemSource,
    check_disjoint,
    countdown_source,
    file_source,
    read_problems,
    write_problems,
)
from steiner.store import RunDir

SMALL = CountdownProblems(n=40, countdown=CountdownSettings(count=3, high=20))


def numbered(count: int) -> Iterator[Problem]:
    return (Problem(question=f"q{i}", answer="1") for i in range(count))


def test_a_stage_holds_the_problems_in_order(tmp_path: Path) -> None:
    with RunDir(tmp_path) as run:
        summary = write_problems(run, countdown_source(SMALL))
        stored = list(read_problems(run))
        assert stored == list(countdown_source(SMALL).problems)
        assert [r.ordinal for r in run.journal.records("problems")] == list(range(40))
        assert summary.count == 40
        assert summary.tasks == {"countdown": 40}
        assert write_problems(run, countdown_source(SMALL)) == summary
        with pytest.raises(ResumeError, match="n was 40, now 41"):
            write_problems(run, countdown_source(SMALL.model_copy(update={"n": 41})))
        write_problems(run, countdown_source(SMALL.model_copy(update={"n": 41})), force=True)
        assert run.journal.count("problems") == 41


def test_an_interrupted_stage_is_finished_by_the_same_call(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Problem]:
        yield from numbered(300)
        raise KeyboardInterrupt

    with RunDir(tmp_path) as run:
        with pytest.raises(KeyboardInterrupt):
            write_problems(run, ProblemSource(interrupted(), SMALL))
        assert 0 < run.journal.count("problems") < 301
        write_problems(run, ProblemSource(numbered(310), SMALL))
        assert [p.question for p in read_problems(run)] == [f"q{i}" for i in range(310)]


def test_a_corrected_command_replaces_one_that_failed(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run") as run:
        path = tmp_path / "rows.jsonl"
        path.write_text('{"prompt": "q", "answer": "1"}\n')
        with pytest.raises(InputError, match="no column 'question'"):
            write_problems(run, file_source([path], FileSettings(files=(path.name,))))
        settings = FileSettings(files=(path.name,), question_column="prompt")
        assert write_problems(run, file_source([path], settings)).count == 1
        path.write_text('{"prompt": "another", "answer": "1"}\n')
        with pytest.raises(ResumeError, match=r"'rows\.jsonl' has changed"):
            write_problems(run, file_source([path], settings))


def test_repeated_questions_are_left_out_and_counted(tmp_path: Path) -> None:
    problems = [
        Problem(question="What?", answer="1", source="a"),
        Problem(question="What?", answer="1", source="b"),
        Problem(question="what? ", answer="2"),
        Problem(question="Why?", answer="1"),
        Problem(question="How?", answer="1"),
    ]
    with RunDir(tmp_path) as run:
        summary = write_problems(run, ProblemSource(problems, SMALL, limit=2, dropped={"has no answer": 3}))
        assert [p.question for p in read_problems(run)] == ["What?", "Why?"]
    assert (summary.duplicates, summary.conflicts, summary.dropped) == (1, 1, {"has no answer": 3})


def test_an_empty_set_is_an_error_that_says_what_was_left_out(tmp_path: Path) -> None:
    with RunDir(tmp_path) as run:
        with pytest.raises(InputError, match="not one problem"):
            write_problems(run, ProblemSource([], SMALL))
        with pytest.raises(InputError, match=r"3 \(has no answer\)"):
            write_problems(run, ProblemSource([], SMALL, dropped={"has no answer": 3}))


def test_questions_of_another_run_can_be_excluded(tmp_path: Path) -> None:
    with RunDir(tmp_path / "train") as train, RunDir(tmp_path / "test") as test:
        write_problems(train, ProblemSource(numbered(10), SMALL))
        summary = write_problems(test, ProblemSource(numbered(15), SMALL), exclude=train)
        assert (summary.count, summary.excluded) == (5, 10)
        check_disjoint(read_problems(train), read_problems(test))
        with pytest.raises(InputError, match="10 test questions occur in the training set"):
            check_disjoint(read_problems(train), numbered(15))


def cli(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_commands(tmp_path: Path) -> None:
    out = cli("countdown", "--run", str(tmp_path / "c"), "--numbers", "3", "--high", "20", "--count", "30")
    assert "30" in out
    path = tmp_path / "quiz.csv"
    path.write_text("prompt,reply,bad\n1+1?,2,\nlang?,,\n2+2?,4,\n2+2?,4,\n")
    command = ["file", str(path), "--question-column", "prompt", "--answer-column", "reply"]
    with pytest.raises(InputError, match=r"quiz\.csv:3 has no answer.*--skip-bad"):
        cli(*command, "--run", str(tmp_path / "f"))
    out = cli(*command, "--run", str(tmp_path / "f"), "--skip-bad")
    assert "left out: has no answer" in out
    assert "left out: repeated" in out
    with RunDir(tmp_path / "f", read_only=True) as run:
        assert [p.answer for p in read_problems(run)] == ["2", "4"]


def test_the_gym_command_takes_options(tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    run_path = str(tmp_path / "g")
    options = ["--set", "min_terms=2", "--set", "max_terms=2"]
    cli("gym", "chain_sum", "--run", run_path, "--count", "3", *options)
    with RunDir(run_path, read_only=True) as run:
        stage = run.journal.stage("problems")
        assert stage is not None
        assert stage.settings["config"] == {"min_terms": 2, "max_terms": 2}
        assert all(p.scoring["metadata"]["num_terms"] == 2 for p in read_problems(run))
    with pytest.raises(InputError, match="key=value"):
        cli("gym", "chain_sum", "--run", run_path, "--set", "min_terms")


def test_importing_the_command_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, steiner.cli.problems, steiner.problems.grading, steiner.problems.source, json;"
        "heavy = {'torch', 'datasets', 'pyarrow', 'sympy', 'math_verify', 'reasoning_gym', 'numpy'};"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
