"""The three stages with LoRA on a base model that has never seen the control tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from test_stages import OddReader, StoppedError, StopsAt, odd_is_right
from transformers import AutoModelForCausalLM, AutoTokenizer

from steiner.dataset.settings import DatasetSettings
from steiner.dataset.write import write_dataset
from steiner.protocol import ControlIds
from steiner.store import RunDir
from steiner.train.rl import train_rl
from steiner.train.settings import ModelSettings, SftSettings, StageSettings
from steiner.train.supervised import train_cpt, train_sft
from steiner.train.tokens import token_tables
from tiny_base import PLAIN_TOKENS, base_model

pytest.importorskip("peft")

SettingsT = TypeVar("SettingsT", bound=StageSettings)
CONTEXT = 2048
LORA = {"rank": 2, "alpha": 4}
OPTIMISER = tiny_run.OPTIMISER | {"learning_rate": 1e-2, "batch_size": 2}


@pytest.fixture(scope="module", params=["tied", "untied"])
def base(request, tmp_path_factory) -> Path:
    return Path(
        base_model(
            tmp_path_factory.mktemp("base"), tied=request.param == "tied", rows=PLAIN_TOKENS, context=CONTEXT
        )
    )


@pytest.fixture(scope="module")
def run(base, tmp_path_factory) -> Path:
    path = tiny_run.make_run(tmp_path_factory.mktemp("tiny") / "run")
    with RunDir(path) as held:
        settings = DatasetSettings(tokenizer=str(base), validation_share=0.0)
        write_dataset(held, settings, force=True)
    return path


def model(path: str | Path | None, **lora: object) -> dict[str, object]:
    return {"path": str(path), "weights": "fp32", "lora": LORA | lora}


def with_lora(settings: SettingsT, **lora: object) -> SettingsT:
    """Return the settings of a stage with adapters on the model that they name."""
    place = settings.model.path
    return settings.model_copy(update={"model": ModelSettings.model_validate(model(place, **lora))})


def sft(run: Path, output: Path, base: Path, **lora: object) -> SftSettings:
    settings = tiny_run.sft(run, output, base, context=CONTEXT, tokens=8000, optimiser=OPTIMISER)
    return with_lora(settings, **lora)


def check_ordinary(folder: Path, base: Path) -> None:
    """Load it without PEFT: the rows of control tokens are trained, those of other tokens are the base's."""
    assert not list(folder.glob("adapter*"))
    now, before = (AutoModelForCausalLM.from_pretrained(place) for place in (folder, base))
    ids = ControlIds.from_tokenizer(AutoTokenizer.from_pretrained(folder))
    assert ids.control == tuple(range(PLAIN_TOKENS, PLAIN_TOKENS + 14))
    for table, old in zip(token_tables(now), token_tables(before), strict=True):
        assert torch.equal(table.weight[:PLAIN_TOKENS], old.weight[:PLAIN_TOKENS])
    layer, old_layer = (m.model.layers[0].mlp.up_proj.weight for m in (now, before))
    assert not torch.equal(layer, old_layer)


def test_the_three_stages_one_after_the_other(run, base, tmp_path):
    cpt = tiny_run.cpt(
        run, tmp_path / "cpt", model=model(base), context=CONTEXT, tokens=4000, optimiser=OPTIMISER
    )
    first = train_cpt(cpt)
    check_ordinary(tmp_path / "cpt" / "model", base)
    second = train_sft(sft(run, tmp_path / "sft", tmp_path / "cpt" / "model"))
    check_ordinary(tmp_path / "sft" / "model", base)
    assert second.curve[-1].values["loss"] < first.curve[0].values["loss"]
    rows = [
        token_tables(AutoModelForCausalLM.from_pretrained(place))[-1].weight[PLAIN_TOKENS : PLAIN_TOKENS + 14]
        for place in (tmp_path / "cpt" / "model", tmp_path / "sft" / "model")
    ]
    assert ((rows[1] - rows[0]).abs().max(dim=1).values > 1e-3).all()
    optimiser = OPTIMISER | {"batch_size": 8, "save_every": 1}
    rl = tiny_run.rl(run, tmp_path / "rl", tmp_path / "sft" / "model", beta=0.1, optimiser=optimiser)
    train_rl(with_lora(rl), odd_is_right, OddReader())
    check_ordinary(tmp_path / "rl" / "model", base)


@pytest.mark.slow
def test_a_killed_stage_goes_on_to_the_same_weights(run, base, tmp_path):
    train_sft(sft(run, tmp_path / "whole", base))
    with pytest.raises(StoppedError):
        train_sft(sft(run, tmp_path / "sft", base), progress=StopsAt(3))
    watcher = StopsAt()
    train_sft(sft(run, tmp_path / "sft", base), progress=watcher)
    assert watcher.seen[0] == 2
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "sft"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_an_adapter_kept_alone_is_what_the_next_stage_starts_from(run, base, tmp_path):
    train_sft(sft(run, tmp_path / "one", base, merge=False))
    adapter = tmp_path / "one" / "model"
    assert (adapter / "adapter_config.json").is_file()
    assert not (adapter / "model.safetensors").exists()
    merged_first = train_sft(sft(run, tmp_path / "first", base))
    later = train_sft(sft(run, tmp_path / "two", adapter))
    check_ordinary(tmp_path / "two" / "model", base)
    assert later.curve[0].values["loss"] < merged_first.curve[0].values["loss"]


@pytest.mark.slow
def test_checkpointing_gives_the_same_gradients(run, base, tmp_path):
    """A frozen embedding has no gradient to pass on, which some kinds of checkpointing need."""
    plain = train_sft(sft(run, tmp_path / "plain", base))
    settings = sft(run, tmp_path / "checkpointed", base)
    optimiser = settings.optimiser.model_copy(update={"gradient_checkpointing": True})
    again = train_sft(settings.model_copy(update={"optimiser": optimiser}))
    for one, other in zip(plain.curve, again.curve, strict=True):
        assert other.values["loss"] == pytest.approx(one.values["loss"], rel=1e-5)
        assert other.values["grad_norm"] == pytest.approx(one.values["grad_norm"], rel=1e-4)
