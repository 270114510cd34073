"""Exact peaks: every allocation and release of torch's CPU allocator during one training step, added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from steiner.train.plan import ModelShape, Workload, shape_from_config

KINDS: dict[str, tuple[Any, Any]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


def tiny(kind: str = "llama", **changes: Any) -> tuple[PreTrainedModel, ModelShape]:
    """Return a small model and the planner's shape of it, read from its own config."""
    make_config, make_model = KINDS[kind]
    values = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 512,
        "tie_word_embeddings": True,
        "use_cache": False,
    }
    config = make_config(**{**values, **changes})
    return make_model(config).train(), shape_from_config(config.to_dict(), kind)


def allocated_peak(work: Callable[[], Any]) -> int:
    """Return the most bytes that `work` held at once, beyond what there was before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def step(
    model: PreTrainedModel, workload: Workload, optimiser: torch.optim.Optimizer | None
) -> Callable[[], None]:
    """Return one whole update of a workload: forward and backward passes, and the optimiser's step."""
    ids = torch.randint(0, model.config.vocab_size, (workload.batch, workload.context))
    # a model that LoRA freezes in bf16 is trained under autocast too
    cast = workload.compute == "bf16" and (workload.weights == "fp32" or workload.lora_rank is not None)

    def work() -> None:
        for _ in range(workload.accumulation):
            with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
        if optimiser is not None:
            optimiser.step()
        model.zero_grad(set_to_none=True)

    return work


def measured_peak(model: PreTrainedModel, workload: Workload, optimiser: torch.optim.Optimizer) -> int:
    """Return the peak of an update in bytes: weights and optimiser state, and what the update adds."""
    if workload.checkpointing:
        model.activation_checkpointing_enable()
    work = step(model, workload, optimiser)
    work()  # makes the optimiser's state
    states = (value for state in optimiser.state.values() for value in state.values())
    there = [
        *model.parameters(),
        *(value for value in states if torch.is_tensor(value) and value.numel() > 1),
    ]
    return sum(t.numel() * t.element_size() for t in there) + allocated_peak(work)
