from __future__ import annotations

import itertools
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steiner.core import Problem, ReasoningPath, Step, TokenSample
from steiner.dataset import Distribution, DropReason, Tally, TokenBudget
from steiner.dataset.statistics import MAX_BINS

PROBLEM = Problem(question="q", answer="a", source="here")
STEP = Step(name="n", thought="t", summary="s", reflection="r")
PATH = ReasoningPath(steps=(STEP,), moves=(), answer="a")


def sample(prompt: int, reasoning: int, answer: int) -> TokenSample:
    completion = reasoning + answer
    return TokenSample(
        prompt_ids=(1,) * prompt,
        completion_ids=(1,) * completion,
        step_index=(-1,) * completion,
        reasoning_tokens=reasoning,
    )


def test_the_default_budget_is_the_one_of_the_report_and_exclusive():
    budget = TokenBudget()
    assert budget.refuses(sample(10, 4095, 10)) is None
    assert budget.refuses(sample(10, 4096, 10)) is DropReason.REASONING
    assert budget.refuses(sample(4091, 4090, 10)) is None
    assert budget.refuses(sample(4092, 4090, 10)) is DropReason.TOTAL


def test_a_budget_that_contradicts_itself_is_refused():
    with pytest.raises(ValidationError, match="more than max_total_tokens"):
        TokenBudget(max_reasoning_tokens=100, max_total_tokens=99)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_a_distribution_agrees_with_the_values_themselves(values):
    got = Distribution.of(Counter(values))
    assert (got.min, got.max) == (min(values), max(values))
    assert got.mean == pytest.approx(statistics.fmean(values), abs=1e-3)
    assert got.median == statistics.median(values)
    assert sum(value <= got.p95 for value in values) >= 0.95 * len(values)
    assert sum(value < got.p95 for value in values) < 0.95 * len(values)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_a_histogram_has_no_gap_and_counts_everything(values):
    bins = Distribution.of(Counter(values)).histogram
    assert len(bins) <= MAX_BINS
    for part in bins:
        assert part.samples == sum(part.low <= value <= part.high for value in values)
    assert all(left.high + 1 == right.low for left, right in itertools.pairwise(bins))
    assert sum(part.samples for part in bins) == len(values)


@given(st.lists(st.integers(1, 50), max_size=20), st.lists(st.integers(1, 50), max_size=20))
def test_tallies_add_up(left, right):
    def tally(lengths):
        counts = Tally(questions=len(lengths))
        for length in lengths:
            if length > 40:
                counts.drop(DropReason.REASONING)
            else:
                counts.keep(PROBLEM, PATH, sample(3, length, 2))
        return counts

    both = tally(left)
    both += tally(right)
    assert both == tally(left + right)
