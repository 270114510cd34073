"""A fork at a step boundary writes what a run of its own would, and computes nothing twice."""

from __future__ import annotations

import functools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import Qwen2ForCausalLM

from steiner.core import InputError, SoftEnd, StepBudget
from steiner.decode import Mode, fork
from steiner.decode.generate import Anytime, answer_now, generate, generate_anytime
from steiner.protocol import ControlToken, Message, encode_prompts, parse_ids
from tiny_model import searching_model

T = ControlToken
LIMITS = (1, 2, 4)


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return encode_prompts(tokenizer, [[Message("user", "q" * n)] for n in (9, 1, 30, 9)])


@pytest.fixture(scope="module")
def searcher(tokenizer, ids) -> Qwen2ForCausalLM:
    return make_searcher(tokenizer, "sdpa")


def make_searcher(tokenizer, attention: str) -> Qwen2ForCausalLM:
    """In double precision: with random weights the two likeliest tokens are now and then as good as equal."""
    made = searching_model(tokenizer, attention)
    # Eager attention turns double precision's masks into NaN.
    return made if attention == "eager" else made.double()


def separately(model, tokenizer, prompts, budget, limits, **options) -> dict[int, list[tuple[int, ...]]]:
    """Return what a run of its own under each limit writes."""
    found = {}
    for limit in limits:
        own = budget.model_copy(update={"max_steps": limit})
        done = generate(model, tokenizer, prompts, own, **options)
        found[limit] = [one.completion_ids for one in done]
    return found


def at(found: list[Anytime], limits) -> dict[int, list[tuple[int, ...]]]:
    return {limit: [one.at[limit].completion_ids for one in found] for limit in limits}


def random_budget(rng: random.Random) -> StepBudget:
    return StepBudget(
        max_steps=rng.choice([None, 5]),
        max_reasoning_tokens=rng.choice([60, 90]),
        max_step_tokens=rng.choice([None, 14, 30]),
        backtrack_bias=rng.choice([0.0, 3.0]),
        ban_repeats=rng.random() < 0.5,
        soft_end=rng.choice([None, SoftEnd(start=-5, stop=5, steps=4)]),
    )


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), drawn=st.booleans(), batch=st.sampled_from([2, 4]))
def test_each_limit_writes_what_a_run_of_its_own_writes(searcher, tokenizer, prompts, seed, drawn, batch):
    rng = random.Random(seed)
    budget = random_budget(rng)
    options = {
        "temperature": 1.0 if drawn else 0.0,
        "top_p": rng.choice([1.0, 0.9]),
        "seeds": [rng.getrandbits(63) for _ in prompts],
        "max_answer_tokens": rng.randint(1, 6),
        "batch_size": batch,
    }
    found = generate_anytime(searcher, tokenizer, prompts, budget, LIMITS, **options)
    assert at(found, LIMITS) == separately(searcher, tokenizer, prompts, budget, LIMITS, **options)
    whole = generate(searcher, tokenizer, prompts, budget, **options)
    assert [one.whole for one in found] == whole
    for one in (one for every in found for one in every.at.values()):
        assert one.parsed == parse_ids(tokenizer, one.completion_ids), "steps are read once for all forks"
    assert all(
        one.parsed.complete and not one.parsed.violations for every in found for one in every.at.values()
    )


@pytest.mark.parametrize(("temperature", "attention"), [(0.0, "sdpa"), (1.0, "eager")])
def test_the_reports_own_control_too(tokenizer, ids, prompts, temperature, attention):
    searcher = make_searcher(tokenizer, attention)
    budget = StepBudget(max_steps=6, max_reasoning_tokens=90)
    options = {
        "temperature": temperature, "seeds": [3, 4, 5, 6], "max_answer_tokens": 5, "mode": Mode.REPORT,
    }  # fmt: skip
    found = generate_anytime(searcher, tokenizer, prompts, budget, LIMITS, **options)
    for one in (one for every in found for one in every.at.values()):
        assert one.parsed == parse_ids(tokenizer, one.completion_ids)
    apart = separately(searcher, tokenizer, prompts, budget, LIMITS, **options)
    assert at(found, LIMITS) == apart
    if temperature:
        assert len({row for rows in apart.values() for row in rows}) > len(prompts), "limits change something"


def test_searches_are_cut_off_end_by_themselves_and_answer_differently(searcher, tokenizer, prompts, ids):
    """Else the comparisons above would mean little."""
    budget = StepBudget(max_steps=6, max_reasoning_tokens=120)
    found = generate_anytime(
        searcher, tokenizer, prompts, budget, LIMITS, temperature=1.0, seeds=range(4), max_answer_tokens=5
    )
    steps = [len(one.whole.parsed.steps) for one in found]
    assert max(steps) > 2
    assert len(set(steps)) > 1
    assert len({one.parsed.answer for every in found for one in every.at.values()}) > 5
    for every in found:
        for limit, one in every.at.items():
            assert (one is every.whole) == (len(every.whole.parsed.steps) <= limit)


def fed(model, monkeypatch) -> list[int]:
    """Return a list to which each forward pass adds the number of its tokens."""
    counts: list[int] = []
    forward = type(model).forward

    @functools.wraps(forward)
    def watch(self, input_ids=None, **more):
        counts.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **more)

    monkeypatch.setattr(type(model), "forward", watch)
    return counts


def test_nothing_is_computed_twice(searcher, tokenizer, prompts, ids, monkeypatch):
    counts = fed(searcher, monkeypatch)
    for prompt in prompts[:2]:
        counts.clear()
        (found,) = generate_anytime(
            searcher, tokenizer, [prompt], StepBudget(max_steps=6, max_reasoning_tokens=120), LIMITS,
            temperature=1.0, seeds=[11], max_answer_tokens=5,
        )  # fmt: skip
        forks = [one.completion_ids for one in found.at.values() if one is not found.whole]
        # Of a fork END and the answer but its last token, of the whole all but the last token.
        answers = sum(len(row) - row.index(ids[T.END]) - 1 for row in forks)
        assert sum(counts) == len(prompt) + len(found.whole.completion_ids) - 1 + answers


def test_small_groups_and_no_cache_at_all_write_the_same(searcher, tokenizer, prompts, monkeypatch):
    def ask():
        return generate_anytime(
            searcher, tokenizer, prompts, StepBudget(max_steps=6, max_reasoning_tokens=90), LIMITS,
            temperature=1.0, seeds=range(4), max_answer_tokens=5,
        )  # fmt: skip

    together = ask()
    monkeypatch.setattr(fork, "LARGEST", 1)
    assert ask() == together
    monkeypatch.setattr(fork, "_plain", lambda *_: False)
    assert ask() == together


def test_what_cannot_be_forked_is_refused(model, tokenizer, prompts):
    def ask(budget=StepBudget(max_steps=4), limits=(1, 2), **options):  # noqa: B008
        generate_anytime(model, tokenizer, prompts, budget, limits, **options)

    with pytest.raises(InputError, match="no step limits; use mode strict or report"):
        ask(mode=Mode.OFF)
    with pytest.raises(InputError, match="a seed for each prompt"):
        ask(temperature=1.0)
    with pytest.raises(InputError, match="1 steps is below min_steps, which is 2"):
        ask(StepBudget(min_steps=2, max_steps=4))


def test_forced_answers_draw_by_their_rows_seed(model, tokenizer, ids, prompts):
    """In report mode an untrained model hardly reaches END: it is cut, closed and asked."""
    budget = StepBudget(max_steps=2, max_reasoning_tokens=30)
    options = {"mode": Mode.REPORT, "temperature": 1.0, "max_answer_tokens": 5}
    seeds = [1, 2, 3, 4]
    together = generate(model, tokenizer, prompts, budget, seeds=seeds, **options)
    assert sum(one.completion_ids.index(ids[T.END]) >= 30 for one in together) > 1
    alone = [
        generate(model, tokenizer, [prompt], budget, seeds=[seed], **options)[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert together == alone
    prefixes = [one.completion_ids[:20] for one in together]
    answers = [
        answer_now(model, tokenizer, prompts, prefixes, temperature=1.0, seeds=row)
        for row in (seeds, seeds, seeds[::-1])
    ]
    assert answers[0] == answers[1] != answers[2]
