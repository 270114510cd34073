import pytest
import torch

from steiner.core import InputError
from steiner.decode.load import load_model


def test_a_saved_model_loads(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, its_tokenizer = load_model(tmp_path, device="cpu")
    assert not loaded.training
    assert its_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("place", ["/nowhere/model", "./missing", "missing", "a/b/c"])
def test_a_missing_folder_is_named(place):
    with pytest.raises(InputError, match=f"no model folder '{place}'"):
        load_model(place)


def test_a_folder_without_a_model_is_told_apart(model, tmp_path):
    with pytest.raises(InputError, match=r"no config\.json$"):
        load_model(tmp_path)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="subfolder 'model'"):
        load_model(tmp_path)


def test_a_model_without_weights_or_rows_is_refused(model, tokenizer, tmp_path):
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(tmp_path)
    small = type(model)(type(model.config)(**{**model.config.to_dict(), "vocab_size": 260}))
    small.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="vocabulary is too small"):
        load_model(tmp_path)
