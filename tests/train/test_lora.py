"""LoRA: what is trained and what is not, and that one ordinary model comes out with the new rows in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.core import InputError
from steiner.train.lora import copy_rows_to_reference, is_adapted, merged, rows_in_place, save_trained
from steiner.train.model import load_model, load_tokenizer, merge_adapter, model_digest
from steiner.train.settings import LoraSettings, ModelSettings
from steiner.train.tokens import token_tables
from tiny_base import PLAIN_TOKENS, base_model

peft = pytest.importorskip("peft")

LORA = {"rank": 4, "alpha": 8}
ROWS = [PLAIN_TOKENS, 350]
"""Without and with spare rows for the control tokens."""
PROMPT = torch.tensor([[1, 2, *range(PLAIN_TOKENS, PLAIN_TOKENS + 14), 3]])


def settings(place: str | Path, precision: str = "fp32", **lora: object) -> ModelSettings:
    values = {"path": str(place), "lora": LORA | lora, "weights": "auto" if precision == "bf16" else "fp32"}
    return ModelSettings.model_validate(values)


def load(given: ModelSettings, precision: str = "fp32"):
    return load_model(given, load_tokenizer(given), 0, precision).eval()


def train(model, steps: int = 3, *, autocast: bool = False) -> None:
    """Take some steps at a high rate on every token, so that all that is trained changes."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=0.05)
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = model(input_ids=PROMPT, labels=PROMPT).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=PROMPT).logits


def kept_rows(table: torch.nn.Module) -> torch.Tensor:
    kept = torch.ones(len(table.weight), dtype=torch.bool)
    kept[PLAIN_TOKENS : PLAIN_TOKENS + 14] = False
    return table.weight[kept]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_before_training_nothing_is_changed(tmp_path, tied, rows):
    place = base_model(tmp_path, tied=tied, rows=rows)
    plain = load(ModelSettings(path=place))
    adapted = load(settings(place))
    assert is_adapted(adapted)
    assert torch.equal(logits(adapted), logits(plain))
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    tables = [name for name in names if "trainable_tokens" in name]
    assert len(tables) == (1 if tied else 2)
    assert all("lora_" in name for name in set(names) - set(tables))
    # q, k, v, o, gate, up, down: two halves each
    assert len(names) - len(tables) == 14


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_the_merged_model_is_ordinary_and_equal(tmp_path, tied, rows):
    place = base_model(tmp_path / "base", tied=tied, rows=rows)
    start = load(ModelSettings(path=place))
    adapted = load(settings(place))
    train(adapted)
    expected = logits(adapted)
    assert not torch.allclose(expected, logits(start), atol=1e-2)
    save_trained(adapted, tmp_path / "model", LoraSettings())
    assert not list((tmp_path / "model").glob("adapter*"))

    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    assert torch.allclose(logits(plain), expected, atol=1e-5)
    assert plain.config.tie_word_embeddings == tied
    assert len(token_tables(plain)) == (1 if tied else 2)
    changes = []
    for now, before in zip(token_tables(plain), token_tables(start), strict=True):
        assert torch.equal(kept_rows(now), kept_rows(before))
        change = (now.weight - before.weight)[PLAIN_TOKENS : PLAIN_TOKENS + 14]
        assert (change.abs().max(dim=1).values > 1e-3).all()
        changes.append(change)
    if not tied:
        assert not torch.allclose(*changes, atol=1e-3)


def test_rows_can_be_left_alone(tmp_path):
    place = base_model(tmp_path, tied=True, rows=PLAIN_TOKENS)
    start = load(ModelSettings(path=place))
    adapted = load(settings(place, train_rows=False))
    train(adapted)
    assert torch.equal(token_tables(merged(adapted))[0].weight, token_tables(start)[0].weight)


def test_adapters_follow_the_seed(tmp_path):
    given = settings(base_model(tmp_path, tied=True, rows=PLAIN_TOKENS))
    tokenizer = load_tokenizer(given)
    torch.manual_seed(3)
    halves = [
        [p for n, p in load_model(given, tokenizer, seed, "fp32").named_parameters() if "lora_A" in n]
        for seed in (1, 1, 2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(halves[0], halves[1], strict=True))
    assert not torch.equal(halves[0][0], halves[2][0])
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_an_adapter_kept_alone_is_trained_on_or_merged(tmp_path, tied, rows):
    place = base_model(tmp_path / "base", tied=tied, rows=rows)
    given = settings(place, merge=False)
    adapted = load(given)
    train(adapted)
    expected = logits(adapted)
    save_trained(adapted, tmp_path / "adapter", given.lora)
    load_tokenizer(given).save_pretrained(tmp_path / "adapter")
    size = sum(file.stat().st_size for file in (tmp_path / "adapter").glob("*.safetensors"))
    assert size < (tmp_path / "base" / "model.safetensors").stat().st_size

    on = load(settings(tmp_path / "adapter", merge=False))
    assert torch.allclose(logits(on), expected, atol=1e-6)
    assert {n for n, p in on.named_parameters() if p.requires_grad} == {
        n for n, p in adapted.named_parameters() if p.requires_grad
    }
    train(on)
    assert not torch.allclose(logits(on), expected, atol=1e-2)

    whole = load(ModelSettings(path=str(tmp_path / "adapter")))
    assert not is_adapted(whole)
    assert torch.allclose(logits(whole), expected, atol=1e-5)
    assert all(parameter.requires_grad for parameter in whole.parameters())
    if rows >= PLAIN_TOKENS + 14:  # plain PEFT needs the rows to be there
        alone = AutoModelForCausalLM.from_pretrained(place)
        alone = peft.PeftModel.from_pretrained(alone, str(tmp_path / "adapter")).eval()
        assert torch.allclose(logits(alone), expected, atol=1e-6)


def test_the_command_line_merges_an_adapter(tmp_path):
    given = settings(base_model(tmp_path / "base", tied=False, rows=PLAIN_TOKENS), merge=False)
    adapted = load(given)
    train(adapted)
    save_trained(adapted, tmp_path / "adapter", given.lora)
    load_tokenizer(given).save_pretrained(tmp_path / "adapter")
    command = ["train", "merge", str(tmp_path / "adapter"), "--output", str(tmp_path / "merged")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.allclose(logits(plain), logits(adapted), atol=1e-5)
    again = CliRunner().invoke(app, command)
    assert "not empty" in again.output
    with pytest.raises(InputError, match="holds no adapter"):
        merge_adapter(tmp_path / "base", tmp_path / "other")


def test_an_adapter_of_other_settings_is_refused(tmp_path):
    given = settings(base_model(tmp_path / "base", tied=True, rows=350), merge=False)
    save_trained(load(given), tmp_path / "adapter", given.lora)
    load_tokenizer(given).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=r"rank 4 and alpha 8.*rank 8 and alpha 8"):
        load(settings(tmp_path / "adapter", rank=8))


def test_an_adapter_of_another_model_is_refused(tmp_path):
    given = settings(base_model(tmp_path / "base", tied=True, rows=350), merge=False)
    save_trained(load(given), tmp_path / "adapter", given.lora)
    load_tokenizer(given).save_pretrained(tmp_path / "adapter")
    base_model(tmp_path / "base", tied=True, rows=350, width=32)
    with pytest.raises(InputError, match="does not fit its base model"):
        load(settings(tmp_path / "adapter"))


def test_a_damaged_adapter_is_refused(tmp_path):
    base_model(tmp_path, tied=True, rows=350)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="names no base model"):
        load(settings(tmp_path))


def test_modules_that_do_not_exist_are_refused(tmp_path):
    place = base_model(tmp_path, tied=True, rows=350)
    with pytest.raises(InputError, match=r"adapters do not fit .*targets under \[model\.lora\]"):
        load(settings(place, targets=("no_such_module",)))


def test_chosen_modules_alone_are_adapted(tmp_path):
    adapted = load(settings(base_model(tmp_path, tied=True, rows=350), targets=("q_proj", "v_proj")))
    names = [n for n, p in adapted.named_parameters() if p.requires_grad and "lora_" in n]
    assert len(names) == 4
    assert all("q_proj" in name or "v_proj" in name for name in names)


@pytest.mark.parametrize("tied", [True, False])
def test_a_frozen_model_is_kept_in_bf16_and_what_is_trained_in_fp32(tmp_path, tied):
    """In bf16 a small learning rate would change nothing: steps below 1/256 of a weight are lost."""
    adapted = load(settings(base_model(tmp_path, tied=tied, rows=350), precision="bf16"), "bf16")
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in adapted.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    train(adapted, autocast=True)
    with torch.autocast("cpu", torch.bfloat16):
        expected = logits(adapted).float()
    plain = merged(adapted)
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.bfloat16}
    assert torch.allclose(logits(plain).float(), expected, atol=0.05 * expected.abs().max())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rows_in_place_change_nothing_and_leave_no_trace(tmp_path, tied, precision):
    adapted = load(settings(base_model(tmp_path, tied=tied, rows=350), precision), precision)
    train(adapted)
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    expected = logits(adapted)
    with rows_in_place(adapted):
        assert torch.equal(logits(adapted), expected)
        # What is not there costs nothing: the tables are used as they are, not copied.
        assert adapted.get_input_embeddings().token_adapter.merged
    after = adapted.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    with pytest.raises(ZeroDivisionError), rows_in_place(adapted):
        raise ZeroDivisionError
    assert torch.equal(logits(adapted), expected)
    train(adapted, 1)
    assert not torch.allclose(logits(adapted), expected, atol=1e-3)


def test_the_reference_of_rl_has_the_rows_that_training_starts_from(tmp_path):
    """As TRL does: a second adapter of the same configuration, all `.default.` parameters copied into it."""
    adapted = load(settings(base_model(tmp_path, tied=False, rows=350)))
    train(adapted)
    expected = logits(adapted)
    adapted.add_adapter("ref", adapted.peft_config["default"])
    for name, parameter in adapted.named_parameters():
        if ".default." in name:
            adapted.get_parameter(name.replace(".default.", ".ref.")).data.copy_(parameter.data)
    adapted.set_adapter("ref")
    assert not torch.allclose(logits(adapted), expected, atol=1e-3)
    adapted.set_adapter("default")
    copy_rows_to_reference(adapted)
    adapted.set_adapter("ref")
    assert torch.allclose(logits(adapted), expected, atol=1e-6)
    adapted.set_adapter("default")
    assert torch.allclose(logits(merged(adapted)), expected, atol=1e-5)


def test_the_digest_follows_the_base_of_an_adapter(tmp_path):
    given = settings(base_model(tmp_path / "base", tied=True, rows=350), merge=False)
    save_trained(load(given), tmp_path / "adapter", given.lora)
    before = model_digest(str(tmp_path / "adapter"))
    assert before == model_digest(str(tmp_path / "adapter"))
    base_model(tmp_path / "base", tied=True, rows=400)
    assert model_digest(str(tmp_path / "adapter")) != before
