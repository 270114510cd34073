"""Requests to a rollout server keep the limits that local rollouts have; what comes back is held to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rollout import IDS, completion_ids

from steiner.core import InputError, StepBudget
from steiner.decode.control import Mode, StepControl
from steiner.decode.generate import Completion, _request
from steiner.decode.request import read_request
from steiner.protocol import ControlIds, Parsed
from steiner.train.rollout import Rollout, chosen_tokens
from steiner.train.rollout_engine import ask, check_kept
from steiner.train.rollout_gap import logprob_gap
from steiner.train.rollout_server import Reply


@st.composite
def budgets(draw: st.DrawFn) -> StepBudget:
    least = draw(st.integers(1, 4))
    return StepBudget(
        min_steps=least,
        max_steps=draw(st.one_of(st.none(), st.integers(least, 6))),
        max_reasoning_tokens=draw(st.one_of(st.none(), st.integers(60, 700))),
    )


@settings(max_examples=80, deadline=None)
@given(budgets(), st.integers(1, 600), st.integers(1, 80), st.integers(64, 600))
def test_limits_are_those_of_local_rollouts(budget, prompt_tokens, answer, context):
    control = StepControl(IDS, Mode.STRICT, answer)
    prompt = (1,) * prompt_tokens
    try:
        local = _request(control, prompt, budget, context, None)
    except InputError:
        with pytest.raises(InputError, match="--max-model-len"):
            ask(prompt, budget, 7, answer, context)
        return
    asked = ask(prompt, budget, 7, answer, context)
    assert asked.max_tokens == local.new_tokens
    assert prompt_tokens + asked.max_tokens <= context
    at_server = read_request(asked.limits).within(min(asked.max_tokens, context - prompt_tokens))
    assert at_server.max_reasoning_tokens == local.budget.max_reasoning_tokens
    assert (at_server.min_steps, at_server.max_steps) == (budget.min_steps, budget.max_steps)
    assert at_server.max_answer_tokens == answer


def reply(steps: int, **changes: Any) -> Reply:
    ids = tuple(completion_ids(steps, 1, 1))
    return Reply(ids, (-1.0,) * len(ids))._replace(**changes)


def test_a_server_that_keeps_the_limits():
    check_kept(reply(2), StepBudget(min_steps=1, max_steps=2), IDS, "http://a")
    check_kept(reply(9), StepBudget(), IDS, "http://a")


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        (reply(3), StepBudget(max_steps=2)),
        (reply(1), StepBudget(min_steps=2)),
        (reply(1, completion_ids=reply(1).completion_ids[:-1]), StepBudget()),
        (reply(1, completion_ids=(1, *reply(1).completion_ids[1:])), StepBudget()),
        (reply(1, completion_ids=()), StepBudget()),
        (reply(1, logprobs=(-1.0,)), StepBudget()),
    ],
)
def test_a_server_that_does_not(written, budget):
    with pytest.raises(InputError, match="http://a does not keep step limits") as caught:
        check_kept(written, budget, IDS, "http://a")
    assert "\n" not in str(caught.value)


class Model(torch.nn.Module):
    """Gives every token of a vocabulary of 32 the logit of its row in a table, whatever came before it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.linspace(-1, 1, 32))
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, input_ids: torch.Tensor, logits_to_keep: int, **_: Any) -> Any:
        rows = self.dropout(self.table).expand(1, logits_to_keep, 32)
        return type("Output", (), {"logits": rows})


def rollout(gaps: float, ids: ControlIds) -> Rollout:
    written = tuple(completion_ids(2, 2, 1))
    budget = StepBudget(max_steps=2)
    own = torch.log_softmax(Model().table, dim=0)[list(written)].tolist()
    chosen = chosen_tokens(written, budget, StepControl(ids, Mode.STRICT, 1))
    assert 0 < chosen.sum() < len(chosen)
    far = [p + (gaps if free else 50.0) for p, free in zip(own, chosen, strict=True)]
    parsed = Parsed(steps=(), moves=(), answer="")
    return Rollout(0, Completion((3, 4), written, parsed), budget, False, (), (), chosen, False, tuple(far))


def test_the_gap_is_the_mean_over_tokens_that_the_model_chose():
    model = Model().train()
    assert logprob_gap(model, [rollout(0.0, IDS)]) == pytest.approx(0.0, abs=1e-6)
    assert logprob_gap(model, [rollout(0.3, IDS), rollout(-0.1, IDS)]) == pytest.approx(0.2, abs=1e-6)
    assert model.training  # dropout was off, and is on again


def test_a_group_without_choices_has_no_gap():
    one = rollout(0.0, IDS)
    forced = replace(one, chosen=np.zeros_like(one.chosen))
    assert logprob_gap(Model(), [forced]) == 0.0
