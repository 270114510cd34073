"""What a row draws depends on its own seed; prompts that rows share are computed once."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steiner.core import StepBudget
from steiner.decode import writing as module
from steiner.decode.around import shared_prefill
from steiner.decode.draw import SeededDraw, uniforms
from steiner.decode.generate import generate
from steiner.protocol import ControlToken, Message, encode_prompt

BUDGETS = [StepBudget(max_steps=2, max_reasoning_tokens=60), StepBudget(max_steps=3, max_reasoning_tokens=70)]


@pytest.fixture(scope="module")
def prompts(tokenizer):
    texts = ("What is 2 + 3?", "Make 21 from 3 5 7.")
    return [encode_prompt(tokenizer, [Message(role="user", content=text)]) for text in texts]


def write(model, tokenizer, prompts, budgets, seeds, **options):
    options = {"temperature": 1.0, "max_answer_tokens": 6} | options
    done = generate(model, tokenizer, prompts, budgets, seeds=seeds, **options)
    return [one.completion_ids for one in done]


def test_splitmix_by_the_published_stream():
    # The first outputs of SplitMix64 from seed 1234567, as published with its reference implementation.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    seeds = np.full(3, 1234567, dtype=np.uint64)
    assert uniforms(seeds, np.arange(3)).tolist() == [(n >> 11) * 2.0**-53 for n in published]


def test_numbers_are_uniform_over_seeds_and_over_places():
    for seeds, places in ((np.arange(4000), np.full(4000, 7)), (np.full(4000, 7), np.arange(4000))):
        numbers = uniforms(seeds.astype(np.uint64), places)
        assert 0 <= numbers.min() <= numbers.max() < 1
        assert stats.kstest(numbers, "uniform").pvalue > 0.001


@given(st.integers(0, 2**64 - 1), st.floats(0.2, 2), st.floats(0.05, 1))
def test_only_tokens_that_may_be_drawn_are(seed, temperature, top_p):
    scores = torch.tensor([[-torch.inf, 2.0, 1.0, -torch.inf, 0.0]])
    drawn = SeededDraw([seed], [0], temperature, top_p)(torch.zeros(1, 3, dtype=torch.long), scores.clone())
    (place,) = torch.isfinite(drawn[0]).nonzero().flatten().tolist()
    assert place in (1, 2, 4)
    if top_p < 0.3 and temperature < 1:
        assert place == 1


def test_tokens_are_drawn_as_often_as_they_are_likely():
    scores = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]]).repeat(6000, 1)
    expected = torch.softmax(scores[0].double() / 0.7, dim=0)[:3] * 6000
    draw = SeededDraw(range(6000), [0] * 6000, 0.7, 1.0)
    counts = draw(torch.zeros(6000, 1, dtype=torch.long), scores).argmax(dim=1).bincount(minlength=3)
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 0.001


def test_a_row_does_not_depend_on_who_shares_its_batch(model, tokenizer, prompts):
    rows = [prompts[0], prompts[1]] * 2
    budgets = BUDGETS * 2
    seeds = [11, 22, 33, 44]
    together = write(model, tokenizer, rows, budgets, seeds)
    assert len(set(together)) == len(rows)
    assert write(model, tokenizer, rows, budgets, seeds, batch_size=2) == together
    backwards = write(model, tokenizer, rows[::-1], budgets[::-1], seeds[::-1])
    assert backwards == together[::-1]
    alone = [
        write(model, tokenizer, [row], budget, [seed])[0]
        for row, budget, seed in zip(rows, budgets, seeds, strict=True)
    ]
    assert alone == together


def test_global_generators_have_no_say_and_are_left_alone(model, tokenizer, prompts):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = write(model, tokenizer, prompts, BUDGETS, [1, 2])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert write(model, tokenizer, prompts, BUDGETS, [1, 2]) == first


def test_temperature_0_takes_the_likeliest_whatever_the_seed(model, tokenizer, prompts):
    greedy = write(model, tokenizer, prompts, BUDGETS, [1, 2], temperature=0.0)
    assert greedy == write(model, tokenizer, prompts, BUDGETS, [3, 4], temperature=0.0)


def test_a_completion_goes_on_from_its_beginning_as_if_never_interrupted(model, tokenizer, prompts, ids):
    whole = write(model, tokenizer, prompts, BUDGETS, [5, 6])
    ends = [row.index(ids[ControlToken.STEP_END]) + 1 for row in whole]
    prefixes = [row[:end] for row, end in zip(whole, ends, strict=True)]
    # The random number of a token is that of its place in the whole completion.
    assert write(model, tokenizer, prompts, BUDGETS, [5, 6], prefixes=prefixes) == whole
    others = write(model, tokenizer, prompts, BUDGETS, [7, 8], prefixes=prefixes)
    assert [row[:end] for row, end in zip(others, ends, strict=True)] == prefixes
    assert others != whole


def test_beginnings_count_towards_every_limit(model, tokenizer, prompts, ids):
    budget = StepBudget(max_steps=2, max_reasoning_tokens=60)
    (whole,) = write(model, tokenizer, prompts[:1], budget, [5])
    end = [place for place, number in enumerate(whole) if number == ids[ControlToken.STEP_END]][-1] + 1
    for seed in range(5):
        (row,) = write(model, tokenizer, prompts[:1], budget, [seed], prefixes=[whole[:end]])
        assert row.index(ids[ControlToken.END]) < 60
        assert list(row).count(ids[ControlToken.STEP_END]) <= 2


def test_a_shared_prompt_is_computed_once_and_gives_the_same(model, tokenizer, prompts, monkeypatch):
    rows = [prompts[0]] * 4 + [prompts[1]] * 4
    seeds = list(range(8))
    budgets = [BUDGETS[0]] * 8
    sizes = []
    forward = type(model).forward

    @functools.wraps(forward)
    def watch(self, input_ids=None, **more):
        sizes.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **more)

    monkeypatch.setattr(type(model), "forward", watch)
    shared = write(model, tokenizer, rows, budgets, seeds)
    width = max(map(len, prompts))
    assert sizes[0] == (2, width - 1)
    assert all(columns == 1 for _, columns in sizes[1:])
    monkeypatch.setattr(module, "shared_prefill", lambda *_: None)
    sizes.clear()
    assert write(model, tokenizer, rows, budgets, seeds) == shared
    assert sizes[0] == (8, width)


def test_shared_prefill_holds_what_the_model_computes(model, tokenizer, prompts):
    texts = [tuple(prompts[0]), tuple(prompts[1]), tuple(prompts[0])]
    width = max(map(len, texts))
    rows = torch.tensor([[tokenizer.pad_token_id] * (width - len(t)) + list(t) for t in texts])
    mask = torch.tensor([[0] * (width - len(t)) + [1] * len(t) for t in texts])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        cache = shared_prefill(model, texts, rows, mask)
        plain = model(input_ids=rows, attention_mask=mask, position_ids=positions).logits[:, -1]
        after = model(
            input_ids=rows[:, -1:], attention_mask=mask, position_ids=positions[:, -1:], past_key_values=cache
        ).logits[:, -1]
    torch.testing.assert_close(after, plain)
    assert shared_prefill(model, texts[:2], rows[:2], mask[:2]) is None
