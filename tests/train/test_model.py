"""The control tokens get rows of the embedding matrix, and a saved model needs nothing of ours."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS, ControlIds
from steiner.train.model import load_model, load_tokenizer, model_digest, new_model
from steiner.train.settings import Architecture, ModelSettings
from tiny_base import PLAIN_TOKENS, base_model, plain_tokenizer

TINY = Architecture(hidden_size=16, layers=1, heads=2, kv_heads=1, intermediate_size=32, context=128)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("rows", "expected"), [(PLAIN_TOKENS, 320), (310, 320), (314, 314), (350, 350)])
def test_rows_of_a_base_model(tmp_path, tied, rows, expected):
    settings = ModelSettings(path=base_model(tmp_path / "base", tied=tied, rows=rows), token_init="mean")
    before = AutoModelForCausalLM.from_pretrained(settings.path)
    tokenizer = load_tokenizer(settings)
    model = load_model(settings, tokenizer, seed=0)
    ids = ControlIds.from_tokenizer(tokenizer)
    assert len(tokenizer) == PLAIN_TOKENS + len(CONTROL_TOKENS)
    assert model.config.vocab_size == expected
    for which in ("get_input_embeddings", "get_output_embeddings"):
        new, old = getattr(model, which)().weight, getattr(before, which)().weight
        assert new.shape == (expected, 16)
        # What the model knew stays to the bit; spare rows that are no token are left out of the mean.
        assert torch.equal(new[:PLAIN_TOKENS], old[:PLAIN_TOKENS])
        mean = old[:PLAIN_TOKENS].mean(dim=0)
        assert torch.allclose(new[list(ids.control)], mean.expand(len(CONTROL_TOKENS), -1))
    tied_now = (
        model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    )
    assert tied_now == tied


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_loads_with_plain_transformers_and_keeps_what_it_learned(tmp_path, tied):
    settings = ModelSettings(path=base_model(tmp_path / "base", tied=tied, rows=PLAIN_TOKENS))
    tokenizer = load_tokenizer(settings)
    model = load_model(settings, tokenizer, seed=0).eval()
    with torch.no_grad():  # stands for training
        model.get_input_embeddings().weight.add_(torch.randn_like(model.get_input_embeddings().weight))
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")

    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    words = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert words.get_vocab() == tokenizer.get_vocab()
    assert words.chat_template
    assert ControlIds.from_tokenizer(words) == ControlIds.from_tokenizer(tokenizer)
    prompt = torch.tensor([[1, 2, *ControlIds.from_tokenizer(words).control]])
    assert torch.equal(again(prompt).logits, model(prompt).logits)

    # A stage that starts from it finds the control tokens trained and leaves their rows alone.
    next_settings = ModelSettings(path=str(tmp_path / "model"))
    following = load_model(next_settings, load_tokenizer(next_settings), seed=1).eval()
    assert torch.equal(following(prompt).logits, model(prompt).logits)


def test_a_new_model_follows_the_seed_and_leaves_the_global_generator_alone(tokenizer):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (new_model(TINY, tokenizer, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert first.config.vocab_size % 64 == 0
    assert first.config.vocab_size >= len(tokenizer)
    assert first.config.eos_token_id == tokenizer.eos_token_id


def test_a_tokenizer_of_its_own_is_the_same_beside_a_model(tmp_path, tokenizer):
    """transformers may choose another class of tokenizer for a folder that holds a model."""
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    settings = ModelSettings(architecture=TINY, tokenizer=str(tmp_path / "tokenizer"))
    loaded = load_tokenizer(settings)
    model = load_model(settings, loaded, seed=0)
    assert model.config.max_position_embeddings == 128
    model.save_pretrained(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "model")
    beside = load_tokenizer(ModelSettings(path=str(tmp_path / "model")))
    for text in ("From 3 5 7", "3 + 5 = 8", "(12 * 2) - 3 = 21", "left 7 123 , über 日本\n\n  x"):
        assert beside(text)["input_ids"] == loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert beside.decode(beside(text)["input_ids"]) == text


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(InputError, match=r"tokenizer .*nowhere cannot be loaded"):
        load_tokenizer(ModelSettings(path=str(tmp_path / "nowhere")))
    plain_tokenizer().save_pretrained(tmp_path)
    settings = ModelSettings(path=str(tmp_path))
    with pytest.raises(InputError, match=r"model .* cannot be loaded"):
        load_model(settings, load_tokenizer(settings), seed=0)


def test_digest_of_a_model_follows_its_files(tmp_path):
    place = base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS)
    before = model_digest(place)
    assert before == model_digest(place)
    base_model(tmp_path / "base", tied=True, rows=320)
    assert model_digest(place) != before
    assert model_digest("someone/model") == "someone/model"
