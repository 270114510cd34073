import pytest
from protocol_material import byte_level

from steiner.core import InputError
from steiner.protocol import (
    CONTROL_TOKENS,
    ControlIds,
    ControlToken,
    TextEncoder,
    add_control_tokens,
    check_vocabulary,
)


def test_ids_on_qwen_are_those_of_the_report(qwen):
    ids = ControlIds.from_tokenizer(qwen)
    assert ids.control == tuple(range(151665, 151679))
    assert qwen.convert_ids_to_tokens(list(ids.control)) == list(CONTROL_TOKENS)
    assert (ids.eos, ids.pad, ids.size) == (151645, 151643, 151679)


def test_adding_twice_changes_nothing(qwen):
    size = len(qwen)
    assert add_control_tokens(qwen) == 0
    assert len(qwen) == size


def test_adding_keeps_the_special_tokens_that_were_there(any_tokenizer, qwen_as_published, qwen):
    assert set(qwen_as_published.all_special_tokens) < set(qwen.all_special_tokens)
    assert {any_tokenizer.eos_token, any_tokenizer.pad_token} <= set(any_tokenizer.all_special_tokens)


def test_control_tokens_survive_saving(any_tokenizer, tmp_path):
    any_tokenizer.save_pretrained(tmp_path)
    again = type(any_tokenizer).from_pretrained(tmp_path)
    assert ControlIds.from_tokenizer(again) == ControlIds.from_tokenizer(any_tokenizer)
    assert add_control_tokens(again) == 0


def test_ids_are_read_from_the_tokenizer_wherever_they_are():
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"additional_special_tokens": [ControlToken.STEP_END]})
    assert add_control_tokens(tokenizer) == 13
    ids = ControlIds.from_tokenizer(tokenizer)
    assert ids[ControlToken.STEP_END] == min(ids.control)
    assert [ids.token(number) for number in ids.control] == list(CONTROL_TOKENS)


def test_a_token_of_that_name_that_is_not_special_becomes_special():
    tokenizer = byte_level()
    tokenizer.add_tokens([str(ControlToken.START)])
    add_control_tokens(tokenizer)
    assert ControlToken.START in tokenizer.all_special_tokens
    assert (
        tokenizer.decode([ControlIds.from_tokenizer(tokenizer)[ControlToken.START]], skip_special_tokens=True)
        == ""
    )


def test_text_is_what_is_neither_control_nor_special_nor_unknown(qwen):
    ids = ControlIds.from_tokenizer(qwen)
    assert ids.is_text(0)
    assert ids.is_text(151642)
    assert not any(ids.is_text(number) for number in range(151643, 151936))


@pytest.mark.parametrize("lack", ["eos", "pad"])
def test_a_tokenizer_without_end_or_pad_token_is_refused(lack):
    tokenizer = byte_level()
    add_control_tokens(tokenizer)
    setattr(tokenizer, f"{lack}_token", None)
    with pytest.raises(InputError, match=f"no {lack} token"):
        ControlIds.from_tokenizer(tokenizer)


def test_a_tokenizer_without_control_tokens_is_refused():
    with pytest.raises(InputError, match=r"lacks 14 of the 14 control tokens.*add_control_tokens"):
        ControlIds.from_tokenizer(byte_level())


def test_a_model_that_is_too_small_is_refused(tiny):
    ids = ControlIds.from_tokenizer(tiny)
    check_vocabulary(ids, max(ids.control) + 1)
    with pytest.raises(InputError, match="too small"):
        check_vocabulary(ids, max(ids.control))


def test_encoding_text_equals_the_tokenizer_where_there_is_no_delimiter(qwen):
    texts = ["Hello, world!\n\n 3 + 5 = 8", "", " blank", "日本語 é 🙂", "a\u0301"]
    assert TextEncoder(qwen).encode(texts) == [qwen.encode(text, add_special_tokens=False) for text in texts]


def test_text_never_becomes_a_delimiter(any_tokenizer, qwen):
    for tokenizer in (any_tokenizer, qwen):
        ids = ControlIds.from_tokenizer(tokenizer)
        spelled = [tokenizer.convert_ids_to_tokens(number) for number in {*ids.special, *ids.control}]
        for text in (*spelled, " ".join(spelled), "".join(spelled)):
            (row,) = TextEncoder(tokenizer).encode([text])
            assert not {*ids.control, *(ids.special - {tokenizer.unk_token_id})} & set(row)


def test_added_words_stay_tokens_and_added_markup_does_not():
    tokenizer = byte_level()
    tokenizer.add_tokens(["<think>", "zwelf"])
    add_control_tokens(tokenizer)
    word, markup = tokenizer.convert_tokens_to_ids(["zwelf", "<think>"])
    (row,) = TextEncoder(tokenizer).encode(["<think>zwelf"])
    assert word in row
    assert markup not in row
    assert tokenizer.decode(row) == "<think>zwelf"


def test_lone_surrogates_are_replaced(tiny):
    (row,) = TextEncoder(tiny).encode(["a\ud800b"])
    assert tiny.decode(row) == "a?b"
