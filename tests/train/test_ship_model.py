"""A tiny trained model is shipped into a temporary place and loaded by its name."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from steiner.cli.generate import app as generate
from steiner.cli.models import app as models
from steiner.core import InputError
from steiner.decode.load import load_model
from steiner.decode.shipped import SHIPPED, VARIABLE, find_model, list_models, read_record
from steiner.evaluate.records import SampleResult
from steiner.problems.countdown import CountdownSettings, make_problem
from steiner.problems.source import CountdownProblems, countdown_source, write_problems
from steiner.serve.run import load_engine
from steiner.serve.settings import EngineSettings
from steiner.store import RunDir
from steiner.train.supervised import train_cpt, train_sft

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("ship_model", ROOT / "dev" / "ship_model.py")
assert spec is not None
assert spec.loader is not None
ship_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ship_model)

QUESTION = "Make 8 from 3 5."


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose model had a few updates of two stages."""
    run = tiny_run.make_run(tmp_path_factory.mktemp("ship") / "run")
    train_cpt(tiny_run.cpt(run, run / "cpt", tokens=800))
    train_sft(tiny_run.sft(run, run / "sft", run / "cpt" / "model", tokens=800))
    return run


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with problems in both languages that training did not see."""
    path = tmp_path_factory.mktemp("ship") / "test"
    numbers = CountdownSettings(count=3, low=6, high=9, target_low=10, target_high=30, language="mixed")
    with RunDir(path) as run:
        write_problems(run, countdown_source(CountdownProblems(n=6, countdown=numbers)))
    return path


@pytest.fixture(scope="module")
def place(trained: Path, fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    ship(trained, fresh, folder)
    return folder


def ship(trained: Path, fresh: Path, place: Path, *more: str, name: str = "tiny-nano") -> None:
    ship_model.main([
        str(trained / "sft" / "model"), name, "--run", str(fresh), "--output", str(place),
        "--train-run", str(trained), "--max-steps", "2", "--max-reasoning-tokens", "60",
        "--least-accuracy", "0", "--summary", "It writes.", "--cannot", "It cannot reckon.", *more,
    ])  # fmt: skip


def test_weights_are_bf16_and_the_record_names_all_stages(trained, place):
    folder = place / "tiny-nano"
    assert {path.name for path in folder.iterdir()} >= {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "training.json",
    }  # fmt: skip
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    record = read_record(folder)
    assert [stage.stage for stage in record.stages] == ["cpt", "sft"]
    assert record.seeds == (0, 0)
    sft = json.loads((trained / "sft" / "training.json").read_bytes())
    assert record.data == sft["inputs"]["dataset"]
    assert record.size == (folder / "model.safetensors").stat().st_size < 20e6
    assert [(c.language, c.temperature) for c in record.checks] == [
        (language, temperature) for temperature in (0, 1) for language in ("", "en", "zh")
    ]
    assert all(check.well_formed == 1 for check in record.checks)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "It cannot reckon." in card
    assert record.data in card


def test_a_name_loads_the_model_in_fp32_and_a_path_means_a_folder(place, trained, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(place))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-nano").mkdir()
    assert find_model("tiny-nano") == str(place / "tiny-nano")
    for own in ("./tiny-nano", "some/tiny-nano", Path("tiny-nano"), "tiny", ""):
        assert find_model(own) == str(own)
    for given in ("tiny-nano", place / "tiny-nano"):
        network, _ = load_model(given, device="cpu")
        assert {p.dtype for p in network.parameters()} == {torch.float32}
    engine = load_engine("tiny-nano", EngineSettings(device="cpu"))
    assert engine.ids.eos == engine.tokenizer.eos_token_id
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model("./tiny-nano")
    with pytest.raises(InputError, match="come with steiner: tiny-nano"):
        load_model("tiny-nanu")


def test_commands_take_the_name(place, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(place))
    asked = ["--model", "tiny-nano", "--max-steps", "2", "--max-reasoning-tokens", "60", "--json", QUESTION]
    result = CliRunner().invoke(generate, asked)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["question"] == QUESTION
    listed = CliRunner().invoke(models, ["--json"])
    assert json.loads(listed.stdout)["name"] == "tiny-nano"
    assert "tiny-nano" in CliRunner().invoke(models, []).output


def test_examples_are_answered_by_a_search_of_middling_length_that_no_limit_ended():
    problems = [
        make_problem([1, 2, number], number + 3, language=language)
        for language in ("en", "zh")
        for number in range(3, 11)
    ]
    good = SampleResult(
        problem_id="", max_steps=9, right=True, well_formed=True, steps=5, backtracks=2, reasoning_tokens=50,
        answer="…",
    )  # fmt: skip
    changes = [
        {"steps": 8}, {"steps": 3}, {}, {"steps": 6},
        {"right": False}, {"backtracks": 1}, {"steps": 9}, {"reasoning_tokens": 99},
    ]  # fmt: skip
    samples = [good.model_copy(update=change) for change in changes]
    poor = [sample.model_copy(update={"right": index == 2}) for index, sample in enumerate(samples)]
    found = ship_model.choose_examples([*samples, *poor], problems, 99)
    assert found == [problems[index].question for index in (2, 3, 0, 10)]
    assert ship_model.choose_examples(poor[:2], problems[:2], 99) == []


def test_what_is_not_good_enough_is_refused_and_leaves_nothing(trained, fresh, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"fewer than the 100\.0%"):
        ship(trained, fresh, tmp_path, "--least-accuracy", "1")
    with pytest.raises(InputError, match="occur in the training set"):
        ship(trained, trained, tmp_path)
    with pytest.raises(InputError, match="is no name"):
        ship(trained, fresh, tmp_path, name="a b")
    monkeypatch.setattr(ship_model, "LARGEST", 1000)
    with pytest.raises(InputError, match="train a smaller one"):
        ship(trained, fresh, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_replaced_only_by_force_and_needs_a_record(trained, fresh, place, tmp_path):
    with pytest.raises(InputError, match="--force"):
        ship(trained, fresh, place)
    with pytest.raises(InputError, match=r"no training\.json"):
        ship_model.trained_stages(tmp_path / "model")


def test_every_shipped_model_has_a_record_a_card_and_at_most_20_mb(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    folders = [path for path in SHIPPED.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert [model.name for model in list_models()] == sorted(path.name for path in folders)
    for folder in folders:
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 20e6
        assert all(sentence in (folder / "README.md").read_text() for sentence in read_record(folder).cannot)
