"""The order of padded sequences."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from steiner.train.order import like_length


@given(
    lengths=st.lists(st.integers(1, 1000), max_size=300),
    update=st.integers(1, 64),
    seed=st.integers(0, 2**32),
)
def test_every_sequence_comes_once_and_the_longest_first(lengths, update, seed):
    order = like_length(lengths, update, seed)
    assert sorted(order) == list(range(len(lengths)))
    assert not lengths or lengths[order[0]] == max(lengths)
    assert order == like_length(lengths, update, seed)


def test_updates_hold_sequences_of_like_length():
    rng = random.Random(0)
    lengths = [rng.randint(1, 1000) for _ in range(6400)]

    def padding(order: list[int]) -> float:
        updates = [[lengths[i] for i in order[start : start + 16]] for start in range(0, len(order), 16)]
        return 1 - sum(lengths) / sum(max(update) * len(update) for update in updates)

    assert padding(list(range(6400))) > 0.4
    assert padding(like_length(lengths, 16, 0)) < 0.05


def test_the_seed_decides():
    lengths = list(range(100))
    assert like_length(lengths, 4, 0) != like_length(lengths, 4, 1)
