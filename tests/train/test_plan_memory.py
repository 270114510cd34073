"""The planner's memory against measured peaks of small models: every byte that torch allocates is counted."""

from __future__ import annotations

import pytest
import torch
from plan_measure import allocated_peak, measured_peak, step, tiny

from steiner.train.model import new_model
from steiner.train.optimiser import MuonWithAdamW
from steiner.train.plan import Cluster, Rollouts, Workload, moments, peak, plan_layout
from steiner.train.plan.memory import kv_bytes
from steiner.train.settings import Architecture, OptimiserSettings

WITHIN = 0.15
"""The promise of docs/planning.md."""

PRECISIONS = {"fp32": ("fp32", "fp32"), "mixed": ("bf16", "fp32"), "bf16": ("bf16", "bf16")}
SIZES = {
    # many tokens: activations or logits decide
    "activations": ({}, {"batch": 2, "context": 256}),
    "logits": ({"vocab_size": 4096, "tie_word_embeddings": False, "num_hidden_layers": 2}, {"context": 256}),
    # few tokens: weights, gradients and the optimiser decide
    "static": ({"num_hidden_layers": 8, "vocab_size": 256}, {"context": 64}),
    "table": ({"vocab_size": 8192, "num_hidden_layers": 2}, {"context": 32}),
}


def workload(**changes: object) -> Workload:
    values = {
        "stage": "sft", "batch": 1, "context": 64, "mean_sequence": 64, "tokens": 1000, "loss": "full",
        "compute": "fp32", "weights": "fp32",
    }  # fmt: skip
    return Workload.model_validate({**values, **changes})


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_peak_of_a_step_is_as_measured(kind, size, precision, checkpointing):
    model_changes, work_changes = SIZES[size]
    model, shape = tiny(kind, **model_changes)
    compute, weights = PRECISIONS[precision]
    work = workload(compute=compute, weights=weights, checkpointing=checkpointing, **work_changes)
    if weights == "bf16":
        model = model.bfloat16()
    measured = measured_peak(model, work, torch.optim.AdamW(model.parameters(), fused=True))
    planned = peak(moments(shape, work, "single", 1))[1].total
    assert planned == pytest.approx(measured, rel=WITHIN)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_activations_of_a_layer_are_as_measured(precision):
    """Two depths, so that only what a layer keeps is left in the difference: exact, no tolerance needed."""
    from steiner.train.plan.memory import layer_activations, numbers

    compute, weights = PRECISIONS[precision]
    work = workload(batch=4, context=256, compute=compute, weights=weights)
    peaks = []
    for layers in (2, 6):
        model, shape = tiny(num_hidden_layers=layers)
        run = step(model.bfloat16() if weights == "bf16" else model, work, None)
        run()
        peaks.append(allocated_peak(run))
    size = numbers(work, "single")
    casts = 2 * shape.layer_matrices if precision == "mixed" else 0
    assert (peaks[1] - peaks[0]) / 4 == work.batch_tokens * layer_activations(shape, size) + casts


def test_a_family_with_normed_queries_is_as_measured():
    model, shape = tiny("qwen3")
    work = workload(batch=2, context=256)
    measured = measured_peak(model, work, torch.optim.AdamW(model.parameters(), fused=True))
    assert peak(moments(shape, work, "single", 1))[1].total == pytest.approx(measured, rel=WITHIN)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
def test_accumulated_gradients_are_there_all_the_time(checkpointing):
    model, shape = tiny()
    work = workload(batch=2, context=128, accumulation=2, checkpointing=checkpointing)
    measured = measured_peak(model, work, torch.optim.AdamW(model.parameters(), fused=True))
    assert peak(moments(shape, work, "single", 1))[1].total == pytest.approx(measured, rel=WITHIN)


def test_muon_keeps_one_number_per_matrix_entry():
    model, shape = tiny()
    work = workload(context=128, optimiser="muon")
    optimiser = MuonWithAdamW(model, OptimiserSettings(algorithm="muon"))
    measured = measured_peak(model, work, optimiser)
    assert peak(moments(shape, work, "single", 1))[1].total == pytest.approx(measured, rel=WITHIN)


LORA_SIZES = {
    "activations": ({"num_hidden_layers": 8}, {"batch": 2, "context": 256}),
    "logits": ({"vocab_size": 4096, "num_hidden_layers": 2}, {"context": 256}),
    "table": ({"vocab_size": 16384, "num_hidden_layers": 2}, {"context": 32}),
}


@pytest.mark.parametrize("rows", [0, 14])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", LORA_SIZES)
def test_lora_is_as_measured(size, precision, tied, rows):
    """For trained rows PEFT copies whole token tables, and their gradients are whole too."""
    peft = pytest.importorskip("peft")
    model_changes, work_changes = LORA_SIZES[size]
    model, shape = tiny(tie_word_embeddings=tied, **model_changes)
    compute, weights = PRECISIONS[precision]
    indices = {"embed_tokens": list(range(14))} | ({} if tied else {"lm_head": list(range(14))})
    config = peft.LoraConfig(
        r=8, target_modules="all-linear", trainable_token_indices=indices if rows else None
    )
    adapted = peft.get_peft_model(model.bfloat16() if weights == "bf16" else model, config)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    work = workload(lora_rank=8, new_tokens=rows, compute=compute, weights=weights, **work_changes)
    assert sum(p.numel() for p in trained) == shape.lora(8, rows)
    measured = measured_peak(adapted, work, torch.optim.AdamW(trained, fused=True))
    assert peak(moments(shape, work, "single", 1))[1].total == pytest.approx(measured, rel=WITHIN)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_chunked_loss_is_as_measured(precision, monkeypatch):
    """On a GPU the kernels of TRL's loss work in place; their stand-ins for the CPU are made to do so too."""
    kernels = pytest.importorskip("trl.kernels.chunked_logprob")
    utils = pytest.importorskip("trl.trainer.utils")
    for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
        monkeypatch.setattr(kernels, name, lambda changed, *_, **__: changed.zero_())
    model, shape = tiny(vocab_size=32768, num_hidden_layers=2, tie_word_embeddings=False)
    utils.add_fused_lm_head(model)
    compute, weights = PRECISIONS[precision]
    work = workload(batch=4, context=256, compute=compute, weights=weights, loss="chunked")
    model = model.bfloat16() if weights == "bf16" else model
    ids = torch.randint(0, 512, (4, 256))

    def run() -> None:
        model(input_ids=ids, labels=ids, fused_lm_head=True).loss.backward()
        model.zero_grad(set_to_none=True)

    run()
    found = moments(shape, work, "single", 1)
    stored = found["loss"].weights + found["loss"].master + found["loss"].optimiser
    assert peak(found)[1].total - stored == pytest.approx(allocated_peak(run), rel=WITHIN)


def test_a_tokens_keys_and_values_are_as_measured():
    model, shape = tiny(use_cache=True)
    cache = model.bfloat16()(input_ids=torch.zeros(2, 50, dtype=torch.long)).past_key_values
    held = sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))
    assert held == 2 * 50 * kv_bytes(shape)


def test_rollouts_hold_the_cache_of_all_sequences_of_a_gpu():
    _, shape = tiny()
    rollouts = Rollouts(updates=1, completions=10, prompt=20, completion=30, mean_completion=30)
    work = workload(stage="rl", rollouts=rollouts)
    alone = moments(shape, work, "single", 1)["rollouts"]
    shared = moments(shape, work, "ddp", 4)["rollouts"]
    assert alone.kv_cache == 10 * 50 * kv_bytes(shape)
    assert shared.kv_cache == 3 * 50 * kv_bytes(shape)  # the fullest GPU has three of ten


def test_full_sharding_divides_what_is_stored_and_nothing_else():
    _, shape = tiny()
    work = workload(compute="bf16", accumulation=2)
    one, four = (moments(shape, work, "fsdp", gpus)["loss"] for gpus in (1, 4))
    for part in ("master", "gradients", "optimiser"):
        assert getattr(four, part) == getattr(one, part) / 4
    for part in ("activations", "logits", "weights"):
        assert getattr(four, part) == getattr(one, part)


def test_the_parts_of_the_peak_add_up():
    _, shape = tiny()
    plan = plan_layout(shape, workload(), Cluster(), "single")
    assert plan.peak == sum(plan.parts.model_dump().values())
    assert plan.peak == max(parts.total for parts in plan.moments.values())


def test_a_new_model_is_counted_as_it_is_made(tokenizer):
    from pathlib import Path

    from steiner.train.plan.recipe import recipe_shape
    from steiner.train.settings import ModelSettings

    architecture = Architecture(hidden_size=64, layers=2, heads=4, kv_heads=2, intermediate_size=96)
    settings = ModelSettings(architecture=architecture, tokenizer="nowhere")
    shape, notes = recipe_shape(settings, Path("cpt.toml"), len(tokenizer))
    made = new_model(architecture, tokenizer, 0)
    assert shape.parameters == sum(parameter.numel() for parameter in made.parameters())
    assert notes == []
