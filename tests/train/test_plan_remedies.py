"""What does not fit is answered with the nearest setting that does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.train.plan import (
    KNOWN,
    Cluster,
    Rollouts,
    Setting,
    Workload,
    choose_sharding,
    known_shape,
    nearest,
    plan_layout,
    plan_layouts,
)


def shape(name: str):
    found = known_shape(name)
    assert found is not None
    return found


def workload(**changes: object) -> Workload:
    values = {"stage": "sft", "batch": 1, "context": 8192, "mean_sequence": 2048, "tokens": 10**8}
    return Workload.model_validate({**values, **changes})


def remedy(name: str, work: Workload, sharding: str = "single", **cluster: object) -> tuple[str, ...] | None:
    found = nearest(shape(name), Setting(work, Cluster.model_validate(cluster), sharding))
    return None if found is None else found.changes


def test_checkpointing_comes_first():
    assert remedy("Qwen/Qwen2.5-0.5B", workload(loss="full"), memory=48) == ("gradient checkpointing",)


def test_the_loss_comes_next():
    work = workload(loss="full", checkpointing=True, batch=2)
    assert remedy("Qwen/Qwen2.5-0.5B", work, memory=24) == ("a chunked loss",)


def test_shares_come_before_a_smaller_batch():
    work = workload(checkpointing=True, batch=2)
    assert remedy("Qwen/Qwen2.5-7B", work, "ddp", gpus=8) == ("FSDP2 or ZeRO-3 over 8 GPUs",)


def test_a_smaller_batch_keeps_the_update():
    work = workload(checkpointing=True, batch=32, accumulation=2)
    found = nearest(shape("Qwen/Qwen2.5-0.5B"), Setting(work, Cluster(memory=18), "single"))
    assert found is not None
    assert found.changes == ("a batch of 8 with 8 accumulated",)
    assert not plan_layout(
        shape("Qwen/Qwen2.5-0.5B"),
        work.model_copy(update={"batch": 16, "accumulation": 4}),
        Cluster(memory=18),
        "single",
    ).fits


def test_the_report_on_one_machine_of_80_gb():
    work = workload(checkpointing=True)
    assert remedy("Qwen/Qwen2.5-32B", work, "fsdp", gpus=8) == ("16 GPUs with FSDP2 or ZeRO-3",)


def test_completions_of_a_large_model_are_written_by_vllm():
    rollouts = Rollouts(updates=10, completions=64, prompt=512, completion=3584, mean_completion=1700)
    work = workload(stage="rl", checkpointing=True, context=4096, rollouts=rollouts)
    changes = remedy("Qwen/Qwen2.5-32B", work, "fsdp", gpus=16, memory=70)
    assert changes is not None
    assert changes[0].startswith("completions by vLLM")


def test_where_nothing_alone_is_enough_remedies_are_joined():
    changes = remedy("Qwen/Qwen2.5-72B", workload(batch=4), gpus=1024, memory=40)
    assert changes is not None
    assert len(changes) > 1


def test_where_nothing_helps_there_is_none():
    assert remedy("meta-llama/Llama-3.1-405B", workload(), memory=1) is None


def test_the_simplest_sharding_that_fits_is_chosen():
    work = workload(checkpointing=True)
    assert choose_sharding(shape("Qwen/Qwen2.5-0.5B"), work, Cluster()) == "single"
    assert choose_sharding(shape("Qwen/Qwen2.5-0.5B"), work, Cluster(gpus=8)) == "ddp"
    assert choose_sharding(shape("Qwen/Qwen2.5-14B"), work, Cluster(gpus=8)) == "fsdp"


def test_every_layout_is_planned():
    work = workload()
    labels = [plan.layout for plan in plan_layouts(shape("Qwen/Qwen2.5-0.5B"), work, Cluster(gpus=2))]
    assert labels[:3] == ["1 GPU", "DDP ×2", "FSDP2 ×2"]
    assert labels[3:] == ["1 GPU LoRA", "DDP ×2 LoRA", "FSDP2 ×2 LoRA"]
    alone = plan_layouts(shape("Qwen/Qwen2.5-0.5B"), work.model_copy(update={"lora_rank": 4}), Cluster())
    assert [plan.layout for plan in alone] == ["1 GPU LoRA"]


WORKLOADS = st.builds(
    workload,
    batch=st.integers(1, 8),
    accumulation=st.integers(1, 4),
    context=st.integers(64, 8192),
    mean_sequence=st.just(64),
    optimiser=st.sampled_from(["adamw", "muon"]),
    compute=st.sampled_from(["bf16", "fp32"]),
    weights=st.sampled_from(["bf16", "fp32"]),
    checkpointing=st.booleans(),
    loss=st.sampled_from(["full", "chunked"]),
    lora_rank=st.sampled_from([None, 8, 64]),
)
SHARDINGS = st.sampled_from(["single", "ddp", "fsdp"])
NAMES = st.sampled_from(KNOWN)


@given(NAMES, WORKLOADS, SHARDINGS, st.sampled_from([8.0, 24.0, 80.0]))
@settings(max_examples=60, deadline=None)
def test_what_is_proposed_fits(name, work, sharding, memory):
    setting = Setting(work, Cluster(gpus=4, memory=memory), sharding)
    found = nearest(shape(name), setting)
    assert found is None or (found.plan.fits and found.changes)


@given(NAMES, WORKLOADS, SHARDINGS)
@settings(max_examples=60, deadline=None)
def test_more_to_do_never_takes_less(name, work, sharding):
    def peak(changed: Workload, gpus: int = 4) -> float:
        return plan_layout(shape(name), changed, Cluster(gpus=gpus), sharding).peak

    here = peak(work)
    for change in ({"batch": work.batch + 1}, {"context": work.context + 64}):
        assert peak(work.model_copy(update=change)) >= here
    assert peak(work.model_copy(update={"checkpointing": True})) <= here or work.checkpointing
    if sharding == "fsdp":
        assert peak(work, 8) <= here


@pytest.mark.parametrize("sharding", ["single", "ddp", "fsdp"])
def test_lora_takes_less_than_training_all(sharding):
    work = workload(checkpointing=True)
    adapted = work.model_copy(update={"lora_rank": 16})
    cluster = Cluster(gpus=8)
    whole, part = (plan_layout(shape("Qwen/Qwen2.5-7B"), w, cluster, sharding) for w in (work, adapted))
    assert part.peak < whole.peak
    assert part.trained < whole.trained / 100
