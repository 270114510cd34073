"""The order of padded sequences."""

from __future__ import annotations

import random
from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steiner.train.batches import PackedRow, rows_to_dataset
from steiner.train.data import IGNORED
from steiner.train.order import fill_up, like_length


@given(
    lengths=st.lists(st.integers(1, 1000), max_size=300),
    update=st.integers(1, 64),
    seed=st.integers(0, 2**32),
)
def test_every_sequence_comes_once_and_the_longest_first(lengths, update, seed):
    order = like_length(lengths, update, seed)
    assert sorted(order) == list(range(len(lengths)))
    if len(lengths) >= update:
        assert max(lengths[i] for i in order[:update]) == max(lengths)
    assert order == like_length(lengths, update, seed)


def test_updates_hold_sequences_of_like_length():
    rng = random.Random(0)
    lengths = [rng.randint(1, 1000) for _ in range(6400)]

    def padding(order: list[int]) -> float:
        updates = [[lengths[i] for i in order[start : start + 16]] for start in range(0, len(order), 16)]
        return 1 - sum(lengths) / sum(max(update) * len(update) for update in updates)

    assert padding(list(range(6400))) > 0.4
    assert padding(like_length(lengths, 16, 0)) < 0.05


def test_short_sequences_do_not_come_in_a_row():
    """A model that sees only short paths for twenty updates learns to stop early."""
    rng = random.Random(0)
    lengths = [rng.choice((50, 100, 200, 300)) for _ in range(8 * 400)]
    order = like_length(lengths, 8, 0)
    means = [sum(lengths[i] for i in order[start : start + 8]) / 8 for start in range(0, len(order), 8)]
    long_runs = max(len(list(run)) for short, run in groupby(mean < 75 for mean in means) if short)
    assert long_runs < 8


def test_the_seed_decides():
    lengths = list(range(100))
    assert like_length(lengths, 4, 0) != like_length(lengths, 4, 1)


def test_the_last_update_is_filled_up_without_loss():
    ids = [np.arange(length, dtype=np.int32) for length in (7, 4, 9, 5, 6)]
    rows = [PackedRow(one, one.copy(), np.array([len(one)], np.int32)) for one in ids]
    dataset = rows_to_dataset(rows)
    filled = fill_up(dataset, 4)
    assert filled.format["type"] == "numpy"
    assert filled.features == dataset.features
    assert [list(row["labels"]) for row in filled.select(range(5))] == [list(one) for one in ids]
    for row in filled.select(range(5, 8)):
        assert list(row["input_ids"]) == [0, 1, 2, 3]
        assert list(row["labels"]) == [IGNORED] * 4
        assert list(row["seq_lengths"]) == [4]
    assert len(filled) == 8
    assert fill_up(filled, 4) is filled
