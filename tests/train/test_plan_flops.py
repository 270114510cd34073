"""The planner's operations against PyTorch's counter."""

from __future__ import annotations

import pytest
import torch
from plan_measure import tiny
from torch.utils.flop_counter import FlopCounterMode

from steiner.train.plan import Cluster, Rollouts, Workload, plan_layout, stage_flops
from steiner.train.plan.flops import forward_flops

WITHIN = 0.05


def workload(**changes: object) -> Workload:
    values = {
        "stage": "sft", "batch": 2, "context": 96, "mean_sequence": 96, "tokens": 2 * 96, "loss": "full",
        "compute": "fp32", "weights": "fp32",
    }  # fmt: skip
    return Workload.model_validate({**values, **changes})


def counted(model, work: Workload, *, backward: bool = True) -> int:
    """Return the operations of one step; eager attention, because the counter does not know the CPU's own."""
    model.set_attn_implementation("eager")
    if work.checkpointing:
        model.activation_checkpointing_enable()
    ids = torch.randint(0, model.config.vocab_size, (work.batch, work.context))
    with FlopCounterMode(display=False) as counter:
        loss = model(input_ids=ids, labels=ids).loss
        if backward:
            loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("kind", ["qwen2", "llama", "qwen3"])
def test_forward_is_as_counted(kind):
    model, shape = tiny(kind, tie_word_embeddings=False)
    work = workload()
    found = counted(model, work, backward=False)
    assert forward_flops(shape, 96) * work.tokens == pytest.approx(found, rel=WITHIN)


@pytest.mark.parametrize("context", [32, 512])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_step_is_as_counted(kind, checkpointing, context):
    model, shape = tiny(kind)
    work = workload(context=context, mean_sequence=context, tokens=2 * context, checkpointing=checkpointing)
    assert stage_flops(shape, work).training == pytest.approx(counted(model, work), rel=WITHIN)


@pytest.mark.parametrize("rows", [0, 14])
def test_lora_saves_the_gradients_of_what_it_leaves_alone(rows):
    peft = pytest.importorskip("peft")
    # many layers: the planner does not know that the first one's inputs need no gradient
    model, shape = tiny(num_hidden_layers=12, vocab_size=8192 if rows else 512)
    model.set_attn_implementation("eager")
    indices = list(range(rows)) or None
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=8, target_modules="all-linear", trainable_token_indices=indices)
    )
    work = workload(lora_rank=8, new_tokens=rows)
    ids = torch.randint(0, 512, (work.batch, work.context))
    with FlopCounterMode(display=False) as counter:
        adapted(input_ids=ids, labels=ids).loss.backward()
    assert stage_flops(shape, work).training == pytest.approx(counter.get_total_flops(), rel=WITHIN)


def test_without_attention_training_takes_six_operations_per_parameter_and_token():
    _, shape = tiny()
    work = workload(mean_sequence=1, tokens=1000)
    assert stage_flops(shape, work).model == pytest.approx(6 * shape.matrices * 1000, rel=1e-2)


def test_the_chunked_loss_computes_the_output_matrix_twice():
    _, shape = tiny()
    chunked, full = (stage_flops(shape, workload(loss=loss)) for loss in ("chunked", "full"))
    assert chunked.recomputed - full.recomputed == 2 * shape.table * 2 * 96
    assert chunked.model == full.model


def test_a_reference_costs_one_forward_pass():
    _, shape = tiny()
    rollouts = Rollouts(updates=4, completions=8, prompt=16, completion=80, mean_completion=80)
    plain = workload(stage="rl", tokens=4 * 8 * 96, rollouts=rollouts)
    compared = plain.model_copy(update={"rollouts": rollouts.model_copy(update={"reference": True})})
    assert stage_flops(shape, plain).reference == 0
    assert stage_flops(shape, compared).reference == forward_flops(shape, 96) * plain.tokens
    assert stage_flops(shape, plain).rollouts > 0


def test_hours_and_cost_follow_from_operations():
    _, shape = tiny()
    work = workload(tokens=10**9)
    cluster = Cluster(gpus=4, tflops=100, mfu=0.5, price=2.0)
    plan = plan_layout(shape, work, cluster, "ddp")
    assert plan.hours == pytest.approx(plan.flops.training / (4 * 100e12 * 0.5) / 3600)
    assert plan.cost == pytest.approx(plan.hours * 4 * 2.0)
    alone = plan_layout(shape, work, cluster, "single")
    assert (alone.hours, alone.cost) == pytest.approx((plan.hours * 4, plan.cost))


def test_writing_takes_at_least_the_time_to_read_the_weights_for_each_token():
    _, shape = tiny()
    rollouts = Rollouts(updates=10, completions=1, prompt=16, completion=80, mean_completion=40)
    work = workload(stage="rl", tokens=10 * 56, rollouts=rollouts)
    plan = plan_layout(shape, work, Cluster(bandwidth=0.001), "single")
    assert plan.rollout_hours * 3600 > 10 * 80 * 2 * shape.parameters / 1e9
    assert plan.rollout_hours * 3600 == pytest.approx(10 * 80 * 2 * shape.parameters / 1e9, rel=0.05)
