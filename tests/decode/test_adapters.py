"""The same histories give the same logits in every adapter; each follows a batch as its engine leads it."""

from __future__ import annotations

import random

import pytest
import torch
from engines import V1Runner, V2Runner, continuous_request, params, sglang_params, stand_in_vllm
from test_decode_control import random_walk
from test_decode_hf import expected, random_budget, random_history

from steiner.decode import Mode, StepControl
from steiner.decode.continuous import ContinuousStepBias, ContinuousStepControl
from steiner.decode.hf import StepControlLogitsProcessor
from steiner.decode.request import StepRequest
from steiner.decode.sglang import StepControlLogitProcessor
from steiner.protocol import ControlToken

HISTORIES = 1000


@pytest.fixture(autouse=True)
def _vllm(monkeypatch, tokenizer):
    stand_in_vllm(monkeypatch, tokenizer)


@pytest.fixture(scope="module")
def cases(ids):
    rng = random.Random(5)
    histories = [random_history(ids, rng) for _ in range(HISTORIES)]
    budgets = [random_budget(rng) for _ in range(HISTORIES)]
    scores = torch.randn(HISTORIES, ids.size + 9, generator=torch.Generator().manual_seed(5))
    return histories, budgets, scores, expected(StepControl(ids), histories, budgets, scores)


def asked(budget, **more):
    return StepRequest(**{**budget.model_dump(), **more})


def by_generate(ids, histories, budgets, scores):
    width = max(map(len, histories))
    tokens = torch.tensor([[65] * (width - len(h)) + h for h in histories])
    starts = [width - len(h) for h in histories]
    return StepControlLogitsProcessor(StepControl(ids), budgets, starts)(tokens, scores)


def by_continuous(ids, histories, budgets, scores):
    rng = random.Random(1)
    control = ContinuousStepControl(ids)
    adders = [
        ContinuousStepBias(control, "end", ids[ControlToken.END]),
        ContinuousStepBias(control, "backtrack", ids[ControlToken.BACKTRACK]),
    ]
    requests = [
        continuous_request(asked(b), h, [65, 66], rng.choice([0, len(h) // 2]))
        for h, b in zip(histories, budgets, strict=True)
    ]
    arguments = [one.prepare_tensor_args(requests) for one in (control, *adders)]
    assert {argument.dtype for argument in arguments} == {torch.int32}
    for one, argument in zip((control, *adders), arguments, strict=True):
        scores = one(scores, argument)
    return scores


def by_v1(ids, histories, budgets, scores):
    runner = V1Runner(scores.shape[1])
    begun = [(n, params(b), [65] * 3, h) for n, (h, b) in enumerate(zip(histories, budgets, strict=True))]
    return runner.step(scores, begun=begun)


def by_v2(ids, histories, budgets, scores):
    runner = V2Runner(scores.shape[1], slots=HISTORIES, width=200)
    for name, (history, budget) in enumerate(zip(histories, budgets, strict=True)):
        assert runner.begin(name, params(budget), [65] * 3, history)
    return runner.step(range(HISTORIES), scores)


def by_sglang(ids, histories, budgets, scores):
    given = [sglang_params(ids, asked(b), h) for h, b in zip(histories, budgets, strict=True)]
    return StepControlLogitProcessor()(scores, given)


@pytest.mark.parametrize("adapter", [by_generate, by_continuous, by_v1, by_v2, by_sglang])
def test_a_thousand_histories(ids, cases, adapter):
    histories, budgets, scores, want = cases
    result = adapter(ids, histories, budgets, scores.clone())
    assert torch.equal(result.isfinite(), want.isfinite())
    kept = want.isfinite()
    assert torch.allclose(result[kept], want[kept], atol=1e-5)


@pytest.mark.parametrize("adapter", ["v1", "v2", "continuous"])
def test_each_request_has_its_own_mode(ids, cases, adapter):
    histories, budgets, scores, _ = cases
    histories, scores = histories[:90], scores[:90].clone()
    plain = [b.model_copy(update={"max_step_tokens": None, "backtrack_bias": 0.0, "ban_repeats": False,
                                  "soft_end": None}) for b in budgets[:90]]  # fmt: skip
    modes = [list(Mode)[place % 3] for place in range(90)]
    if adapter == "v1":
        runner = V1Runner(scores.shape[1])
        begun = [(n, params(plain[n], control=modes[n]), [65], histories[n]) for n in range(90)]
        result = runner.step(scores.clone(), begun=begun)
    elif adapter == "v2":
        two = V2Runner(scores.shape[1], width=200)
        for n in range(90):
            assert two.begin(n, params(plain[n], control=modes[n]), [65], histories[n]) is (
                modes[n] is not Mode.OFF
            )
        result = two.step(range(90), scores.clone())
    else:
        control = ContinuousStepControl(ids)
        requests = [continuous_request(asked(plain[n], control=modes[n]), histories[n]) for n in range(90)]
        result = control(scores.clone(), control.prepare_tensor_args(requests))
    for n in range(90):
        want = expected(StepControl(ids, modes[n]), [histories[n]], [plain[n]], scores[n : n + 1])
        assert torch.equal(result[n : n + 1], want)


class Writing:
    """Requests that are written token by token, by an oracle that follows the pure function."""

    def __init__(self, ids, seed):
        self.ids = ids
        self.rng = random.Random(seed)
        self.budgets, self.walks, self.done = {}, {}, {}

    def begin(self):
        name = len(self.budgets)
        budget = self.budgets[name] = random_budget(self.rng)
        self.walks[name] = random_walk(self.ids, self.rng.random(), budget, 80)
        self.done[name] = []
        return name

    def want(self, names, scores):
        histories = [self.done[name] for name in names]
        return expected(StepControl(self.ids), histories, [self.budgets[n] for n in names], scores)

    def next(self, name, count=1):
        done, walk = self.done[name], self.walks[name]
        new = walk[len(done) : len(done) + count]
        done += new  # in place, as the engine does
        return new

    def ended(self, name):
        return len(self.done[name]) == len(self.walks[name])


def close(result, want):
    kept = want.isfinite()
    return torch.equal(result.isfinite(), kept) and torch.allclose(result[kept], want[kept], atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_v1_rows_come_go_and_move(ids, seed):
    writing, runner = Writing(ids, seed), V1Runner(ids.size + 4)
    rng = writing.rng
    for turn in range(90):
        ended = [n for n in runner.rows if writing.ended(n) or rng.random() < 0.03]  # some are aborted
        names = [writing.begin() for _ in range(rng.choice([0, 0, 1, 2, 5]) if turn < 60 else 0)]
        begun = [(n, params(writing.budgets[n]), [65] * rng.randrange(4), writing.done[n]) for n in names]
        rows = len(runner.rows) - len(ended) + len(begun)
        scores = torch.randn(rows, ids.size + 4)
        result = runner.step(scores.clone(), ended, begun)
        assert not rows or close(result, writing.want(runner.rows, scores))
        for name in runner.rows:
            writing.next(name)
        if rows > 3:
            runner.swap(0, rows - 1)


def test_v1_a_preempted_request_comes_back_with_what_it_had(ids):
    writing, runner = Writing(ids, 8), V1Runner(ids.size)
    name = writing.begin()
    given = params(writing.budgets[name])
    runner.step(torch.randn(1, ids.size), begun=[(name, given, [65], writing.done[name])])
    writing.next(name, 9)
    runner.step(torch.randn(0, ids.size), ended=[name])
    again = list(writing.done[name])
    scores = torch.randn(1, ids.size)
    result = runner.step(scores.clone(), begun=[(name, given, [65], again)])
    assert close(result, writing.want([name], scores))


def test_v1_tokens_that_are_not_known_yet_or_taken_back(ids):
    """Asynchronous scheduling puts -1 for a token; a failed transfer takes tokens back."""
    walk = random_walk(ids, 4, StepRequest(), 30)
    tokens = list(walk[:9])
    runner = V1Runner(ids.size)
    scores = torch.randn(1, ids.size)
    runner.step(scores.clone(), begun=[("a", params(), [65], tokens)])
    for history in ([*walk[:10]], [*walk[:10], -1], [*walk[:7]], [*walk[:6], 66], [*walk[:20]]):
        tokens[:] = history
        known = [number for number in history if number >= 0]
        result = runner.step(scores.clone())
        assert close(result, expected(StepControl(ids), [known], [StepRequest()], scores))
    tokens += [-1, -1]
    with pytest.raises(RuntimeError, match="--no-async-scheduling"):
        runner.step(scores.clone())


@pytest.mark.parametrize("drafts", [0, 3])
def test_v2_slots_are_recycled_and_drafts_leave_no_trace(ids, drafts):
    writing = Writing(ids, drafts)
    rng = writing.rng
    runner = V2Runner(ids.size + 4, slots=12, width=200, drafts=drafts)
    paused = []
    for _ in range(80):
        for name in [n for n in runner.slots if writing.ended(n)]:
            runner.end(name)
        if paused and runner.free:  # resumed after a preemption
            name = paused.pop()
            runner.begin(name, params(writing.budgets[name]), [65] * 5, writing.done[name])
        while runner.free and rng.random() < 0.6:
            name = writing.begin()
            runner.begin(name, params(writing.budgets[name]), [65] * rng.randint(1, 5))
        if not runner.slots:
            continue
        names = rng.sample(sorted(runner.slots), k=rng.randint(1, len(runner.slots)))
        guesses = {n: guess(writing, n, rng.randint(0, drafts)) for n in names}
        histories = [[*writing.done[n], *guesses[n][:k]] for n in names for k in range(len(guesses[n]) + 1)]
        budgets = [writing.budgets[n] for n in names for _ in range(len(guesses[n]) + 1)]
        scores = torch.randn(len(histories), ids.size + 4)
        result = runner.step(names, scores.clone(), guesses)
        assert close(result, expected(StepControl(ids), histories, budgets, scores))
        for name in names:
            if rng.random() < 0.05 and writing.done[name]:
                runner.end(name)
                paused.append(name)
            elif not writing.ended(name):
                runner.write(name, writing.next(name, rng.randint(1, drafts + 1)))


def guess(writing, name, count):
    """Some draft tokens: partly right."""
    done, walk = writing.done[name], writing.walks[name]
    right = walk[len(done) : len(done) + count]
    return [
        n if writing.rng.random() < 0.7 else writing.rng.choice([65, *writing.ids.control]) for n in right
    ]


def test_continuous_requests_keep_what_they_know_when_they_fork_and_are_evicted(ids):
    from copy import deepcopy

    control, budget = ContinuousStepControl(ids), StepRequest(max_steps=2, ban_repeats=True)
    walk = random_walk(ids, 3, budget, 60)
    one = continuous_request(budget, walk[:10], [65, 65])
    control.prepare_tensor_args([one])
    other = one._replace(state=deepcopy(one.state))
    other.state.generated_tokens += [67, 68]
    one.state.generated_tokens += walk[10:20]
    evicted = continuous_request(budget, walk[:20], [65, 65], evicted=20)
    histories = [walk[:20], [*walk[:10], 67, 68], walk[:20]]
    scores = torch.randn(3, ids.size)
    result = control(scores.clone(), control.prepare_tensor_args([one, other, evicted]))
    assert close(result, expected(StepControl(ids), histories, [budget] * 3, scores))


def test_sglang_says_so_when_it_runs_ahead(ids):
    params = sglang_params(ids, StepRequest(), [])
    request, processor = params["__req__"], StepControlLogitProcessor()
    walk = random_walk(ids, 3, StepRequest(), 20)
    for length in (0, 1, 9, 20):
        request.output_ids[:] = walk[:length]
        scores = torch.randn(1, ids.size)
        result = processor(scores.clone(), [params])
        assert close(result, expected(StepControl(ids), [walk[:length]], [StepRequest()], scores))
    late = sglang_params(ids, StepRequest(), [])
    processor(torch.randn(1, ids.size), [late])
    late["__req__"].output_ids += [ids[ControlToken.START]] * 2
    with pytest.raises(RuntimeError, match="--disable-overlap-schedule"):
        processor(torch.randn(1, ids.size), [late])
