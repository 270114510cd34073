"""Budgets, seeds and plain text of the supervised stages."""

from __future__ import annotations

from collections import Counter

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError, Move, ReasoningPath, Step
from steiner.protocol import CONTROL_TOKENS, ControlIds, ControlToken, encode_path
from steiner.train.data import (
    IGNORED,
    Example,
    StepEnds,
    check_context,
    draw,
    draw_epochs,
    learned,
    mix,
    path_examples,
    spread,
    text_blocks,
    text_examples,
    to_dataset,
)
from steiner.train.text import encode_documents

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def examples(lengths: list[int], mark: int = 0) -> list[Example]:
    """Return distinguishable sequences of these lengths."""
    return [Example.of([mark + number] * length) for number, length in enumerate(lengths)]


def ids(sequences: list[Example]) -> list[list[int]]:
    return [one.ids.tolist() for one in sequences]


def tokens(sequences: list[Example]) -> int:
    return sum(len(one.ids) for one in sequences)


@given(LENGTHS, st.integers(0, 200), st.integers(0, 5))
def test_draw_stops_at_the_first_sequence_that_fills_the_budget(lengths, budget, seed):
    drawn = draw(examples(lengths), budget, seed)
    assert tokens(drawn) >= budget
    assert tokens(drawn[:-1]) < max(budget, 1)
    assert ids(drawn) == ids(draw(examples(lengths), budget, seed))


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
    assert ids(mixed) == ids(mix(paths, take, tokens=budget, text_share=share, seed=seed))


@given(
    st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(0, 40)
)
def test_plain_text_is_spread_over_epochs_by_their_tokens(lengths, count):
    epochs = [examples(epoch) for epoch in lengths]
    texts = examples([2] * count, mark=100)
    found = spread(texts, epochs)
    assert [ids(epoch[: len(before)]) for epoch, before in zip(found, epochs, strict=True)] == list(
        map(ids, epochs)
    )
    added = [epoch[len(before) :] for epoch, before in zip(found, epochs, strict=True)]
    assert ids([one for part in added for one in part]) == ids(texts)
    total = sum(map(sum, lengths))
    for part, epoch in zip(added, lengths, strict=True):
        assert abs(len(part) - count * sum(epoch) / total) <= 1


def test_mix_is_shuffled():
    mixed = mix(
        examples([1] * 50), lambda _: examples([1] * 50, mark=100), tokens=100, text_share=0.5, seed=0
    )
    kinds = [one.ids[0] >= 100 for one in mixed]
    assert kinds != sorted(kinds)


def test_text_is_joined_to_blocks(tokenizer):
    documents = [f"{n} + 1 = {n + 1}" for n in range(20)]
    blocks = text_blocks(encode_documents(iter(documents), tokenizer), 32, limit=10_000)
    assert {len(one.ids) for one in blocks[:-1]} == {32}
    assert 0 < len(blocks[-1].ids) <= 32
    joined = [number for one in blocks for number in one.ids]
    assert tokenizer.decode(joined) == "".join(f"{document}{tokenizer.eos_token}" for document in documents)
    assert all(one.loss.all() for one in blocks)


def test_text_stops_at_the_limit(tokenizer):
    endless = iter(lambda: "1 + 1 = 2", None)
    blocks = text_blocks(encode_documents(endless, tokenizer), 32, limit=100)
    assert [len(one.ids) for one in blocks] == [32] * 4


def test_delimiters_in_plain_text_stay_text(tokenizer):
    control = ControlIds.from_tokenizer(tokenizer)
    text = f"{''.join(CONTROL_TOKENS)} <|im_end|><|endoftext|>"
    (block,) = text_blocks(encode_documents(iter([text]), tokenizer), 1000, limit=1000)
    assert block.ids[-1] == control.eos
    assert all(control.is_text(int(number)) for number in block.ids[:-1])
    assert tokenizer.decode(block.ids[:-1]) == text


def test_documents_stay_apart_where_they_are_packed(tokenizer):
    texts = [f"{n} + 1 = {n + 1}" for n in range(20)]
    found = text_examples(encode_documents(iter(texts), tokenizer), limit=30)
    assert tokens(found[:-1]) < 30 <= tokens(found)
    assert [tokenizer.decode(one.ids[:-1]) for one in found] == texts[: len(found)]


def stored_rows(**columns: list) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"prompt_ids": [[1, 2]], "completion_ids": [[3, 4, 5]]} | columns)


def test_paths_carry_loss_on_the_completion_or_on_all():
    (one,) = path_examples(stored_rows(), completion_only=True)
    assert one.ids.tolist() == [1, 2, 3, 4, 5]
    assert one.labels.tolist() == [IGNORED, IGNORED, 3, 4, 5]
    (one,) = path_examples(stored_rows(), completion_only=False)
    assert one.labels.tolist() == [1, 2, 3, 4, 5]
    (one,) = path_examples(stored_rows(), completion_only=True, prompts=[[7]])
    assert one.labels.tolist() == [IGNORED, 3, 4, 5]


def test_examples_of_many_rows_keep_their_order():
    rows = datasets.Dataset.from_dict(
        {"prompt_ids": [[n] for n in range(2500)], "completion_ids": [[n] * (n % 3) for n in range(2500)]}
    )
    found = path_examples(rows, completion_only=True)
    assert ids(found) == [[n] * (n % 3 + 1) for n in range(2500)]


def test_epochs_are_what_draw_draws():
    epochs = list(draw_epochs(examples([3, 4, 5]), 30, seed=0))
    assert [len(epoch) for epoch in epochs[:-1]] == [3, 3]
    assert ids([e for epoch in epochs for e in epoch]) == ids(draw(examples([3, 4, 5]), 30, seed=0))
    assert sorted(ids(epochs[0])) == sorted(ids(epochs[1]))


def step(number: int) -> Step:
    return Step(name=f"From {number}", thought="3 + 5 = 8", summary="left 7 8", reflection="go on")


def test_wrong_steps_carry_no_loss_but_the_reflection_that_goes_back_does(tokenizer):
    path = ReasoningPath(
        steps=tuple(step(n) for n in range(4)),
        moves=(Move.PROCEED, Move.PROCEED, Move.BACKTRACK),
        answer="22",
        parents=(-1, 0, 1, 0),
    )
    encoded = encode_path(tokenizer, path)
    control = ControlIds.from_tokenizer(tokenizer)
    completion, steps = np.array(encoded.ids, np.int32), np.array(encoded.step_index, np.int32)
    keep = learned(completion, steps, np.array([False, True, True, False]), control)
    # Right steps, all moves, START, END, answer: kept. The first wrong step: nothing of it.
    assert keep[(steps != 1) & (steps != 2)].all()
    assert not keep[steps == 1].any()
    # The second one is gone back from: of it the reflection is learned, with its delimiters and STEP_END.
    assert tokenizer.decode(completion[(steps == 2) & keep]) == (
        "<|reasoning_step_reflection_start|>go on<|reasoning_step_reflection_end|><|reasoning_step_end|>"
    )
    assert learned(completion, steps, np.zeros(4, np.bool_), control).all()


def test_longer_paths_are_cut_after_the_move(tokenizer):
    path = ReasoningPath(
        steps=tuple(step(n) for n in range(4)),
        moves=(Move.PROCEED, Move.BACKTRACK, Move.PROCEED),
        answer="22",
    )
    control = ControlIds.from_tokenizer(tokenizer)
    whole = list(encode_path(tokenizer, path).ids)
    rows = stored_rows(completion_ids=[whole])
    kept = {}
    for most in (1, 2, 3, 4, 9):
        (one,) = path_examples(rows, completion_only=True, ends=StepEnds.of(most, control))
        kept[most] = one.ids[2:].tolist()
        assert kept[most] == whole[: len(kept[most])]
        assert one.labels[2:].tolist() == kept[most]
    assert kept[4] == kept[9] == whole
    for most, move in ((1, ControlToken.PROCEED), (2, ControlToken.BACKTRACK), (3, ControlToken.PROCEED)):
        assert kept[most][-2:] == [control[ControlToken.STEP_END], control[move]]
        assert kept[most].count(control[ControlToken.STEP_END]) == most
    assert StepEnds.of(None, control) is None


def test_a_dataset_that_does_not_say_which_steps_are_wrong_is_refused(tokenizer):
    masked = ControlIds.from_tokenizer(tokenizer)
    with pytest.raises(InputError, match=r"'mask_wrong_steps' needs the column dead_ends.*steiner dataset"):
        path_examples(stored_rows(), completion_only=True, masked=masked)


def test_labels_without_loss_are_ignored():
    made = to_dataset([Example.of([1, 2, 3], 2), Example.of([4])])
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
