"""The GPU recipe: its data is what it says, it can be carried in pieces, and it runs whole on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SCRIPT = RECIPES / "countdown-h100" / "h100.py"


@pytest.fixture(scope="module")
def recipe():
    sys.path[:0] = [str(SCRIPT.parent), str(RECIPES)]
    try:
        import h100
        import h100_data
    finally:
        del sys.path[:2]
    return h100, h100_data


def test_problems_are_those_of_stream_of_search_whatever_the_processes(recipe, tmp_path):
    from steiner.problems.countdown import is_heldout_input, is_heldout_target
    from steiner.problems.source import read_problems
    from steiner.store import RunDir

    data = recipe[1]
    settings = data.DrawnProblems(problems=12, shards=3, seed=0)
    found = []
    for workers in (1, 2):
        data.draw_problems(tmp_path / str(workers), settings, workers)
        with RunDir(tmp_path / str(workers), read_only=True) as run:
            found.append([(one.facts["numbers"], one.facts["target"]) for one in read_problems(run)])
    assert found[0] == found[1]
    assert len(found[0]) == 12
    for numbers, target in found[0]:
        assert len(numbers) == 4
        assert all(1 <= number <= 99 for number in numbers)
        assert 10 <= target <= 100
        assert not is_heldout_target(target, 0.1)
        assert not is_heldout_input(tuple(sorted(numbers)), 0.1)
    assert is_heldout_target(24, 0.1)  # what README.md says of the Game of 24


def test_puzzles_and_solved_ones_are_read_from_a_log(recipe, tmp_path):
    from steiner.core import InputError
    from steiner.problems.source import read_problems
    from steiner.store import RunDir

    data = recipe[1]
    log = tmp_path / "log.json"
    entry = {"steps": [{"x": "4 5 6 10"}], "infos": [{"r": 0}, {"r": 1}]}
    log.write_text(json.dumps([entry, {"steps": [{"x": "3 3 8 8"}], "infos": [{"r": 0}]}]))
    data.make_game24_run(tmp_path, log)
    note = json.loads((tmp_path / "game24.json").read_text())
    assert note == {"puzzles": 2, "solved": 1, "whole": 1}  # 3 3 8 8 needs 8 / (3 - 8 / 3)
    with RunDir(tmp_path / "game24", read_only=True) as run:
        assert [one.task for one in read_problems(run)] == ["game24", "game24"]
    log.write_text("[{}]")
    with pytest.raises(InputError, match="no log of a tree-of-thought search"):
        data.read_log(log)


def test_what_is_packed_comes_back_in_pieces_and_nothing_else(recipe, tmp_path, monkeypatch):
    from steiner.core import InputError

    h100 = recipe[0]
    monkeypatch.setattr(h100, "PART", 50_000)
    out = tmp_path / "out"
    files = {
        "search/seed-0/cpt/bf16/model.safetensors": os.urandom(1000),
        "search/seed-0/sft/bf16/model.safetensors": os.urandom(120_000),
        "search/seed-0/sft/checkpoint-3/optimizer.pt": b"x",
        "search/seed-0/sft/training.json": b"{}",
        "search/seed-0/sft-new-inputs.json": b"[1]",
        "tokenizer/tokenizer.json": b"{}",
        "data/search/journal.sqlite": b"x",
        "times.jsonl": b"{}",
    }
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    h100.pack(out, tmp_path / "pieces", ["search"], 0)
    pieces = sorted((tmp_path / "pieces").iterdir())
    assert [piece.name for piece in pieces] == ["packed-000", "packed-001", "packed-002"]
    assert max(piece.stat().st_size for piece in pieces) == 50_000
    other = tmp_path / "other"
    (other / "tokenizer").mkdir(parents=True)
    (other / "tokenizer/tokenizer.json").write_bytes(b"newer")
    h100.unpack(tmp_path / "pieces", other)
    back = {str(path.relative_to(other)): path.read_bytes() for path in other.rglob("*") if path.is_file()}
    carried = {name: files[name] for name in files if "cpt" not in name and "checkpoint" not in name}
    del carried["data/search/journal.sqlite"]
    assert back == carried | {"tokenizer/tokenizer.json": b"newer"}
    with pytest.raises(InputError, match="nothing was packed there"):
        h100.unpack(tmp_path / "nowhere", other)


def test_a_command_that_takes_too_long_says_that_it_can_go_on(recipe, tmp_path, capsys):
    h100 = recipe[0]
    words = ["--minutes", "0.0001", "--size", "tiny", "--output", str(tmp_path)]
    assert h100.within(0.0001, words) == h100.UNFINISHED
    assert "run the same command again" in capsys.readouterr().err


def test_settings_fit_each_other(recipe):
    from steiner.cli.train import load_toml
    from steiner.train.settings import CptSettings, RlSettings, SftSettings

    h100, data = recipe
    cpt = load_toml(CptSettings, SCRIPT.parent / "cpt.toml")
    sft = load_toml(SftSettings, SCRIPT.parent / "sft.toml")
    rl = load_toml(RlSettings, SCRIPT.parent / "rl.toml")
    assert cpt.model.architecture.context == cpt.context == sft.context
    assert rl.max_steps == data.TRAINED_STEPS
    assert max(h100.LIMITS) == 2 * data.TRAINED_STEPS
    assert rl.prompts * rl.group % rl.optimiser.batch_size == 0
    full = h100.SIZES["full"]
    assert (full.updates, full.prompts, full.group) == (rl.steps, rl.prompts, rl.group)
    assert (full.cpt_tokens, full.sft_tokens) == (cpt.tokens, sft.tokens)


@pytest.mark.slow
def test_the_smallest_run(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, SCRIPT, "--size", "tiny", "--workers", "1", "--output", out]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=variables)
    page = (out / "page.md").read_text()
    assert page.count("![accuracy against steps]") == 2
    assert "(4 of new-inputs, 4 of heldout-targets) is among the 26 of the training" in page
    assert "a model of shortcuts" in page
    made = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(made) == 10  # CPT and SFT of both kinds and RL, each as trained and in bf16
    subprocess.run(command, check=True, env=variables)
    assert {path: path.stat().st_mtime_ns for path in made} == made
