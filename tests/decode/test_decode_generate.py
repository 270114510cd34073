import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steiner.core import InputError, SoftEnd, StepBudget
from steiner.decode import Mode
from steiner.decode.generate import answer_now, generate
from steiner.protocol import ControlToken, Message, encode_prompts

T = ControlToken


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return encode_prompts(tokenizer, [[Message("user", "q" * n)] for n in (9, 1, 30, 4, 17, 2, 11)])


def reasoning_tokens(ids, completion):
    return completion.completion_ids.index(ids[T.END]) + 1


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), temperature=st.floats(0, 2))
def test_strict_output_of_an_untrained_model_is_whole_and_within_budget(
    model, tokenizer, ids, prompts, seed, temperature
):
    rng = random.Random(seed)
    budgets = []
    for _ in prompts:
        least = rng.randint(1, 3)
        steps = rng.choice([None, least, least + 2])
        tokens = rng.randint(max(16, 1 + 11 * least), 70)
        budgets.append(
            StepBudget(
                min_steps=least,
                max_steps=steps,
                max_reasoning_tokens=tokens,
                max_step_tokens=rng.choice([None, 10, 15, 30]),
                backtrack_bias=rng.choice([0.0, 3.0]),
                ban_repeats=rng.random() < 0.5,
                soft_end=rng.choice([None, SoftEnd(start=-5, stop=5, steps=4)]),
            )
        )
    answer = rng.randint(1, 6)
    completions = generate(
        model, tokenizer, prompts, budgets,
        temperature=temperature, seed=seed, max_answer_tokens=answer, batch_size=3,
    )  # fmt: skip
    for prompt, budget, completion in zip(prompts, budgets, completions, strict=True):
        assert completion.prompt_ids == tuple(prompt)
        assert completion.parsed.violations == ()
        assert budget.min_steps <= len(completion.parsed.steps) <= (budget.max_steps or 99)
        spent = reasoning_tokens(ids, completion)
        assert spent <= budget.max_reasoning_tokens
        assert 1 <= len(completion.completion_ids) - spent - 1 <= answer


def test_without_a_token_limit_the_models_context_is_the_limit(model, tokenizer, prompts):
    long = [prompts[0] + [65] * (512 - 60 - len(prompts[0]))]
    (completion,) = generate(
        model, tokenizer, long, StepBudget(), temperature=1.0, seed=1, max_answer_tokens=4
    )
    assert completion.parsed.complete
    assert len(completion.completion_ids) <= 60


def test_the_same_seed_writes_the_same_and_another_does_not(model, tokenizer, prompts):
    budget = StepBudget(max_reasoning_tokens=40)
    draws = [generate(model, tokenizer, prompts, budget, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_the_callers_generator_and_mode_are_left_alone(model, tokenizer, prompts):
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    model.train()
    generate(model, tokenizer, prompts[:1], StepBudget(max_reasoning_tokens=16), temperature=1.0, seed=3)
    assert model.training
    model.eval()
    assert torch.rand(1) == want


def test_greedy_output_does_not_depend_on_the_batch(model, tokenizer, prompts):
    budgets = [StepBudget(max_reasoning_tokens=20 + 5 * n) for n in range(len(prompts))]
    together = generate(model, tokenizer, prompts, budgets, max_answer_tokens=4)
    for prompt, budget, completion in zip(prompts, budgets, together, strict=True):
        (alone,) = generate(model, tokenizer, [prompt], budget, max_answer_tokens=4)
        assert completion.completion_ids == alone.completion_ids


def test_report_mode_always_answers_and_keeps_the_limits(model, tokenizer, ids, prompts):
    """An untrained model never reaches END by itself: it is cut, closed and asked."""
    budget = StepBudget(max_steps=2, max_reasoning_tokens=30)
    completions = generate(
        model, tokenizer, prompts, budget, mode=Mode.REPORT, temperature=1.0, seed=0, max_answer_tokens=5
    )
    for completion in completions:
        assert completion.completion_ids[0] == ids[T.START]
        assert completion.completion_ids[-1] == ids.eos or len(completion.completion_ids) <= 36
        assert completion.parsed.answer


def test_off_mode_is_the_model_alone(model, tokenizer, prompts):
    (completion,) = generate(
        model, tokenizer, prompts[:1], StepBudget(), mode=Mode.OFF, max_new_tokens=40, max_answer_tokens=4
    )
    inputs = torch.tensor([prompts[0]])
    own = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=35)
    assert completion.completion_ids == tuple(own[0, len(prompts[0]) :].tolist())


def test_answer_now_keeps_the_prefix_closes_it_and_answers(model, tokenizer, ids, prompts):
    budget = StepBudget(min_steps=2, max_reasoning_tokens=50)
    whole = generate(model, tokenizer, prompts, budget, temperature=1.0, seed=0)
    cuts = [0, 1, 3, 9, 14, 25, 10**6]
    prefixes = [c.completion_ids[:cut] for c, cut in zip(whole, cuts, strict=True)]
    prefixes[-1] = prefixes[-1][: reasoning_tokens(ids, whole[-1])]
    answered = answer_now(model, tokenizer, prompts, prefixes, max_answer_tokens=3, batch_size=4)
    for prefix, completion in zip(prefixes, answered, strict=True):
        assert completion.completion_ids[: len(prefix)] == prefix
        assert completion.parsed.complete
        assert len(completion.completion_ids) - reasoning_tokens(ids, completion) <= 4
    assert len(answered[0].parsed.steps) == 1
    end = reasoning_tokens(ids, answered[-1])
    assert end == len(prefixes[-1])


def test_results_come_in_the_order_of_the_prompts_and_progress_is_told(model, tokenizer, prompts):
    class Counter:
        def __init__(self):
            self.seen = []

        def start(self, title, total):
            raise AssertionError("the caller starts")

        def update(self, done, note=""):
            self.seen.append(done)

        def finish(self, note=""):
            raise AssertionError("the caller finishes")

    counter = Counter()
    completions = generate(
        model, tokenizer, prompts, StepBudget(max_reasoning_tokens=16), batch_size=3, progress=counter
    )
    assert [list(c.prompt_ids) for c in completions] == prompts
    assert counter.seen == [3, 6, 7]
    assert generate(model, tokenizer, [], StepBudget()) == []


def test_bad_requests_are_refused_before_any_work(model, tokenizer, prompts):
    with pytest.raises(InputError, match="7 prompts and 2 budgets"):
        generate(model, tokenizer, prompts, [StepBudget()] * 2)
    with pytest.raises(InputError, match="temperature is -1"):
        generate(model, tokenizer, prompts, StepBudget(), temperature=-1)
    with pytest.raises(InputError, match="top_p is 0"):
        generate(model, tokenizer, prompts, StepBudget(), top_p=0)
    with pytest.raises(InputError, match="leaves 12 tokens"):
        generate(model, tokenizer, [[65] * 500], StepBudget())
    with pytest.raises(InputError, match="at least 34 reasoning tokens"):
        generate(model, tokenizer, prompts, StepBudget(min_steps=3, max_reasoning_tokens=30))
    with pytest.raises(InputError, match="7 prompts and 1 prefixes"):
        answer_now(model, tokenizer, prompts, [()])
