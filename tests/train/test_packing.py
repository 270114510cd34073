"""Packing: nothing lost, nothing twice, rows as full as can be, and no sequence sees another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from steiner.train.batches import (
    PackedCollator,
    fill_of,
    pack_epochs,
    pack_mixture,
    rows_to_dataset,
)
from steiner.train.data import IGNORED, Example
from steiner.train.packing import fill, pack_full, pack_whole, used

ROOM = 64
LENGTHS = st.lists(st.integers(1, ROOM), min_size=1, max_size=60)


def examples(lengths: list[int]) -> list[Example]:
    """Return sequences of distinguishable tokens; the first third of each carries no loss."""
    starts = np.cumsum([0, *lengths])
    return [
        Example.of(range(start, start + n), n // 3) for start, n in zip(starts[:-1], lengths, strict=True)
    ]


@given(LENGTHS)
def test_whole_sequences_are_each_there_once_and_rows_have_room(lengths):
    rows = pack_whole(lengths, ROOM, "seed")
    pieces = [piece for row in rows for piece in row]
    assert sorted(pieces) == [(index, 0, length) for index, length in enumerate(lengths)]
    assert all(used(row) <= ROOM for row in rows)
    # Two rows that together fit into one would be one: best fit leaves at most one row half empty or more.
    assert sum(used(row) <= ROOM // 2 for row in rows) <= 1


@given(
    st.lists(st.integers(1, 3 * ROOM), min_size=1, max_size=60),
    st.floats(0.1, 1.0),
    st.integers(0, 3),
    st.data(),
)
def test_full_rows_hold_pieces_of_sequences_without_overlap(lengths, share, seed, data):
    count = max(1, int(sum(lengths) * share) // ROOM)
    whole = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    rows = pack_full(lengths, ROOM, count, whole, f"{seed}")
    assert len(rows) <= count
    assert all(0 < used(row) <= ROOM for row in rows)
    taken: set[tuple[int, int]] = set()
    for piece in (piece for row in rows for piece in row):
        places = {(piece.sequence, token) for token in range(piece.start, piece.stop)}
        assert 0 <= piece.start < piece.stop <= lengths[piece.sequence]
        assert not places & taken
        taken |= places
    assert rows == pack_full(lengths, ROOM, count, whole, f"{seed}")


@pytest.mark.parametrize(("low", "high"), [(5, 40), (30, 900), (300, 1024), (600, 1024), (900, 5000)])
def test_full_rows_are_full(low, high):
    rng = np.random.default_rng(0)
    lengths = rng.integers(low, high, 2000).tolist()
    count = sum(lengths) // 1024
    rows = pack_full(lengths, 1024, count, [False] * len(lengths), "seed")
    assert len(rows) == count
    assert fill(rows, 1024) >= 0.999


def test_plain_text_is_cut_and_paths_are_not():
    rng = np.random.default_rng(0)
    paths, texts = rng.integers(100, 900, 300).tolist(), rng.integers(20, 3000, 150).tolist()
    count = (sum(paths) + sum(texts)) // 1024
    whole = [True] * len(paths) + [False] * len(texts)
    rows = pack_full(paths + texts, 1024, count, whole, "seed")
    found = sorted(p for row in rows for p in row if p.sequence < len(paths))
    assert found == [(index, 0, length) for index, length in enumerate(paths)]
    assert fill(rows, 1024) >= 0.999


def test_another_seed_is_another_order_of_the_same_rows():
    lengths = [40, 30, 60, 20, 10, 50, 64]
    one, other = pack_whole(lengths, ROOM, "0"), pack_whole(lengths, ROOM, "1")
    assert one != other
    assert sorted(map(sorted, one)) == sorted(map(sorted, other))


@given(LENGTHS)
def test_rows_keep_tokens_and_loss_and_leave_out_first_tokens(lengths):
    drawn = examples(lengths)
    rows = pack_epochs([drawn, drawn], ROOM, seed=0)
    assert sorted(np.concatenate([row.input_ids for row in rows])) == sorted(2 * list(range(sum(lengths))))
    for row in rows:
        assert row.seq_lengths.sum() == len(row.input_ids) == len(row.labels)
        starts = np.cumsum([0, *row.seq_lengths[:-1]])
        assert (row.labels[starts] == IGNORED).all()
    learned = sum((row.labels != IGNORED).sum() for row in rows)
    assert learned == 2 * sum(min(n - 1, n - n // 3) for n in lengths)


def test_each_epoch_is_seen_whole_before_the_next_begins():
    drawn = examples([40] * 10)
    rows = pack_epochs([drawn, drawn], ROOM, seed=0)
    first = np.concatenate([row.input_ids for row in rows[:10]])
    assert sorted(first) == list(range(400))


def test_mixture_has_as_many_rows_as_asked_and_is_full():
    paths, texts = examples([300, 500, 700] * 20), examples([37, 90, 2000] * 20)
    rows = pack_mixture(paths, texts, 1024, 60, seed=0)
    assert len(rows) == 60
    assert fill_of(rows, 1024) >= 0.999


def test_batches_pad_short_rows_with_a_sequence_of_its_own():
    rows = pack_epochs([examples([5, 3])], 6, seed=0)
    dataset = rows_to_dataset(rows)
    batch = PackedCollator(99)([dataset[n] for n in range(2)])
    long = int(dataset[1]["seq_lengths"][0] == 5)
    assert batch["input_ids"].shape == (2, 5)
    assert batch["position_ids"][long].tolist() == [0, 1, 2, 3, 4]
    assert batch["position_ids"][1 - long].tolist() == [0, 1, 2, 0, 1]
    assert batch["input_ids"][1 - long].tolist() == [5, 6, 7, 99, 99]
    assert batch["labels"][1 - long].tolist() == [IGNORED, 6, 7, IGNORED, IGNORED]
    assert "attention_mask" not in batch


def test_flat_batches_name_the_bounds_of_sequences():
    dataset = rows_to_dataset(pack_epochs([examples([5, 3, 1])], 6, seed=0))
    batch = PackedCollator(99, flat=True)([dataset[n] for n in range(2)])
    assert batch["input_ids"].shape == (1, 9)
    bounds = batch["cu_seq_lens_q"].tolist()
    assert sorted(np.diff(bounds)) == [1, 3, 5]
    starts = [n for n, position in enumerate(batch["position_ids"][0].tolist()) if position == 0]
    assert bounds[:-1] == starts
    assert batch["max_length_q"] == 5


SHAPE = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", [(Qwen2Config, Qwen2ForCausalLM), (LlamaConfig, LlamaForCausalLM)])
def test_a_packed_sequence_gets_the_logits_that_it_gets_alone(family, attention):
    config, model_class = family
    torch.manual_seed(0)
    model = model_class(config(**SHAPE, attn_implementation=attention)).eval()
    lengths = [40, 23, 7, 50, 12, 3, 30]
    drawn = [Example.of(np.random.default_rng(n).integers(0, 100, n)) for n in lengths]
    rows = pack_epochs([drawn], ROOM, seed=0)
    dataset = rows_to_dataset(rows)
    batch = PackedCollator(0)([dataset[n] for n in range(len(rows))])
    with torch.no_grad():
        packed = model(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
        ).logits
        seen = 0
        for number, row in enumerate(rows):
            start = 0
            for length in row.seq_lengths:
                alone = model(torch.from_numpy(row.input_ids[start : start + length]).long()[None]).logits[0]
                torch.testing.assert_close(
                    packed[number, start : start + length], alone, atol=1e-5, rtol=1e-5
                )
                start += length
                seen += 1
    assert seen == len(lengths)
    assert max(len(row.seq_lengths) for row in rows) > 1


def test_packed_and_padded_give_the_same_loss_and_gradient():
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    lengths = [40, 23, 7, 50, 12, 3, 30]
    drawn = [Example.of(np.random.default_rng(n).integers(0, 100, n), n // 2) for n in lengths]
    dataset = rows_to_dataset(pack_epochs([drawn], ROOM, seed=0))
    packed = PackedCollator(0)(list(dataset))

    def gradient(batch: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
        model.zero_grad()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        return float(loss), model.model.layers[0].mlp.up_proj.weight.grad.clone()

    width = max(lengths)
    padded = {
        "input_ids": torch.tensor([[*e.ids, *[0] * (width - len(e.ids))] for e in drawn]),
        "attention_mask": torch.tensor([[1] * n + [0] * (width - n) for n in lengths]),
        "labels": torch.tensor([[*e.labels, *[IGNORED] * (width - len(e.ids))] for e in drawn]),
    }
    (one, first), (other, second) = gradient(packed), gradient(padded)
    assert one == pytest.approx(other, abs=1e-5)
    torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-4)
