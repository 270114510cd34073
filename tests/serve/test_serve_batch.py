"""The batching loop writes what each completion alone would be."""

from __future__ import annotations

import random

import pytest

from steiner.core import StepBudget
from steiner.decode.generate import generate
from steiner.decode.request import StepRequest
from steiner.protocol import ControlToken
from steiner.serve.engines.base import Generation
from steiner.serve.engines.batch import Batch, BatchLimits

LIMITS = BatchLimits(rows=8, cache_tokens=100_000, prefix_tokens=0, prefill_tokens=64)


def prompt_of(length: int, seed: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(250), k=length))


def generation(length: int, seed: int, **changes) -> Generation:
    steps = StepRequest(max_steps=1 + seed % 3, max_reasoning_tokens=50 + 5 * seed)
    plain = Generation(prompt_of(length, seed), steps, 100 + seed, 0.0)
    return plain._replace(**changes)


def write(batch: Batch, generations, arrivals=None, steps=10_000) -> list[list[int]]:
    """Run a batch to its end; generation i joins before step `arrivals[i]`."""
    arrivals = arrivals or [0] * len(generations)
    rows = {}
    for step in range(steps):
        for index, generation in enumerate(generations):
            if arrivals[index] == step:
                rows[index] = batch.add(generation)
        if not batch.busy and len(rows) == len(generations):
            break
        batch.step()
    return [rows[index].tokens[len(generation.prompt) :] for index, generation in enumerate(generations)]


@pytest.fixture(scope="module")
def alone(model, ids):
    """Each of some generations in a batch of its own."""
    generations = [generation(length, seed) for seed, length in enumerate((3, 200, 17, 64, 65, 130, 9))]
    return generations, [write(Batch(model, ids, LIMITS), [one])[0] for one in generations]


def test_the_reasoning_is_what_transformers_generates(model, tokenizer, ids, alone):
    generations, written = alone
    for one, mine in zip(generations, written, strict=True):
        budget = StepBudget(
            max_steps=one.steps.max_steps, max_reasoning_tokens=one.steps.max_reasoning_tokens
        )
        (theirs,) = generate(model, tokenizer, [one.prompt], budget, max_answer_tokens=20)
        end = mine.index(ids[ControlToken.END]) + 1
        assert tuple(mine[:end]) == theirs.completion_ids[:end]


def test_company_and_arrival_change_nothing(model, ids, alone):
    generations, written = alone
    assert write(Batch(model, ids, LIMITS), generations) == written
    assert write(Batch(model, ids, LIMITS), generations, arrivals=[0, 1, 40, 41, 5, 90, 3]) == written
    assert write(Batch(model, ids, LIMITS._replace(rows=2)), generations) == written
