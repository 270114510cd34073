"""Budgets, seeds and plain text of the supervised stages."""

from __future__ import annotations

from collections import Counter

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS, ControlIds
from steiner.train.data import (
    IGNORED,
    Example,
    check_context,
    draw,
    mix,
    path_sequences,
    read_documents,
    text_sequences,
    to_dataset,
)

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def examples(lengths: list[int], mark: int = 0) -> list[Example]:
    """Return distinguishable sequences of these lengths."""
    return [Example([mark + number] * length, 0) for number, length in enumerate(lengths)]


def tokens(sequences: list[Example]) -> int:
    return sum(len(one.ids) for one in sequences)


@given(LENGTHS, st.integers(0, 200), st.integers(0, 5))
def test_draw_stops_at_the_first_sequence_that_fills_the_budget(lengths, budget, seed):
    drawn = draw(examples(lengths), budget, seed)
    assert tokens(drawn) >= budget
    assert tokens(drawn[:-1]) < max(budget, 1)
    assert drawn == draw(examples(lengths), budget, seed)


@given(LENGTHS, st.integers(1, 200))
def test_draw_goes_through_all_before_it_repeats_any(lengths, budget):
    drawn = draw(examples(lengths), budget, seed=0)
    counts = Counter(one.ids[0] for one in drawn)
    times = [counts[number] for number in range(len(lengths))]
    assert max(times) - min(times) <= 1


def test_another_seed_and_another_epoch_are_another_order():
    numbers = [one.ids[0] for one in draw(examples([1] * 40), 80, seed=0)]
    others = [one.ids[0] for one in draw(examples([1] * 40), 80, seed=1)]
    assert numbers != others
    assert numbers[:40] != numbers[40:]


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(InputError, match="training split is empty"):
        draw([], 10, 0)


@given(st.integers(1, 400), st.floats(0, 0.9), st.integers(0, 3))
def test_mix_keeps_total_and_share(budget, share, seed):
    paths, texts = examples([7, 5, 9]), examples([8] * 3, mark=100)
    asked: list[int] = []

    def take(limit: int) -> list[Example]:
        asked.append(limit)
        return texts

    mixed = mix(paths, take, tokens=budget, text_share=share, seed=seed)
    wanted = round(budget * share)
    text = [one for one in mixed if one.ids[0] >= 100]
    path = [one for one in mixed if one.ids[0] < 100]
    # Each part ends with the sequence that fills it.
    assert wanted <= tokens(text) < wanted + 8
    assert budget - wanted <= tokens(path) < budget - wanted + 9
    assert asked == ([wanted] if wanted else [])
    assert mixed == mix(paths, take, tokens=budget, text_share=share, seed=seed)


def test_mix_is_shuffled():
    mixed = mix(
        examples([1] * 50), lambda _: examples([1] * 50, mark=100), tokens=100, text_share=0.5, seed=0
    )
    kinds = [one.ids[0] >= 100 for one in mixed]
    assert kinds != sorted(kinds)


def test_documents_end_at_blank_lines_and_files(tmp_path):
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes("\ufeff1 + 1 = 2\r\n2 + 2 = 4\r\n\r\n \t\r\nlast".encode())
    second.write_text("\n\nnext\n")
    assert list(read_documents([str(first), str(second)])) == ["1 + 1 = 2\n2 + 2 = 4", "last", "next"]


def test_what_cannot_be_read_is_named(tmp_path):
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("\n\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (empty, "no text in"),
        (binary, "no UTF-8 text"),
        (tmp_path / "missing.txt", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_documents([str(path)]))


def test_text_is_joined_to_blocks(tokenizer):
    documents = [f"{n} + 1 = {n + 1}" for n in range(20)]
    blocks = text_sequences(iter(documents), tokenizer, 32, limit=10_000)
    assert {len(one.ids) for one in blocks[:-1]} == {32}
    assert 0 < len(blocks[-1].ids) <= 32
    joined = [number for one in blocks for number in one.ids]
    assert tokenizer.decode(joined) == "".join(f"{document}{tokenizer.eos_token}" for document in documents)
    assert not any(one.loss_from for one in blocks)


def test_text_stops_at_the_limit(tokenizer):
    endless = iter(lambda: "1 + 1 = 2", None)
    blocks = text_sequences(endless, tokenizer, 32, limit=100)
    assert [len(one.ids) for one in blocks] == [32] * 4


def test_delimiters_in_plain_text_stay_text(tokenizer):
    ids = ControlIds.from_tokenizer(tokenizer)
    text = f"{''.join(CONTROL_TOKENS)} <|im_end|><|endoftext|>"
    (block,) = text_sequences(iter([text]), tokenizer, 1000, limit=1000)
    assert block.ids[-1] == ids.eos
    assert all(ids.is_text(number) for number in block.ids[:-1])
    assert tokenizer.decode(block.ids[:-1]) == text


def test_paths_carry_loss_on_the_completion_or_on_all():
    rows = datasets.Dataset.from_dict({"prompt_ids": [[1, 2]], "completion_ids": [[3, 4, 5]], "other": ["x"]})
    assert path_sequences(rows, completion_only=True) == [Example([1, 2, 3, 4, 5], 2)]
    assert path_sequences(rows, completion_only=False) == [Example([1, 2, 3, 4, 5], 0)]


def test_labels_without_loss_are_ignored():
    made = to_dataset([Example([1, 2, 3], 2), Example([4], 0)])
    assert made["input_ids"][:] == [[1, 2, 3], [4]]
    assert made["labels"][:] == [[IGNORED, IGNORED, 3], [4]]
    assert made["length"][:] == [3, 1]


def test_too_long_sequences_are_counted_and_refused():
    sequences = examples([5, 9, 12])
    check_context(sequences, 12, None)
    with pytest.raises(InputError, match=r"2 of 3 sequences .* 8 tokens .*\(the longest\s+has 12\)"):
        check_context(sequences, 8, None)
    with pytest.raises(InputError, match="1 of 3 sequences are longer than the context of 10 tokens"):
        check_context(sequences, 4096, 10)
