import random

import pytest
import torch
from test_decode_control import random_walk

from steiner.core import InputError, Ramp, SoftEnd, StepBudget
from steiner.decode import Mode, StepControl
from steiner.decode.hf import StepControlLogitsProcessor
from steiner.protocol import ControlToken
from steiner.protocol.grammar import Other, accepts

ROWS = 300


def random_history(ids, rng):
    budget = random_budget(rng)
    walk = random_walk(ids, rng.random(), budget, rng.randrange(70))
    if rng.random() < 0.3:
        walk += rng.choices([*ids.control, 65, 66, ids.eos, ids.pad], k=rng.randrange(12))
    return walk


def random_budget(rng):
    least = rng.randint(1, 3)
    return StepBudget(
        min_steps=least,
        max_steps=rng.choice([None, least, least + 1, least + 4]),
        max_reasoning_tokens=rng.choice([None, 12 + 11 * least + rng.randrange(40)]),
        max_step_tokens=rng.choice([None, None, 10, 14, 25]),
        backtrack_bias=rng.choice([0.0, 0.0, -2.0, 1.5]),
        ban_repeats=rng.random() < 0.5,
        soft_end=rng.choice(
            [None, SoftEnd(start=-3, stop=4, steps=3, tokens=60, ramp=rng.choice(list(Ramp)))]
        ),
    )


def expected(control, histories, budgets, scores):
    rows = []
    for history, budget, row in zip(histories, budgets, scores, strict=True):
        allowed, biases = control.decision(history, budget)
        mask = torch.tensor([allowed.allows(number, control.ids) for number in range(len(row))])
        row = row.clone()
        for number, addend in biases.items():
            row[number] += addend
        rows.append(torch.where(mask, row, -torch.inf))
    return torch.stack(rows)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("seed", range(4))
def test_processor_equals_allowed_on_random_histories(ids, mode, seed):
    """4 × 300 histories in each mode, padded by any amount, against any prompt."""
    rng = random.Random(f"{mode}{seed}")
    control = StepControl(ids, mode, rng.choice([None, 1, 3]))
    histories = [random_history(ids, rng) for _ in range(ROWS)]
    budgets = [random_budget(rng) for _ in range(ROWS)]
    width = 8 + max(map(len, histories))
    tokens = [rng.choices([*ids.control, 65, ids.pad], k=width - len(h)) + h for h in histories]
    scores = torch.randn(ROWS, ids.size + 9, generator=torch.Generator().manual_seed(seed))
    before = scores.clone()
    processor = StepControlLogitsProcessor(control, budgets, [width - len(h) for h in histories])
    result = processor(torch.tensor(tokens), scores)
    assert torch.equal(result, expected(control, histories, budgets, before))
    assert torch.equal(scores, before)


@pytest.mark.parametrize("rows_stay", [False, True])
def test_one_processor_follows_a_batch_from_its_first_token(ids, rows_stay):
    rng = random.Random(1)
    control, budgets = StepControl(ids), [random_budget(rng) for _ in range(12)]
    walks = [random_walk(ids, n, budget, 60) for n, budget in enumerate(budgets)]
    processor = StepControlLogitsProcessor(control, budgets, prompt_length=5, rows_stay=rows_stay)
    prompt = torch.tensor([rng.choices([*ids.control, 65], k=5) for _ in walks])
    for length in range(min(map(len, walks))):
        histories = [walk[:length] for walk in walks]
        scores = torch.randn(len(walks), ids.size)
        written = torch.tensor(histories, dtype=torch.long).reshape(len(walks), length)
        tokens = torch.cat([prompt, written], dim=1)
        assert torch.equal(processor(tokens, scores), expected(control, histories, budgets, scores))


def test_rows_keep_no_memory(ids):
    """Rows that change places between two calls, as in beam search, get what their own tokens ask for."""
    control, budget = StepControl(ids), StepBudget(max_reasoning_tokens=40)
    processor = StepControlLogitsProcessor(control, [budget] * 2, prompt_length=0)
    one, other = random_walk(ids, 1, budget, 20), random_walk(ids, 2, budget, 20)
    scores = torch.randn(2, ids.size)
    processor(torch.tensor([one, other]), scores)
    again = processor(torch.tensor([other, one]), scores)
    assert torch.equal(again, expected(control, [other, one], [budget] * 2, scores))


def test_following_notices_rows_that_do_not_fit_the_last_call(ids):
    """Another column, other last tokens or another number of rows: everything is read anew."""
    control, budget = StepControl(ids), StepBudget(max_reasoning_tokens=40, ban_repeats=True)
    processor = StepControlLogitsProcessor(control, [budget], prompt_length=0, rows_stay=True)
    scores = torch.randn(1, ids.size)
    for seed, length in ((1, 20), (1, 21), (2, 22), (3, 5), (3, 9), (4, 10)):
        history = random_walk(ids, seed, budget, length)
        result = processor(torch.tensor([history]), scores)
        assert torch.equal(result, expected(control, [history], [budget], scores))


def test_rows_that_leave_a_batch(ids):
    rng = random.Random(3)
    control, budgets = StepControl(ids), [random_budget(rng) for _ in range(8)]
    walks = [random_walk(ids, n, StepBudget(), 40) for n in range(8)]
    starts = [rng.randrange(5) for _ in walks]
    tokens = [[65] * start + walk for start, walk in zip(starts, walks, strict=True)]
    processor = StepControlLogitsProcessor(control, budgets, starts, rows_stay=True)
    kept = list(range(8))
    for length in range(5, 35):
        if length % 10 == 0:
            places = sorted(rng.sample(range(len(kept)), len(kept) // 2 + 1))
            processor.select(places)
            kept = [kept[place] for place in places]
        scores = torch.randn(len(kept), ids.size)
        result = processor(torch.tensor([tokens[i][:length] for i in kept]), scores)
        histories = [tokens[i][starts[i] : length] for i in kept]
        assert torch.equal(result, expected(control, histories, [budgets[i] for i in kept], scores))


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_random_model_prefers_strict_output_is_well_formed(ids, temperature, seed):
    """A hundred rows with limits in any combination; each row has tokens that it loves and hates."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    rows = 100
    budgets = [random_budget(rng) for _ in range(rows)]
    budgets = [b.model_copy(update={"max_reasoning_tokens": b.max_reasoning_tokens or 120}) for b in budgets]
    control = StepControl(ids, Mode.STRICT, 5)
    processor = StepControlLogitsProcessor(control, budgets, 1, in_place=True, rows_stay=True)
    taste = 6 * torch.randn(rows, ids.size + 9)
    tokens = torch.full((rows, 1), 65)
    for _ in range(130):
        scores = processor(tokens, taste + torch.randn(rows, ids.size + 9))
        if temperature:
            drawn = torch.multinomial(torch.softmax(scores / temperature, dim=1), 1)
        else:
            drawn = scores.argmax(dim=1, keepdim=True)
        tokens = torch.cat([tokens, drawn], dim=1)
    for row, budget in zip(tokens[:, 1:].tolist(), budgets, strict=True):
        whole = row[: row.index(ids.eos) + 1]
        symbols = [ids.token(n) or (Other.EOS if n == ids.eos else Other.TEXT) for n in whole]
        assert accepts(symbols)
        assert all(ids.is_text(n) for n, s in zip(whole, symbols, strict=True) if s is Other.TEXT)
        assert budget.min_steps <= symbols.count(ControlToken.STEP_END) <= (budget.max_steps or 99)
        assert symbols.index(ControlToken.END) < budget.max_reasoning_tokens


def test_several_sequences_per_prompt_share_its_budget(ids):
    control = StepControl(ids)
    budgets = [StepBudget(max_reasoning_tokens=16), StepBudget()]
    history = random_walk(ids, 3, StepBudget(), 9)
    scores = torch.randn(4, ids.size)
    result = StepControlLogitsProcessor(control, budgets, 0)(torch.tensor([history] * 4), scores)
    assert torch.equal(result, expected(control, [history] * 4, [b for b in budgets for _ in (0, 1)], scores))


def test_in_place_changes_the_scores_it_is_given(ids):
    scores = torch.randn(1, ids.size)
    processor = StepControlLogitsProcessor(StepControl(ids), [StepBudget()], 0, in_place=True)
    result = processor(torch.empty(1, 0, dtype=torch.long), scores)
    assert result is scores
    assert scores.isfinite().sum() == 1


def test_what_does_not_fit_is_refused(ids):
    control = StepControl(ids)
    with pytest.raises(InputError, match="at least 34"):
        StepControlLogitsProcessor(control, [StepBudget(min_steps=3, max_reasoning_tokens=20)], 0)
    with pytest.raises(InputError, match="1 prompt lengths for 2"):
        StepControlLogitsProcessor(control, [StepBudget()] * 2, [0])
    processor = StepControlLogitsProcessor(control, [StepBudget()] * 2, 0)
    with pytest.raises(InputError, match="3 rows do not fit 2"):
        processor(torch.zeros(3, 1, dtype=torch.long), torch.zeros(3, ids.size))
