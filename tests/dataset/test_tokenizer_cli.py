"""A tokenizer built from the text of a run."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.core import InputError
from steiner.dataset.corpus import run_texts
from steiner.protocol import ControlIds
from steiner.store import RunDir


@pytest.fixture
def run(make_run):
    return make_run(questions=5)


def test_text_of_a_run(run):
    with RunDir(run, read_only=True) as held:
        texts = list(run_texts(held))
        fewer = list(run_texts(held, limit=1))
    assert texts[:5] == [f"From 3 5 7 make {n}" for n in range(5)]
    assert {"left 7 8", "go on", "(3 * 5) + 7 = 22"} <= set(texts)
    assert len(fewer) < len(texts)
    assert fewer[0] == texts[0]


def test_a_run_without_paths_is_refused(tmp_path):
    with RunDir(tmp_path / "run") as held, pytest.raises(InputError, match="no stage 'problems'"):
        list(run_texts(held))


def test_the_command_writes_a_tokenizer_that_plain_transformers_loads(run):
    for folder in (run / "tokenizer", run / "other"):
        arguments = [] if folder.name == "tokenizer" else ["--output", str(folder)]
        done = CliRunner().invoke(app, ["tokenizer", "--run", str(run), "--numbers-to", "30", *arguments])
        assert done.exit_code == 0, done.output
    made = AutoTokenizer.from_pretrained(run / "tokenizer")
    ControlIds.from_tokenizer(made)
    assert len(made("left 7 30")["input_ids"]) == 3
    assert len(made("left 7 31")["input_ids"]) > 3
    assert (run / "tokenizer" / "tokenizer.json").read_bytes() == (
        run / "other" / "tokenizer.json"
    ).read_bytes()


def test_a_vocabulary_that_is_too_small_is_explained(run):
    done = CliRunner().invoke(app, ["tokenizer", "--run", str(run), "--vocab-size", "300"])
    assert done.exit_code == InputError.exit_code
    assert "no room" in done.output
