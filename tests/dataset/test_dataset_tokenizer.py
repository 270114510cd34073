from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Config

from steiner.core import InputError
from steiner.dataset.tokenise import load_tokenizer, tokenizer_digest
from steiner.dataset.tokenizer import train_tokenizer
from steiner.protocol import CONTROL_TOKENS, TextEncoder

TEXTS = ["From 3 5 7", "3 + 5 = 8", "left 7 8", "go on", "target 21 , got 15 , off by 6", "(3 * 5) + 7 = 22"]
SMALL = train_tokenizer(TEXTS, vocab_size=512, numbers_to=99)
OPEN = train_tokenizer(
    [f"the {word}ing of {word}s and {word}ers" for word in ("train", "search", "sample", "grade")] * 3,
    vocab_size=300,
    numbers_to=9,
)  # fmt: skip


def spell(tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([number]) for number in tokenizer.encode(text, add_special_tokens=False)]


@pytest.mark.parametrize("tokenizer", [SMALL, OPEN], ids=["words", "merges"])
@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_survives(tokenizer, text):
    # As protocol encodes it: the text alone, no special token looked for.
    (ids,) = TextEncoder(tokenizer).encode([text])
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_every_number_is_one_token_with_and_without_space():
    for number in range(100):
        assert spell(SMALL, str(number)) == [str(number)]
        assert spell(SMALL, f" {number}") == [f" {number}"]


@given(st.lists(st.integers(0, 99), min_size=1, max_size=8))
def test_numbers_never_merge_with_each_other(numbers):
    assert [int(piece) for piece in spell(SMALL, " ".join(map(str, numbers)))] == numbers


def test_larger_numbers_take_several_tokens():
    assert spell(SMALL, "100") == ["10", "0"]
    assert spell(SMALL, " 12345") == [" 12", "34", "5"]


def test_words_and_signs_are_single_tokens():
    text = "target 21 , got 15 , off by 6"
    assert spell(SMALL, text) == ["target", " 21", " ,", " got", " 15", " ,", " off", " by", " 6"]
    assert spell(SMALL, "(3 * 5) + 7 = 22") == ["(", "3", " *", " 5", ")", " +", " 7", " =", " 22"]


def test_vocabulary_is_no_larger_than_needed_and_never_larger_than_allowed():
    assert len(SMALL) < 512
    assert len(OPEN) == 300


def test_merges_are_learned_where_the_words_do_not_fit():
    pieces = spell(OPEN, " the training")
    assert "ing" in pieces
    assert len(pieces) < len(" training")


def test_order_of_the_texts_has_no_influence():
    assert tokenizer_digest(train_tokenizer(reversed(TEXTS), 512, 99)) == tokenizer_digest(SMALL)


def test_a_prompt_takes_eight_tokens_more_than_its_text():
    chat = [{"role": "user", "content": "From 3 5 7"}]
    text = SMALL.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nFrom 3 5 7<|im_end|>\n<|im_start|>assistant\n"
    frame = ["<|im_start|>", "user", "\n", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"]
    assert spell(SMALL, text) == [*frame[:3], "From", " 3", " 5", " 7", *frame[3:]]


def test_special_tokens():
    assert (SMALL.eos_token, SMALL.pad_token) == ("<|im_end|>", "<|endoftext|>")
    ids = SMALL.convert_tokens_to_ids([str(token) for token in CONTROL_TOKENS])
    assert ids == list(range(len(SMALL) - 14, len(SMALL)))


@pytest.mark.parametrize("tokenizer", [SMALL, OPEN], ids=["words", "merges"])
def test_transformers_loads_what_was_saved(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "target 21 , got 15 , off by 6 世界 \n\t<|reasoning_start|>x<|im_end|>"
    assert loaded.encode(text) == tokenizer.encode(text)
    assert len(loaded) == len(tokenizer)
    assert (loaded.eos_token_id, loaded.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert loaded.chat_template == tokenizer.chat_template
    assert tokenizer_digest(loaded) == tokenizer_digest(tokenizer)


def test_it_stays_the_same_beside_a_qwen2_model(tmp_path):
    # transformers 5 rebuilds the pipeline of Qwen2 there, whatever tokenizer.json says.
    SMALL.save_pretrained(tmp_path)
    Qwen2Config(vocab_size=len(SMALL)).save_pretrained(tmp_path)
    assert tokenizer_digest(AutoTokenizer.from_pretrained(tmp_path)) == tokenizer_digest(SMALL)


def test_a_vocabulary_without_room_is_refused_with_the_least_size():
    with pytest.raises(InputError) as caught:
        train_tokenizer(TEXTS, vocab_size=300, numbers_to=99)
    least = 256 + 10 * 1 + 90 * 2 + 3 + 14  # bytes, " 0".." 9", 10..99 twice, ChatML, control
    assert str(least) in str(caught.value)
    assert len(train_tokenizer([], vocab_size=least, numbers_to=99)) == least


def test_digest_ignores_padding_and_sees_every_other_change(tmp_path):
    tokenizer = train_tokenizer(TEXTS, 512, 99)
    before = tokenizer_digest(tokenizer)
    tokenizer(["a", "bb"], padding=True, truncation=True, max_length=4)
    assert tokenizer_digest(tokenizer) == before
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    assert tokenizer_digest(tokenizer) != before
    assert tokenizer_digest(train_tokenizer([*TEXTS, "more"], 512, 99)) != before


def test_loading_names_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        load_tokenizer(str(tmp_path / "none"))


def test_loading_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(("token", "word"), [("pad_token", "pad"), ("eos_token", "eos|end")])
def test_loading_a_tokenizer_without_pad_or_end_token(tmp_path, token, word):
    named = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    del named[token]
    backend = train_tokenizer(TEXTS, 512, 99).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=word):
        load_tokenizer(str(tmp_path))


def test_qwen_gets_the_ids_of_the_report(shared_data: Path):
    tokenizer = load_tokenizer(str(shared_data / "qwen2.5_tokenizer"))
    ids = tokenizer.convert_tokens_to_ids([str(token) for token in CONTROL_TOKENS])
    assert ids == list(range(151665, 151679))
