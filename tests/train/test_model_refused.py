"""What cannot be trained is refused with one paragraph that says why; how weights are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steiner.core import InputError, parse_settings
from steiner.train.model import load_model, load_tokenizer
from steiner.train.settings import ModelSettings
from tiny_base import PLAIN_TOKENS, base_model, plain_tokenizer


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS)
    return tmp_path / "base"


def refused(match: str, **settings: object) -> None:
    given = ModelSettings.model_validate(settings)
    tokenizer = load_tokenizer(given)
    with pytest.raises(InputError, match=match) as error:
        load_model(given, tokenizer, seed=0)
    assert "\n" not in str(error.value)


def test_a_quantised_checkpoint(base):
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (base / "config.json").write_text(json.dumps(config))
    refused(r"is quantised \(gptq\).*unquantised model", path=str(base))


def test_a_checkpoint_without_safetensors(base):
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    refused(r"no safetensors, only pytorch_model\.bin.*save_pretrained", path=str(base))


def test_a_folder_without_weights(base):
    (base / "model.safetensors").unlink()
    refused(r"has a config\.json, but no \*\.safetensors", path=str(base))


def test_the_folder_of_a_stage_in_place_of_its_model(base):
    (base / "model").mkdir()
    (base / "config.json").rename(base / "model" / "config.json")
    refused(r"no config\.json\. Did you mean .*model\?", path=str(base))


def test_a_damaged_configuration(base):
    (base / "config.json").write_text('{"model_type": "no such kind"}')
    tokenizer = load_tokenizer(ModelSettings(path="x", tokenizer=str(plain_folder(base.parent))))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(ModelSettings(path=str(base)), tokenizer, seed=0)


def plain_folder(parent: Path) -> Path:
    plain_tokenizer().save_pretrained(parent / "tokenizer")
    return parent / "tokenizer"


def test_a_tokenizer_of_another_model(base, tokenizer):
    tokenizer.save_pretrained(base.parent / "other")
    refused(
        "does not belong to the model .* mean something else",
        path=str(base),
        tokenizer=str(base.parent / "other"),
    )


def test_a_tokenizer_in_which_two_words_changed_places(base):
    file = base / "tokenizer.json"
    (base.parent / "swapped").mkdir()
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["w1"], vocabulary["w2"] = vocabulary["w2"], vocabulary["w1"]
    for name in ("tokenizer_config.json", "tokenizer.json"):
        (base.parent / "swapped" / name).write_text((base / name).read_text())
    (base.parent / "swapped" / "tokenizer.json").write_text(json.dumps(content))
    refused(r": 2 of its 314 ids mean something else there, such as \d+, which is 'w2' here and 'w1' in",
            path=str(base), tokenizer=str(base.parent / "swapped"))  # fmt: skip


def test_a_tokenizer_with_more_tokens_than_a_model_without_its_own_has_rows(tmp_path):
    base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS - 10)
    for file in (tmp_path / "base").glob("tokenizer*"):
        file.unlink()
    refused("has 300 tokens and the model .* only 290 rows",
            path=str(tmp_path / "base"), tokenizer=str(plain_folder(tmp_path)))  # fmt: skip


def test_a_model_without_a_tokenizer(base):
    for file in base.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json.*as 'tokenizer' under \[model\]"):
        load_tokenizer(ModelSettings(path=str(base)))


def test_tokens_behind_all_rows_get_one_too(base):
    """Somebody added delimiters of ChatML to a base model's tokenizer, as our error message advises."""
    words = AutoTokenizer.from_pretrained(base)
    words.add_special_tokens({"additional_special_tokens": ["<|mine|>"]}, replace_extra_special_tokens=False)
    words.save_pretrained(base.parent / "more")
    settings = ModelSettings(path=str(base), tokenizer=str(base.parent / "more"))
    before = AutoModelForCausalLM.from_pretrained(base).get_input_embeddings().weight
    model = load_model(settings, load_tokenizer(settings), seed=0)
    row = model.get_input_embeddings().weight[PLAIN_TOKENS]
    assert torch.allclose(row, before.mean(dim=0), atol=1e-6)


def test_a_tokenizer_without_template_and_without_the_tokens_of_one(tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="</s>").save_pretrained(
        tmp_path
    )
    with pytest.raises(InputError, match=r"no chat template and lacks the tokens of ChatML.*<\|im_start\|>"):
        load_tokenizer(ModelSettings(path=str(tmp_path)))


@pytest.mark.parametrize(
    ("weights", "precision", "expected"),
    [
        ("auto", "auto", torch.float32),
        ("auto", "bf16", torch.float32),
        ("fp32", "fp32", torch.float32),
        ("bf16", "bf16", torch.bfloat16),
    ],
)
def test_a_bf16_checkpoint_is_kept_as_the_settings_say(base, weights, precision, expected):
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    settings = ModelSettings(path=str(base), weights=weights)
    model = load_model(settings, load_tokenizer(settings), 0, precision)
    assert {parameter.dtype for parameter in model.parameters()} == {expected}


def test_bf16_weights_cannot_be_computed_in_fp32(base):
    settings = ModelSettings(path=str(base), weights="bf16")
    with pytest.raises(InputError, match="contradict each other"):
        load_model(settings, load_tokenizer(settings), 0, "fp32")


@pytest.mark.parametrize("extra", [{"lora": {}}, {"weights": "bf16"}])
def test_a_new_model_has_nothing_to_adapt(extra):
    given = {"architecture": {}, "tokenizer": "x", **extra}
    with pytest.raises(InputError, match="for an existing model"):
        parse_settings(ModelSettings, given, "x.toml")


def test_unknown_keys_of_lora_are_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"'lora\.rnk' .*'rank'"):
        parse_settings(ModelSettings, {"path": "x", "lora": {"rnk": 4}}, "x.toml")
