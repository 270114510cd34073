"""Positions with gaps: what they look like, and that a stage trains on them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from steiner.protocol import ControlIds, ControlToken
from steiner.train.data import IGNORED, Example, to_dataset
from steiner.train.model import load_tokenizer
from steiner.train.skips import AT_FIRST, WHOLE, SkippingCollator, add_positions, skipping_positions
from steiner.train.supervised import batching, sft_material, train_cpt, train_sft

SPAN = 2000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_run(tmp_path_factory.mktemp("skips") / "run")


@pytest.fixture(scope="module")
def base(run: Path) -> Path:
    train_cpt(tiny_run.cpt(run, run / "cpt", position_span=SPAN))
    return run / "cpt" / "model"


@given(length=st.integers(1, 300), span=st.integers(1, 1000), seed=st.integers(0, 2**32), data=st.data())
def test_positions_rise_and_skip_only_at_the_places(length, span, seed, data):
    places = sorted(data.draw(st.sets(st.integers(1, max(1, length - 1)), max_size=8)))
    places = [place for place in places if place < length]
    positions = skipping_positions(length, places, span, random.Random(seed))
    assert positions[0] == 0
    assert len(positions) == length
    assert positions[-1] < max(span, length)
    steps = np.diff(positions)
    assert (steps >= 1).all()
    gaps = set((np.flatnonzero(steps > 1) + 1).tolist())
    assert gaps <= set(places)
    assert len(gaps) <= 1
    assert (positions == skipping_positions(length, places, span, random.Random(seed))).all()


def test_gaps_are_of_every_size_and_mostly_before_the_first_step():
    rng = random.Random(0)
    drawn = [np.diff(skipping_positions(100, [20, 40, 60], 500, rng)) for _ in range(4000)]
    gaps = [(int(steps.argmax()) + 1, int(steps.max()) - 1) for steps in drawn if steps.max() > 1]
    assert 1 - len(gaps) / len(drawn) == pytest.approx(WHOLE, abs=0.03)
    first = sum(place == 20 for place, _ in gaps) / len(drawn)
    assert first == pytest.approx(AT_FIRST + (1 - WHOLE - AT_FIRST) / 3, abs=0.03)
    assert {place for place, _ in gaps} == {20, 40, 60}
    sizes = [size for _, size in gaps]
    assert (min(sizes), max(sizes)) == (1, 400)
    assert np.mean(sizes) == pytest.approx(200, abs=10)


def test_a_stage_reads_paths_whose_steps_are_far_apart(run, base):
    settings = tiny_run.sft(run, run / "sft", base, position_span=SPAN)
    tokenizer = load_tokenizer(settings.model)
    start = ControlIds.from_tokenizer(tokenizer)[ControlToken.STEP_START]
    material = sft_material(settings, tokenizer)
    rows = list(material.dataset.with_format("numpy"))
    assert max(row["position_ids"][-1] for row in rows) > SPAN - 100
    for row in rows:
        after_gap = np.flatnonzero(np.diff(row["position_ids"]) > 1) + 1
        assert (row["input_ids"][after_gap] == start).all()
    model = AutoModelForCausalLM.from_pretrained(base)
    arguments, collator = batching(material, model, int(tokenizer.pad_token_id))
    assert isinstance(collator, SkippingCollator)
    assert arguments["remove_unused_columns"] is False
    batch = collator(rows[:4])
    width = max(len(row["input_ids"]) for row in rows[:4])
    for number, row in enumerate(rows[:4]):
        length = len(row["input_ids"])
        assert batch["input_ids"][number, :length].tolist() == row["input_ids"].tolist()
        assert batch["position_ids"][number, :length].tolist() == row["position_ids"].tolist()
        assert batch["attention_mask"][number].tolist() == [1] * length + [0] * (width - length)
        assert (batch["labels"][number, length:] == IGNORED).all()
    # A gap is seen by what comes after it, and by nothing before.
    row = next(row for row in rows if (np.diff(row["position_ids"]) > 1).any())
    ids = torch.from_numpy(row["input_ids"]).long()[None]
    first = int(np.argmax(np.diff(row["position_ids"]) > 1)) + 1
    with torch.no_grad():
        far = model(ids, position_ids=torch.from_numpy(row["position_ids"]).long()[None]).logits[0]
        near = model(ids).logits[0]
    torch.testing.assert_close(far[:first], near[:first])
    assert not torch.allclose(far[first:], near[first:], atol=1e-4)


@given(turns=st.integers(1, 4), steps=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_gaps_in_a_conversation_are_in_its_last_turn(turns, steps, seed):
    turn = [7, 8, *[1, 2, 3] * steps]  # a question, the start, steps that begin with 1
    ids = np.array(turn * turns, dtype=np.int32)
    last = len(turn) * (turns - 1) + 1
    rows = to_dataset([Example.of(ids, loss_from=last)] * 20)
    drawn = add_positions(rows, SPAN, 1, seed).with_format("numpy")["position_ids"]
    gaps = {int(place) + 1 for row in drawn for place in np.flatnonzero(np.diff(row) > 1)}
    assert gaps <= set(range(last + 1, len(ids), 3))
    assert gaps


def test_training_with_gaps_can_be_repeated(run, base, tmp_path):
    settings = [tiny_run.sft(run, tmp_path / name, base, position_span=SPAN) for name in ("one", "two")]
    settings.append(tiny_run.sft(run, tmp_path / "plain", base))
    for one in settings:
        train_sft(one)
    first, second, plain = (load_file(Path(one.output) / "model" / "model.safetensors") for one in settings)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], plain[name]) for name in first)


def test_packed_rows_have_no_gaps(run, base, tmp_path):
    with pytest.raises(ValidationError, match="position_span needs packing = false"):
        tiny_run.sft(run, tmp_path / "packed", base, position_span=SPAN, packing=True)
