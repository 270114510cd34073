"""Every recipe is a settings file that its stage accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.cli.quickstart import plan
from steiner.cli.synthesize.by_model import Options, llm_run
from steiner.cli.train import load_toml
from steiner.core import InputError, Settings
from steiner.train.settings import CptSettings, RlSettings, SftSettings

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SYNTHESIS = sorted((RECIPES / "synthesis").glob("*.toml"))
FILES = sorted(set(RECIPES.rglob("*.toml")) - set(SYNTHESIS))
CLASSES: dict[str, type[Settings]] = {"cpt": CptSettings, "sft": SftSettings, "rl": RlSettings}


def commands(text: str) -> list[list[str]]:
    """Return the words of each steiner command in a text."""
    joined = text.replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in re.findall(r"^(?:#\s+)?(steiner .*)$", joined, re.MULTILINE)]


def test_there_are_recipes():
    assert {path.parent.name for path in FILES} >= {"countdown", "qwen2.5-0.5b"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RECIPES)))
def test_every_recipe_parses(path):
    settings = load_toml(CLASSES[path.stem], path)
    assert Path(settings.output).name == path.stem


def test_there_are_recipes_of_language_model_teachers():
    assert {path.stem for path in SYNTHESIS} == {"openai", "vllm"}


@pytest.mark.parametrize("path", SYNTHESIS, ids=lambda path: path.stem)
def test_every_recipe_of_a_language_model_teacher_parses(path):
    nothing = dict.fromkeys(Options._fields)
    given = llm_run(Options(**nothing | {"plan": {}, "config": path}))
    assert given.endpoint.model
    assert given.settings.shares == {"zh": 0.1}
    assert given.limits.concurrency >= given.limits.start_concurrency
    assert (given.budget.prices is None) == (path.stem == "vllm")


@pytest.mark.parametrize(
    "words",
    [words for path in SYNTHESIS for words in commands(path.read_text())],
    ids=lambda words: " ".join(words[1:4]),
)
def test_the_commands_of_a_synthesis_recipe_name_it(words):
    assert words[0] == "synthesize"
    assert (RECIPES.parent / words[words.index("--config") + 1]).is_file()
    assert {word for word in words if word.startswith("--")} <= set(
        re.findall(r"--[a-z-]+", CliRunner().invoke(app, ["synthesize", "--help"]).output)
    )


@pytest.mark.parametrize("stage", CLASSES)
def test_the_countdown_recipe_is_the_quickstart(stage):
    made = getattr(plan, f"{stage}_settings")(plan.Plan(), Path("runs/countdown"))
    assert load_toml(CLASSES[stage], RECIPES / "countdown" / f"{stage}.toml") == made


@pytest.mark.parametrize("folder", ["countdown", "qwen2.5-0.5b", "qwen2.5-32b"])
def test_each_stage_starts_from_the_one_before(folder):
    stages = {name: load_toml(cls, RECIPES / folder / f"{name}.toml") for name, cls in CLASSES.items()}
    assert stages["sft"].model.path == f"{stages['cpt'].output}/model"
    assert stages["rl"].model.path == f"{stages['sft'].output}/model"
    assert stages["sft"].dataset == stages["cpt"].dataset
    rl = stages["rl"]
    assert rl.prompts * rl.group % rl.optimiser.batch_size == 0


@pytest.mark.parametrize(
    "words",
    commands((RECIPES / "countdown" / "README.md").read_text()),
    ids=lambda words: " ".join(words[:3]),
)
def test_the_commands_of_a_recipe_have_the_options_that_they_use(words):
    name = words[: 2 if words[0] in ("train", "problems") else 1]
    text = CliRunner().invoke(app, [*name, "--help"]).output
    for option in words:
        if option.startswith("--"):
            assert re.search(rf"{option}\b", text), f"{' '.join(name)} has no {option}"


def test_the_commands_of_a_recipe_are_found():
    names = [words[0] for words in commands((RECIPES / "countdown" / "README.md").read_text())]
    assert names[:6] == ["problems", "synthesize", "graph", "sample", "tokenizer", "dataset"]
    assert names.count("train") == 3


def test_a_misspelt_key_is_answered_with_the_nearest(tmp_path):
    text = (RECIPES / "countdown" / "sft.toml").read_text()
    (tmp_path / "sft.toml").write_text(text.replace("warmup_share", "warmup_shar"))
    with pytest.raises(
        InputError, match=r"unknown key 'optimiser\.warmup_shar' \(did you mean 'warmup_share'"
    ):
        load_toml(SftSettings, tmp_path / "sft.toml")
