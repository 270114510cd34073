"""Each real data file loads with the one short command that docs/problems.md gives for it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli.problems import app
from steiner.core import Grading
from steiner.problems.grading import grade
from steiner.problems.source import read_problems
from steiner.store import RunDir

DOCS = Path(__file__).resolve().parents[2] / "docs" / "problems.md"
LARGE = ("gsm8k/train.jsonl", "math/train.json", "mmlu/mmlu.zip", "mmlu_pro_traces/mathstral-7B.zip")
EXPECTED = {
    "gsm8k/train.jsonl": (7473, {Grading.NUMERIC}),
    "gsm8k/test.jsonl": (1319, {Grading.NUMERIC}),
    "math/train.json": (7468, {Grading.MATH}),
    "math/math500.json": (500, {Grading.MATH}),
    "aime/aime24.jsonl": (30, {Grading.MATH}),
    "mmlu/mmlu.zip": (13936, {Grading.CHOICE}),
    "mmlu_pro_traces/mathstral-7B.zip": (11873, {Grading.CHOICE}),
    "gpqa/gpqa_diamond.zip": (198, {Grading.CHOICE}),
    "mgsm/*.tsv": (1250, {Grading.NUMERIC}),
    "game24/24.csv": (1362, {Grading.TASK}),
    "big_bench_mistake/*.jsonl": (600, {Grading.CHOICE, Grading.NUMERIC}),
}


def documented_command(pattern: str) -> list[str]:
    """Return the arguments after `steiner problems` of the documented command for a data file."""
    match = re.search(
        rf"^steiner problems (file DATA/{re.escape(pattern)} .*)$", DOCS.read_text(), re.MULTILINE
    )
    assert match, f"docs/problems.md has no command for {pattern}"
    return shlex.split(match.group(1))


@pytest.mark.parametrize(
    "pattern", [pytest.param(p, marks=[pytest.mark.slow] if p in LARGE else []) for p in EXPECTED]
)
def test_one_short_command(pattern: str, shared_data: Path, tmp_path: Path) -> None:
    count, gradings = EXPECTED[pattern]
    arguments: list[str] = []
    for argument in documented_command(pattern):
        if argument.startswith("DATA/"):
            arguments += map(str, sorted(shared_data.glob(argument.removeprefix("DATA/"))))
        else:
            arguments.append(argument)
    arguments[arguments.index("--run") + 1] = str(tmp_path / "run")
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    right = total = 0
    with RunDir(tmp_path / "run", read_only=True) as run:
        assert run.journal.count("problems") == count
        for place, problem in enumerate(read_problems(run)):
            # Never compare or print a problem as a whole: a failing test would show a GPQA example.
            assert problem.grading in gradings
            if place % max(1, count // 60) == 0:
                total += 1
                right += grade(problem, f"So the answer is **{problem.answer}**.").right
    assert right == total


def test_every_game_of_24_has_a_reference(shared_data: Path, tmp_path: Path) -> None:
    arguments = ["file", str(shared_data / "game24" / "24.csv"), "--preset", "game24", "--run", str(tmp_path)]
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    with RunDir(tmp_path, read_only=True) as run:
        assert all(grade(problem, problem.answer).right for problem in read_problems(run))
