"""Muon for the matrices and AdamW for the rest, as one optimiser."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from steiner.train.optimiser import MuonWithAdamW, make_optimiser, split_parameters
from steiner.train.settings import OptimiserSettings

MUON = OptimiserSettings(algorithm="muon", learning_rate=1e-2, matrix_learning_rate=0.05, weight_decay=0.1)


def tiny(*, tied: bool = True) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=tied,
        )
    )


def one_step(model: Qwen2ForCausalLM, optimiser: torch.optim.Optimizer) -> float:
    ids = torch.arange(20).remainder(7).reshape(2, 10)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


@pytest.mark.parametrize("tied", [True, False])
def test_every_trained_parameter_is_in_exactly_one_part(tied):
    model = tiny(tied=tied)
    model.model.norm.weight.requires_grad_(False)
    matrices, others = split_parameters(model)
    ids = [id(p) for p in (*matrices, *others)]
    assert sorted(ids) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert len(matrices) == 2 * 7
    assert id(model.get_input_embeddings().weight) not in {id(p) for p in matrices}
    assert id(model.get_output_embeddings().weight) not in {id(p) for p in matrices}


def test_it_learns_and_a_schedule_reaches_both_parts():
    model = tiny()
    optimiser = MuonWithAdamW(model, MUON)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / 40)
    losses = []
    for _ in range(30):
        losses.append(one_step(model, optimiser))
        schedule.step()
    assert losses[-1] < losses[0] / 2
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.05 / 4, 1e-2 / 4])


def test_a_restored_state_goes_on_as_if_nothing_had_happened():
    model = tiny()
    optimiser = MuonWithAdamW(model, MUON)
    for _ in range(3):
        one_step(model, optimiser)
    twin = tiny()
    twin.load_state_dict(model.state_dict())
    restored = MuonWithAdamW(twin, MUON)
    restored.load_state_dict(deepcopy(optimiser.state_dict()))
    for _ in range(3):
        assert one_step(model, optimiser) == one_step(twin, restored)
    # The groups that a schedule sees are still those that the parts use.
    for group in restored.param_groups:
        group["lr"] = 0.0
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    one_step(twin, restored)
    assert all(torch.equal(before[name], tensor) for name, tensor in twin.state_dict().items())


def test_adamw_is_left_to_the_trainer():
    assert make_optimiser(tiny(), OptimiserSettings()) is None
