"""`steiner synthesize --model` against a real server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steiner.cli.main import app
from steiner.store import RunDir
from steiner.testing import ArithmeticModel, FaultyServer, arithmetic_problems

QUESTIONS = 12
KEY = "sk-not-to-be-seen-anywhere"


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer(ArithmeticModel(seed=3), api_key=KEY) as server:
        yield server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    rows = [{"question": p.question, "answer": p.answer} for p in arithmetic_problems(QUESTIONS, seed=5)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def steiner(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["synthesize", *map(str, words)])


def test_from_a_question_file_to_traces_and_nothing_twice(server, questions, tmp_path):
    run = tmp_path / "run"
    words = (questions, "--run", run, "--model", "any", "--endpoint", server.base_url, "--truncations", "2")
    server.reset()

    first = steiner(*words)
    assert first.exit_code == 0, first.output
    assert f"{QUESTIONS} questions in" in " ".join(first.output.split())
    sent = server.stats().requests
    assert sent >= QUESTIONS * 2
    with RunDir(run, read_only=True) as opened:
        assert opened.journal.count("traces") == QUESTIONS

    again = steiner(*words)
    assert again.exit_code == 0, again.output
    assert "0 calls sent" in " ".join(again.output.split())
    assert server.stats().requests == sent

    # Other traces from the same drafts: the drafts come from the journal.
    forced = steiner(*words[:-1], "1", "--force")
    assert forced.exit_code == 0, forced.output
    assert "0 calls sent" in " ".join(forced.output.split())

    stored = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert KEY.encode() not in stored
    assert KEY not in first.output + again.output + forced.output


def test_a_dry_run_sends_nothing(server, questions, tmp_path):
    server.reset()
    words = (questions, "--run", tmp_path / "run", "--model", "any", "--endpoint", server.base_url)
    bare = steiner(*words, "--dry-run")
    assert bare.exit_code == 0, bare.output
    assert "price of 'any' is not known" in " ".join(bare.output.split())
    priced = steiner(*words, "--dry-run", "--price-input", "1", "--price-output", "4")
    assert priced.exit_code == 0, priced.output
    assert "$" in priced.output
    assert server.stats().requests == 0


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(server, questions, tmp_path):
    run = tmp_path / "run"
    words = (questions, "--run", run, "--model", "any", "--endpoint", server.base_url, "--truncations", "1")
    stopped = steiner(*words, "--max-tokens-total", "30000")
    assert stopped.exit_code == 5
    assert "--max-tokens-total" in stopped.output
    assert "larger budget" in " ".join(stopped.output.split())
    with RunDir(run, read_only=True) as opened:
        totals = opened.journal.call_totals().values()
        assert 0 < sum(t.prompt_tokens + t.completion_tokens for t in totals) <= 30000
        assert opened.journal.count("traces") < QUESTIONS
    went_on = steiner(*words, "--max-tokens-total", "9000000")
    assert went_on.exit_code == 0, went_on.output


def test_a_config_file_sets_anything_and_options_go_before_it(server, questions, tmp_path):
    file = tmp_path / "synthesis.toml"
    file.write_text(
        f"""
        [endpoint]
        model = "from-the-file"
        base_url = "{server.base_url}"
        [limits]
        concurrency = 3
        [synthesis]
        drafts = 1
        truncations = 1
        language = "zh"
        [synthesis.teacher]
        seed = 7
        """
    )
    done = steiner(questions, "--run", tmp_path / "run", "--config", file, "--drafts", "2")
    assert done.exit_code == 0, done.output
    with RunDir(tmp_path / "run", read_only=True) as opened:
        state = opened.journal.stage("traces")
        assert state is not None
        assert state.settings["endpoint"]["model"] == "from-the-file"
        assert state.settings["plan"]["drafts"] == 2
        assert state.settings["plan"]["language"] == "zh"
    file.write_text("[limits]\nconcurency = 3\n")
    wrong = steiner("--run", tmp_path / "run", "--config", file, "--model", "any")
    assert wrong.exit_code == 2
    assert "did you mean 'concurrency'" in wrong.output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--endpoint", "localhost:8000"), 2, "must be an address such as"),
        (("--budget-usd", "1"), 2, "--price-input"),
        (("--share", "zh"), 2, "such as zh=0.1"),
        (("--share", "klingon=0.5"), 2, "klingon"),
        (("--key-env", "sk-abc"), 2, "must be the name of an environment variable"),
        (("--prompts", "nowhere"), 2, "cannot be read"),
        (("--config", "nowhere.toml"), 2, "cannot be read"),
        (("--price-input", "1"), 2, "Give both --price-input and --price-output"),
    ],
)
def test_wrong_options_are_explained(server, questions, tmp_path, words, code, message):
    given = {"--endpoint": server.base_url} | dict(zip(words[::2], words[1::2], strict=True))
    options = [part for pair in given.items() for part in pair]
    result = steiner(questions, "--run", tmp_path / "run", "--model", "any", *options)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_wrong_key_stops_at_once(server, questions, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    result = steiner(questions, "--run", tmp_path / "run", "--model", "any", "--endpoint", server.base_url)
    assert result.exit_code != 0
    assert "OPENAI_API_KEY" in result.output
    assert "sk-wrong" not in result.output
