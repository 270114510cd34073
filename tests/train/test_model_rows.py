"""Where the rows of new tokens start, by choice, in the embedding and in the output matrix."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from steiner.protocol import CONTROL_TOKENS, ControlIds, ControlToken
from steiner.train.model import load_model, load_tokenizer
from steiner.train.settings import ModelSettings
from steiner.train.tokens import DESCRIPTIONS, fit_tables, fresh_ids, token_tables
from tiny_base import PLAIN_TOKENS, base_model

INITS = ["words", "mean", "random"]


def load(place: str, init: str, seed: int = 0):
    settings = ModelSettings(path=place, token_init=init)
    tokenizer = load_tokenizer(settings)
    model = load_model(settings, tokenizer, seed)
    return model, ControlIds.from_tokenizer(tokenizer)


def rows_of(model, ids) -> list[torch.Tensor]:
    return [table.weight[list(ids.control)].detach() for table in token_tables(model)]


def test_each_control_token_is_described_by_words_of_its_own():
    assert DESCRIPTIONS.keys() == set(CONTROL_TOKENS)
    assert all(set(one) != set(other) for one, other in combinations(DESCRIPTIONS.values(), 2))


@pytest.mark.parametrize("tied", [True, False])
def test_words_start_a_row_in_the_middle_of_the_words(tmp_path, tied):
    place = base_model(tmp_path, tied=tied, rows=PLAIN_TOKENS)
    before = AutoModelForCausalLM.from_pretrained(place)
    plain = AutoTokenizer.from_pretrained(place)
    model, ids = load(place, "words")
    assert len(token_tables(model)) == (1 if tied else 2)
    for new, old in zip(rows_of(model, ids), token_tables(before), strict=True):
        for token, row in zip(CONTROL_TOKENS, new, strict=True):
            words = [plain(f" {word}")["input_ids"] for word in DESCRIPTIONS[token]]
            assert min(map(len, words)) > 1  # subwords: the tiny tokenizer spells words out
            expected = torch.stack([old.weight[word].mean(dim=0) for word in words]).mean(dim=0)
            assert torch.allclose(row, expected, atol=1e-6)
        assert len(torch.unique(new, dim=0)) == len(CONTROL_TOKENS)


@pytest.mark.parametrize("tied", [True, False])
def test_random_rows_follow_the_seed_and_the_trained_rows(tmp_path, tied):
    place = base_model(tmp_path, tied=tied, rows=PLAIN_TOKENS)
    with torch.no_grad():  # other figures in each column, so that both of them show
        shaped = AutoModelForCausalLM.from_pretrained(place)
        for number, table in enumerate(token_tables(shaped)):
            scale = torch.linspace(0.01, 1, 16)
            table.weight.copy_(table.weight / 0.02 * scale + 10 * (number + 1))
        shaped.save_pretrained(place)
    (model, ids), (same, _), (other, _) = (load(place, "random", seed) for seed in (1, 1, 2))
    for table, (one, two, three) in enumerate(
        zip(rows_of(model, ids), rows_of(same, ids), rows_of(other, ids), strict=True)
    ):
        assert torch.equal(one, two)
        assert not torch.equal(one, three)
        # 14 draws a column: six deviations of their mean
        distance = (one.mean(dim=0) - 10 * (table + 1)).abs()
        assert (distance < 6 * torch.linspace(0.01, 1, 16) / 14**0.5 + 0.1).all()
        assert 0.002 < one[:, 0].std() / one[:, -1].std() < 0.05  # of the trained rows: 0.01
    if not tied:
        first, second = rows_of(model, ids)
        assert not torch.allclose(first + 10, second)


@pytest.mark.parametrize("init", INITS)
def test_rows_of_trained_tokens_stay(tmp_path, init):
    """A model whose own tokenizer has the control tokens was trained with them."""
    place = base_model(tmp_path / "base", tied=True, rows=PLAIN_TOKENS)
    model, ids = load(place, init)
    with torch.no_grad():
        model.get_input_embeddings().weight[list(ids.control)] += 1
    model.save_pretrained(tmp_path / "next")
    load_tokenizer(ModelSettings(path=place)).save_pretrained(tmp_path / "next")
    again, _ = load(str(tmp_path / "next"), init)
    assert torch.equal(rows_of(again, ids)[0], rows_of(model, ids)[0])


def test_the_multiple_is_a_choice(tmp_path):
    place = base_model(tmp_path, tied=True, rows=PLAIN_TOKENS)
    settings = ModelSettings(path=place, row_multiple=128)
    assert load_model(settings, load_tokenizer(settings), 0).config.vocab_size == 384


def test_rows_that_belong_to_no_token_are_no_outliers(tmp_path):
    place = base_model(tmp_path, tied=False, rows=PLAIN_TOKENS)
    model, _ = load(place, "words")
    for table in token_tables(model):
        mean = table.weight[:PLAIN_TOKENS].mean(dim=0)
        assert torch.allclose(table.weight[PLAIN_TOKENS + len(CONTROL_TOKENS) :], mean, atol=1e-6)


def test_qwen_is_not_resized_and_gives_the_ids_of_the_report(shared_data):
    """The real tokenizer with a model of the real number of rows, untied as in the larger sizes."""
    own = AutoTokenizer.from_pretrained(shared_data / "qwen2.5_tokenizer")
    settings = ModelSettings(path=str(shared_data / "qwen2.5_tokenizer"))
    tokenizer = load_tokenizer(settings)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=151_936, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=1, num_key_value_heads=1, tie_word_embeddings=False,
        )
    )  # fmt: skip
    before = [table.weight.detach().clone() for table in token_tables(model)]
    fresh = fresh_ids(tokenizer, own, 151_936)
    assert fresh == tuple(range(151_665, 151_679))
    fit_tables(model, tokenizer, fresh, init="words", row_multiple=64, seed=0)
    ids = ControlIds.from_tokenizer(tokenizer)
    assert ids.control == fresh
    changed = torch.tensor(fresh)
    for table, old in zip(token_tables(model), before, strict=True):
        assert table.weight.shape == old.shape
        kept = torch.ones(len(old), dtype=torch.bool)
        kept[changed] = False
        assert torch.equal(table.weight[kept], old[kept])
        start = [tokenizer.convert_tokens_to_ids(f"Ġ{word}") for word in ("start", "step")]
        assert torch.allclose(table.weight[ids[ControlToken.STEP_START]], old[start].mean(dim=0), atol=1e-6)
