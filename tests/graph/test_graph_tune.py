"""The number of detours that makes paths as long as was asked for."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from typer.testing import CliRunner

from steiner.cli.sample import app as sample_app
from steiner.cli.sample import counter_for, writer_for
from steiner.core import InputError, Problem, ReasoningPath, Step
from steiner.dataset.tokenise import load_tokenizer, tokenise
from steiner.dataset.tokenizer import train_tokenizer
from steiner.graph import SampleSettings
from steiner.graph.length import PathMeter, TextLength, estimated_tokens, only_estimates
from steiner.graph.path_stage import PathsSummary, make_paths
from steiner.graph.stage import GraphSettings, make_graphs
from steiner.graph.tune import TOLERANCE, TUNING, Trial, _Lengths, poisson_weights, search
from steiner.store import RunDir, StoredRecord

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from test_graph_stages import write_traces

from killing import journal_content


@given(st.floats(0, 64))
def test_poisson_weights_have_their_mean(mean: float) -> None:
    weights = poisson_weights(mean)
    assert 1 - 1e-4 <= math.fsum(weights) <= 1 + 1e-9
    assert math.fsum(k * w for k, w in enumerate(weights)) == pytest.approx(mean, rel=0.01, abs=1e-4)


@given(st.floats(1, 50), st.floats(0.5, 20), st.floats(2, 60))
def test_a_length_within_reach_is_met(plain: float, per_detour: float, asked: float) -> None:
    detours, reached = search(asked, lambda mean: Trial(plain + per_detour * mean, 1.0))
    assert reached.mean == plain + per_detour * detours
    if asked < plain:
        assert detours == 0
    elif asked < plain + 64 * per_detour:
        assert reached.mean == pytest.approx(asked, rel=TOLERANCE)


@given(st.floats(1, 50), st.floats(1, 20), st.floats(5, 60), st.floats(0.05, 0.8))
def test_a_length_that_grows_ever_slower_is_met(plain: float, more: float, slow: float, part: float) -> None:
    def length(mean: float) -> float:
        return plain + more * slow * (1 - math.exp(-mean / slow))

    asked = plain + part * (length(64) - plain)
    _, reached = search(asked, lambda mean: Trial(length(mean), 1.0))
    assert reached.mean == pytest.approx(asked, rel=TOLERANCE)


def test_a_length_out_of_reach_gives_the_longest() -> None:
    detours, reached = search(100, lambda mean: Trial(10 + 20 * (1 - math.exp(-mean)), 1.0))
    assert detours == 64
    assert reached.mean == pytest.approx(30)


@given(st.floats(1.5, 30))
def test_a_number_of_detours_that_few_questions_can_give_is_not_taken(limit: float) -> None:
    detours, reached = search(10**6, lambda mean: Trial(10 + mean, 1.0 if mean <= limit else 0.9))
    assert reached.share == 1
    assert 0.9 * limit <= detours <= limit


def test_without_any_path_the_search_ends() -> None:
    assert search(10, lambda mean: Trial(0.0, 0.0)) == (0.0, Trial(0.0, 0.0))


def test_a_meter_counts_what_a_path_is_written_with() -> None:
    """Words as tokens: 10 control tokens a step, one between steps, one at either end, an end of text."""
    step = Step(name="one", thought="one two three", summary="", reflection="one two")
    path = ReasoningPath(steps=(step, step), moves=("proceed",), answer="the answer")
    problem = Problem(question="five words are in here", answer="x")
    length = PathMeter(problem, lambda text: len(text.split()))(path)
    assert length == (2, 2 * (6 + 10) + 1 + 2, 2 * 16 + 3 + 5 + 2 + 1)


def test_the_estimate_counts_words_digits_and_signs() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("The price is 120.") == 3 + 3 + 1
    assert estimated_tokens("苹果的价钱") == 3
    with pytest.raises(InputError, match="leave it out"):
        only_estimates("models/base")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs")
    write_traces(path, 40)
    with RunDir(path) as run:
        make_graphs(run, GraphSettings())
    return path


def sampled(path: Path, wish: SampleSettings, workers: int = 1) -> PathsSummary:
    with RunDir(path) as run:
        return make_paths(run, wish, writer_for=writer_for, workers=workers, force=True)


@pytest.mark.parametrize("asked", [4.0, 7.0, 10.0])
def test_paths_of_a_run_have_the_mean_number_of_steps_asked_for(graphs: Path, asked: float) -> None:
    summary = sampled(graphs, SampleSettings(paths=400, mean_steps=asked, include_traces=False))
    assert summary.paths == 400
    assert summary.mean_steps == summary.reached == pytest.approx(asked, rel=0.05)
    assert summary.tokens is None


def test_paths_of_a_run_have_the_mean_number_of_tokens_asked_for(graphs: Path) -> None:
    summary = sampled(graphs, SampleSettings(paths=320, mean_tokens=250, include_traces=False))
    assert summary.tokens is not None
    assert summary.reached == summary.tokens.mean == pytest.approx(250, rel=0.05)
    assert (summary.tokens.reasoning_too_long, summary.tokens.total_too_long) == (0, 0)


def long_words(tokenizer: str) -> TextLength:
    assert tokenizer == "long words"
    return lambda text: 120 * len(text.split())


def test_paths_that_are_too_long_for_a_dataset_are_counted(graphs: Path) -> None:
    with RunDir(graphs) as run:
        wish = SampleSettings(paths=60, tokenizer="long words")
        summary = make_paths(run, wish, writer_for=writer_for, counter_for=long_words, force=True)
        records = {record.key: record.body for record in run.journal.records("paths")}
        problems = {record.key: record.body for record in run.journal.records("problems")}
    reasoning = total = 0
    for key, body in records.items():
        meter = PathMeter(Problem.model_validate_json(problems[key]), long_words("long words"))
        for path in TypeAdapter(list[ReasoningPath]).validate_json(body):
            length = meter(path)
            reasoning += length.reasoning >= 4096
            total += length.reasoning < 4096 and length.total >= 8192
    assert summary.tokens is not None
    assert (summary.tokens.reasoning_too_long, summary.tokens.total_too_long) == (reasoning, total)
    assert 0 < reasoning < 60


def test_a_length_that_cannot_be_reached_is_said(graphs: Path) -> None:
    arguments = ["--run", str(graphs), "--paths", "80", "--mean-steps", "500", "--force", "--workers", "1"]
    result = CliRunner().invoke(sample_app, arguments)
    assert result.exit_code == 0
    assert "not 500" in result.output
    assert "no more dead ends" in result.output


def test_both_lengths_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="either mean_steps or mean_tokens"):
        SampleSettings(paths=1, mean_steps=3, mean_tokens=4)


def test_an_interrupted_search_and_more_workers_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = SampleSettings(paths=60, mean_steps=8)
    measure = _Lengths.__call__
    seen: list[str] = []

    def stumble(self: _Lengths, record: StoredRecord) -> list[int | None]:
        seen.append(record.key)
        if len(seen) > 20:
            raise KeyboardInterrupt
        return measure(self, record)

    contents = []
    for name in ("calm", "broken", "two"):
        path = tmp_path / name
        write_traces(path, 8)
        with RunDir(path) as run:
            make_graphs(run, GraphSettings())
        if name == "broken":
            monkeypatch.setattr(_Lengths, "__call__", stumble)
            with pytest.raises(KeyboardInterrupt):
                sampled(path, wish)
            monkeypatch.undo()
        sampled(path, wish, workers=2 if name == "two" else 1)
        contents.append(journal_content(path))
        with RunDir(path, read_only=True) as run:
            state = run.journal.stage(TUNING)
        assert state is not None
        assert state.complete
    assert contents[0] == contents[1] == contents[2]


def test_a_meter_agrees_with_the_dataset(tmp_path: Path) -> None:
    texts = ["one two three four five six", "What is it? This is it. 12 + 30 = 42", "苹果的价钱是梨的两倍"]
    train_tokenizer(texts, vocab_size=512, numbers_to=99).save_pretrained(tmp_path)
    step = Step(name=texts[0], thought=texts[1] * 3, summary="", reflection=texts[2])
    path = ReasoningPath(steps=(step,) * 3, moves=("proceed",) * 2, answer="it is 42")
    problem = Problem(question=texts[1], answer="42")
    count = counter_for(str(tmp_path))
    length = PathMeter(problem, count)(path)
    sample = tokenise(load_tokenizer(str(tmp_path)), [(problem, [path])])[0][0]
    assert length.reasoning == sample.reasoning_tokens
    template = len(sample.prompt_ids) - count(problem.question)
    assert length.total == sample.total_tokens - template
