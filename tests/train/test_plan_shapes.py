"""Sizes of models: exact against what their makers publish, and against transformers' own models."""

from __future__ import annotations

import json

import pytest
from plan_measure import KINDS, tiny

from steiner.core import InputError
from steiner.train.plan import KNOWN, known_shape, read_shape, shape_from_config, shape_from_sizes
from steiner.train.plan.recipe import find_shape

PUBLISHED = {
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-14B": 14_770_033_664,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.3-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
}
"""Of the safetensors metadata on each model's page."""

CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 32768,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_as_published(name):
    shape = known_shape(name)
    assert shape is not None
    assert shape.parameters == PUBLISHED[name]


def test_all_published_counts_are_checked():
    assert set(KNOWN) == set(PUBLISHED)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_those_of_the_model_itself(kind, tied):
    biased = {} if kind in ("mistral", "qwen2") else {"attention_bias": True}
    model, shape = tiny(kind, tie_word_embeddings=tied, num_key_value_heads=1, **biased)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    tables = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    assert shape.embedding == sum(weight.numel() for weight in tables.values())


def test_a_config_and_the_built_in_numbers_agree(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    built_in = known_shape("Qwen/Qwen2.5-0.5B")
    for place in (tmp_path, tmp_path / "config.json"):
        assert read_shape(place).model_copy(update={"name": "Qwen/Qwen2.5-0.5B"}) == built_in
    assert find_shape(str(tmp_path)) == read_shape(tmp_path)


@pytest.mark.parametrize("name", ["qwen2.5-32b", "Qwen/Qwen2.5-32B-Instruct", "unsloth/Qwen2.5-32B"])
def test_names_are_read_leniently(name):
    assert find_shape(name).parameters == PUBLISHED["Qwen/Qwen2.5-32B"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"no model Qwen/Qwen2\.5-30B.*did you mean .*Qwen/Qwen2\.5-3"):
        find_shape("Qwen/Qwen2.5-30B")
    with pytest.raises(InputError, match=r"known: Qwen/Qwen2\.5-0\.5B, "):
        find_shape("zzz")


def test_missing_keys_are_named():
    config = {key: value for key, value in CONFIG.items() if key not in ("hidden_size", "vocab_size")}
    with pytest.raises(InputError, match="here lacks hidden_size, vocab_size"):
        shape_from_config(config, "here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mixtral"}, "model_type is 'mixtral'.*--sizes"),
        ({"model_type": None}, "model_type is None"),
        ({"num_key_value_heads": 3}, "heads 14 must be a multiple of kv_heads 3"),
        ({"num_hidden_layers": 0}, "'layers'"),
        ({"num_attention_heads": 0}, "'heads'"),
        ({"hidden_size": "896"}, "lacks hidden_size"),
    ],
)
def test_wrong_values_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        shape_from_config({**CONFIG, **change}, "config.json")


@pytest.mark.parametrize(
    ("content", "words"), [("[]", "no JSON object"), ("{", "no JSON file"), (None, "cannot be read")]
)
def test_what_is_no_config_is_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=words):
        read_shape(tmp_path)


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        find_shape(str(tmp_path))


def test_sizes_can_be_given():
    text = "hidden=896, layers=24, heads=14, kv_heads=2, intermediate=4864, vocabulary=151936"
    shape = shape_from_sizes(f"{text}, tied=true, qkv_bias=true")
    assert shape.parameters == PUBLISHED["Qwen/Qwen2.5-0.5B"]
    assert shape_from_sizes(text.replace("kv_heads=2, ", "")).kv_heads == 14


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hidden", "is not KEY=VALUE"),
        ("hidden=8,layers=2,heads=2,intermediate=8", "'vocabulary' is missing"),
        ("hidden=8,layers=2,heads=2,intermediate=8,vocabulary=9,colour=1", "unknown key 'colour'"),
        ("hidden=8,layers=two,heads=2,intermediate=8,vocabulary=9", "'layers'"),
    ],
)
def test_wrong_sizes_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        shape_from_sizes(text)
