"""`steiner generate --file … --output …`: batches in and out, stopped and gone on with."""

from __future__ import annotations

import json
import os

import pytest
from terminal import Terminal
from typer.testing import CliRunner

from killing import run_with_kills, steiner, stored
from steiner.cli.answers import STAGE, Asked, read_questions, run_folder
from steiner.cli.generate import app
from steiner.core import BusyError, InputError, ResumeError
from steiner.store import RunDir
from tiny_model import save_tiny_model

LIMITS = ["--max-reasoning-tokens", "40", "--max-answer-tokens", "4", "--temperature", "1", "--seed", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def questions(tmp_path):
    file = tmp_path / "questions.jsonl"
    rows = [
        {"id": "a", "question": "one"},
        "two",
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "three"}]},
        {"question": "four", "limits": {"min_steps": 3, "max_steps": 3, "max_reasoning_tokens": 50}},
        {"id": "e", "question": "five"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return file


def run(folder, questions, output, *more):
    argv = ["--model", folder, "--file", questions, "--output", output, "--batch-size", "2", *LIMITS, *more]
    done = CliRunner().invoke(app, list(map(str, argv)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_one_line_for_each_question_in_order(folder, questions, tmp_path):
    output = tmp_path / "answers.jsonl"
    assert "5 answers, 5 of them new" in run(folder, questions, output).stderr
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "2", "3", "4", "e"]
    assert [row.get("question") for row in rows] == ["one", "two", None, "four", "five"]
    assert rows[2]["messages"][1] == {"role": "user", "content": "three"}
    assert len(rows[3]["steps"]) == 3
    assert all(row["answer"] and not row["violations"] for row in rows)


class Killed(BaseException):
    pass


def test_stopped_and_run_again_gives_the_same(folder, questions, tmp_path, monkeypatch):
    from steiner.cli import answers

    whole, output = tmp_path / "whole.jsonl", tmp_path / "answers.jsonl"
    run(folder, questions, whole)
    plain, written = answers.Writer.write, []

    def write(self, batch, index, watch=None):
        if written:
            raise Killed
        written.append(index)
        return plain(self, batch, index, watch)

    monkeypatch.setattr(answers.Writer, "write", write)
    with pytest.raises(Killed):
        run(folder, questions, output)
    assert not output.exists()
    monkeypatch.undo()
    again = run(folder, questions, output)
    assert "5 answers, 3 of them new" in again.stderr, "nothing is answered twice"
    assert output.read_bytes() == whole.read_bytes()

    assert "0 of them new" in run(folder, questions, output).stderr
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_other_settings_or_questions_are_refused(folder, questions, tmp_path):
    output = tmp_path / "answers.jsonl"
    run(folder, questions, output)
    first = output.read_bytes()
    with pytest.raises(ResumeError, match="seed was 5, now 6"):
        run(folder, questions, output, "--seed", "6")
    with pytest.raises(ResumeError, match=r"budget\.max_steps was None, now 4"):
        run(folder, questions, output, "--max-steps", "4")
    questions.write_text('"another"\n')
    with pytest.raises(ResumeError, match="its input 'questions' has changed"):
        run(folder, questions, output)
    assert output.read_bytes() == first
    assert "1 answers, 1 of them new" in run(folder, questions, output, "--force").stderr
    assert len(output.read_text().splitlines()) == 1


def test_two_at_once_are_refused(folder, questions, tmp_path):
    output = tmp_path / "answers.jsonl"
    with RunDir(run_folder(output)), pytest.raises(BusyError, match=str(os.getpid())):
        run(folder, questions, output)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "a", "messages": [{"role": "user", "content": "b"}]}', "line 2: give either"),
        ('{"id": "x"}', "line 2: give either a question or messages"),
        ('{"question": "a", "max_steps": 3}', "line 2: max_steps: Extra inputs"),
        ('{"messages": [{"role": "assistant", "content": "b"}]}', "the last message must be the user's"),
        ('{"messages": [{"role": "tool", "content": "b"}]}', "line 2: messages.0.role"),
        ("{torn", "line 2 is no JSON"),
        ("[1]", "line 2"),
        ('{"id": "1", "question": "twice"}', "the id '1' comes twice"),
    ],
)
def test_bad_lines_are_told_with_their_place(tmp_path, line, message):
    file = tmp_path / "q.jsonl"
    file.write_text(f'"first"\n{line}\n')
    with pytest.raises(InputError, match=message):
        read_questions([], file)


def test_limits_of_one_question_are_checked_before_any_work():
    general = Asked(question="q").budget(read_budget())
    assert general == read_budget()
    with pytest.raises(InputError, match="question 'x': min_steps 9 is more than max_steps 4"):
        Asked(id="x", question="q", limits={"min_steps": 9}).budget(read_budget())
    with pytest.raises(InputError, match="question 'x': speed: Extra inputs"):
        Asked(id="x", question="q", limits={"speed": 9}).budget(read_budget())


def read_budget():
    from steiner.core import StepBudget

    return StepBudget(max_steps=4)


def test_separators_within_a_line_end_nothing(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('"one\u2028two"\r\n\n"three"\n', encoding="utf-8-sig")
    assert [item.question for item in read_questions([], file)] == ["one\u2028two", "three"]


def test_a_file_and_live_exclude_each_other(folder, questions, tmp_path):
    with pytest.raises(InputError, match="--live shows steps"):
        run(folder, questions, tmp_path / "x.jsonl", "--live")


@pytest.mark.slow
def test_sigkill_at_random_moments(folder, tmp_path):
    questions = tmp_path / "many.txt"
    questions.write_text("".join(f"question {n}\n" for n in range(12)))

    def argv(output):
        return ["generate", "--model", folder, "--file", questions, "--output", output, "--batch-size", "2",
                *LIMITS]  # fmt: skip

    whole, output = tmp_path / "whole.jsonl", tmp_path / "answers.jsonl"
    steiner(*argv(whole))
    run_with_kills(argv(output), 7, 2, lambda: stored(run_folder(output), STAGE), 12)
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_single_question_is_shown_live_in_colour(folder):
    argv = ["generate", "--model", folder, "--min-steps", "2", "--max-steps", "2", *LIMITS, "think"]
    with Terminal(argv) as terminal:
        assert terminal.end() == 0
        assert "\nAnswer: " in terminal.text
        assert "2 steps" in terminal.text
        assert "\x1b[1;36m● " in terminal.raw
