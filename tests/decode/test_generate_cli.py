"""The command itself; it lives in `cli`, and shares the tiny model with these tests."""

import json

import pytest
from typer.testing import CliRunner

from steiner.cli.answers import read_questions
from steiner.cli.generate import app, make_budget
from steiner.cli.live import printable
from steiner.core import InputError


@pytest.fixture(scope="module")
def folder(model, tokenizer, tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


def run(*arguments):
    return CliRunner().invoke(app, [*arguments], catch_exceptions=True)


def test_json_gives_one_parsed_completion_a_question_in_order(folder, tmp_path):
    file = tmp_path / "questions.txt"
    file.write_text("two\n\n  three \n", encoding="utf-8")
    result = run(
        "--model", folder, "one", "--file", str(file), "--json",
        "--min-steps", "2", "--max-reasoning-tokens", "40", "--max-answer-tokens", "4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert [row["question"] for row in rows] == ["one", "two", "three"]
    assert all(len(row["steps"]) == 2 and row["answer"] and not row["violations"] for row in rows)
    assert all(row["reasoning_tokens"] <= 40 for row in rows)


def test_steps_are_shown_with_the_move_before_them(folder):
    result = run(
        "--model", folder, "[bold]q", "--min-steps", "2", "--max-steps", "2", "--max-reasoning-tokens", "40",
        "--temperature", "1", "--seed", "3",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "[bold]q" in result.output
    assert "●" in result.output
    assert ("↓" in result.output) != ("↩" in result.output)
    assert "2 steps" in result.output


def test_limits_of_steps_and_soft_limits(folder):
    result = run(
        "--model", folder, "one", "--json", "--temperature", "2", "--max-reasoning-tokens", "200",
        "--max-step-tokens", "20", "--soft-end=-100,100,2,linear", "--backtrack-bias", "50", "--ban-repeats",
        "--max-answer-tokens", "3",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (row,) = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert row["moves"] == ["backtrack"]  # END gets 0 after the first step and 100 after the second
    assert row["reasoning_tokens"] <= 3 + 2 * 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--mode", "loose"], "unknown mode 'loose'"),
        (["x", "--min-steps", "3", "--max-steps", "2"], "^min_steps 3 is more than max_steps 2"),
        (["x", "--max-reasoning-tokens", "5"], "--max-reasoning-tokens: Input should be"),
        (["x", "--min-steps", "9", "--max-reasoning-tokens", "50"], "9 steps need at least 100"),
        (["x", "--max-step-tokens", "9"], "--max-step-tokens: Input should be"),
        (["x", "--soft-end", "1,2"], "--soft-end takes START,STOP,STEPS"),
        (["x", "--soft-end", "1,2,3,steep"], "Got '1,2,3,steep'"),
        (["x", "--mode", "report", "--ban-repeats"], "work in strict mode only"),
        ([], "there is no question"),
        (["--file", "/nowhere"], "cannot be read"),
    ],
)
def test_bad_requests_are_told_clearly(folder, arguments, message):
    result = run("--model", folder, *arguments)
    with pytest.raises(InputError, match=message):
        raise result.exception


def test_limits_and_questions():
    assert make_budget(min_steps=2, max_steps=4).max_steps == 4
    assert [item.text for item in read_questions(["a", " "], None)] == ["a"]


def test_a_model_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\n日本\x07") == "a\ufffd[31mb\n日本\ufffd"
