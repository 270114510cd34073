"""`steiner plan` through the command line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli.main import app

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
FILES = sorted(file for file in RECIPES.rglob("*.toml") if file.stem in ("cpt", "sft", "rl"))
MODEL = ["--model", "Qwen/Qwen2.5-0.5B"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich takes the width when a console is made, and another test may have made it."""
    monkeypatch.setattr("steiner.cli.ui.out._width", 160)


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["plan", *words])
    assert done.exit_code == code, done.output
    return done.output


def planned(*words: str, code: int = 0) -> list[dict]:
    """Return the stages of the JSON that a command prints."""
    text = run(*words, "--json", code=code)
    return json.JSONDecoder().raw_decode(text)[0]["stages"]


def own_command(file: Path) -> list[str]:
    """Return the options of the `steiner plan` line in a recipe's comment; the small recipe has none."""
    found = re.search(r"^# +steiner plan (.*)$", file.read_text(), re.MULTILINE)
    return shlex.split(found[1]) if found else ["--config", str(file.relative_to(RECIPES.parent))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(RECIPES)))
def test_every_recipe_fits_where_it_says_it_does(file, monkeypatch):
    monkeypatch.chdir(RECIPES.parent)
    words = own_command(file)
    assert words[:2] == ["--config", str(file.relative_to(RECIPES.parent))]
    (stage,) = planned(*words)
    assert stage["stage"] == file.stem
    assert stage["fits"]
    folder = file.parent.name
    if folder.startswith("qwen"):  # found through the stages before it, none of which has been trained
        assert stage["model"]["name"].lower() == f"qwen/{folder}"


def test_a_recipe_of_the_reports_model_does_not_fit_on_one_machine_of_64_gb():
    recipe = str(RECIPES / "qwen2.5-32b" / "sft.toml")
    text = run("--config", recipe, "--gpus", "8", "--gpu-memory", "64", code=2)
    assert "sft does not fit with FSDP2 ×8" in text
    assert "Nearest setting that fits: 16 GPUs with FSDP2 or ZeRO-3" in text


def test_the_table_names_all_parts():
    text = run("--model", "Qwen/Qwen2.5-7B", "--gpus", "16", "--price", "2")
    for words in ("7,615,616,512 parameters", "1,089,994,752 of them in", "master weights", "gradients",
                  "optimiser", "activations if checkpointed", "logits and loss", "KV cache then", "hours",
                  "cost", "1 GPU", "DDP ×16", "FSDP2 ×16", "FSDP2 ×16 LoRA"):  # fmt: skip
        assert words in text
    assert [line.split(":")[0] for line in text.splitlines() if "Qwen2.5-7B, " in line] == [
        "cpt",
        "sft",
        "rl",
    ]


def test_json_holds_the_same_numbers():
    stages = planned(*MODEL, "--price", "2.5", "--tokens", "1000000")
    assert [stage["stage"] for stage in stages] == ["cpt", "sft", "rl"]
    for stage in stages:
        assert stage["model"]["parameters"] == 494_032_768
        assert stage["workload"]["tokens"] == 1_000_000
        for layout in stage["layouts"]:
            assert layout["peak"] == pytest.approx(sum(layout["parts"].values()))
            assert layout["cost"] == pytest.approx(2.5 * layout["hours"] * layout["gpus"])


def test_options_change_what_a_settings_file_says(tmp_path):
    file = str(RECIPES / "qwen2.5-0.5b" / "sft.toml")
    (plain,) = planned("--config", file)
    options = ["--context", "1024", "--batch", "3", "--accumulation", "5", "--no-checkpointing", "--lora",
               "8", "--weights", "fp32", "--loss", "full", "--optimiser", "muon",
               "--tokens", "99"]  # fmt: skip
    (changed,) = planned("--config", file, *options)
    assert plain["workload"]["checkpointing"]
    assert plain["workload"]["lora_rank"] is None
    assert {key: changed["workload"][key] for key in ("context", "batch", "accumulation", "lora_rank")} == {
        "context": 1024, "batch": 3, "accumulation": 5, "lora_rank": 8,
    }  # fmt: skip
    assert not changed["workload"]["checkpointing"]
    assert (changed["workload"]["weights"], changed["workload"]["loss"]) == ("fp32", "full")
    assert (changed["workload"]["optimiser"], changed["workload"]["tokens"]) == ("muon", 99)


def test_a_config_file_needs_no_network(tmp_path):
    config = {
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
        "dtype": "float32",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    (stage,) = planned("--model", str(tmp_path), "--stage", "sft")
    assert stage["model"]["parameters"] == 134_515_008
    assert stage["workload"]["weights"] == "fp32"


def test_what_does_not_fit_is_refused_with_the_nearest_setting():
    words = [*MODEL, "--stage", "sft", "--no-checkpointing", "--gpu-memory", "12"]
    text = run(*words, code=2)
    assert re.search(
        r"error: sft does not fit with 1 GPU: its peak is [\d.]+ GiB .* 10\.8 GiB are usable", text
    )
    assert "Nearest setting that fits: gradient checkpointing (peak " in text
    (stage,) = planned(*words, code=2)
    assert not stage["fits"]
    assert stage["nearest"]["changes"] == ["gradient checkpointing"]
    assert stage["nearest"]["plan"]["fits"]


def test_where_nothing_fits_it_says_so():
    text = run("--model", "meta-llama/Llama-3.1-405B", "--stage", "sft", "--gpu-memory", "1", code=2)
    assert "No setting that the planner knows fits" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say what to plan for: --model, --sizes, or --config"),
        (["--model", "Qwen/Qwen2.5-33B"], "did you mean Qwen/Qwen2.5-"),
        ([*MODEL, "--gpus", "0"], "'--gpus': Input should be greater than or equal to 1"),
        ([*MODEL, "--gpu", "abacus"], "--gpu abacus: it must be a100-40, "),
        ([*MODEL, "--stage", "dpo"], "--stage dpo: it must be cpt, sft or rl."),
        ([*MODEL, "--sharding", "zero"], "--sharding zero: it must be "),
        ([*MODEL, "--sizes", "hidden=8"], "either --model or --sizes"),
        ([*MODEL, "--context", "40000"], "longer than the 32,768 positions"),
        ([*MODEL, "--gpus", "8", "--tensor-parallel", "3"], "--tensor-parallel 3 must divide the 8 GPUs"),
        (["--config", "nowhere.toml"], "The settings file nowhere.toml cannot be read"),
        (
            ["--config", str(RECIPES / "countdown" / "cpt.toml"), "--stage", "rl"],
            "None of the settings files",
        ),
    ],
)
def test_bad_input_is_one_paragraph(words, message):
    text = run(*words, code=2)
    assert message in " ".join(text.split())
    assert "Traceback" not in text


def test_a_settings_file_that_starts_from_nowhere_is_refused(tmp_path):
    text = (RECIPES / "qwen2.5-0.5b" / "sft.toml").read_text()
    (tmp_path / "sft.toml").write_text(text)  # without cpt.toml beside it, nobody makes its model
    assert "There is no model runs/mine/cpt/model" in run("--config", str(tmp_path / "sft.toml"), code=2)


def test_planning_does_not_load_torch():
    script = (
        "import sys\nfrom steiner.cli.main import app\n"
        "try:\n    app(['plan', '--model', 'Qwen/Qwen2.5-0.5B'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers', 'trl', 'datasets', 'sklearn'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
