"""Arithmetic of a stage: floating-point operations, hours and cost, by the formulas of docs/planning.md."""

from __future__ import annotations

import math

from steiner.core import Record
from steiner.train.plan.architecture import ModelShape
from steiner.train.plan.workload import Cluster, Rollouts, Sharding, Workload


class Flops(Record):
    """Floating-point operations of a whole stage; a multiplication and an addition are two."""

    model: float
    """Forward and backward passes on the tokens trained on: the numerator of model FLOPs utilisation."""
    recomputed: float
    """Work done twice to save memory: checkpointed layers, the output matrix of the chunked loss."""
    reference: float
    """Forward passes of the KL term's model, and of the policy before a batch's second update."""
    rollouts: float
    """Writing completions."""

    @property
    def training(self) -> float:
        """All but the rollouts."""
        return self.model + self.recomputed + self.reference


def forward_flops(shape: ModelShape, sequence: int, *, head: bool = True) -> float:
    """Operations per token of a forward pass over sequences of so many tokens.

    Attention counts the whole square of tokens, as PyTorch's counter and the usual definition of
    utilisation do; a causal kernel does about half of that part.
    """
    matrices = shape.matrices if head else shape.layers * shape.layer_matrices
    return 2.0 * matrices + attention_flops(shape, sequence)


def attention_flops(shape: ModelShape, sequence: int) -> float:
    """Operations per token of the two products of attention, over all layers."""
    return 4.0 * shape.layers * shape.query * sequence


def adapter_flops(shape: ModelShape, workload: Workload) -> float:
    """Operations per token of a forward pass through LoRA's adapters."""
    return 0.0 if workload.lora_rank is None else 2.0 * shape.lora(workload.lora_rank, 0)


def training_flops(shape: ModelShape, workload: Workload) -> float:
    """Operations per token of one forward and backward pass, without recomputation.

    A backward pass costs two forward passes, one for the gradients of activations and one for those of
    weights; LoRA saves the second on what it leaves alone. For trained rows of the output matrix the
    gradient of the whole matrix is computed.
    """
    sequence = workload.mean_sequence
    adapters = adapter_flops(shape, workload)
    if workload.lora_rank is None:
        return 3 * forward_flops(shape, sequence)
    rows = 2.0 * shape.table * workload.trains_rows
    return 2 * 2.0 * shape.matrices + rows + 3 * attention_flops(shape, sequence) + 3 * adapters


def recomputed_flops(shape: ModelShape, workload: Workload) -> float:
    """Operations per token that are done again in the backward pass.

    PyTorch stops recomputing a layer once it has what the backward pass needs: before the MLP's last product.
    """
    layers = forward_flops(shape, workload.mean_sequence, head=False) + adapter_flops(shape, workload)
    layers -= 2.0 * shape.layers * shape.hidden * shape.intermediate
    return layers * workload.checkpointing + 2.0 * shape.table * (workload.loss == "chunked")


def stage_flops(shape: ModelShape, workload: Workload) -> Flops:
    """Return the operations of the whole stage on all GPUs together."""
    tokens, rollouts = float(workload.tokens), workload.rollouts
    reference = written = 0.0
    if rollouts is not None:
        forward = forward_flops(shape, workload.mean_sequence)
        fresh = tokens / rollouts.iterations
        reference = forward * fresh * (rollouts.reference + (rollouts.iterations > 1))
        written = forward_flops(shape, workload.mean_sequence // 2) * fresh
    return Flops(
        model=training_flops(shape, workload) * tokens,
        recomputed=recomputed_flops(shape, workload) * tokens,
        reference=reference,
        rollouts=written,
    )


def rollout_hours(
    shape: ModelShape, rollouts: Rollouts, cluster: Cluster, flops: float, processes: int
) -> float:
    """Hours of writing completions: reading weights and cache for each token, or the arithmetic if longer."""
    batches = rollouts.updates / rollouts.iterations
    sequences = math.ceil(rollouts.completions / processes)
    mean = rollouts.prompt + rollouts.mean_completion / 2
    read = (
        2.0 * shape.parameters / min(rollouts.tensor_parallel, processes)
        + sequences * mean * 2 * shape.layers * 2 * shape.key
    )
    # a batch ends with its longest completion
    memory_seconds = batches * rollouts.completion * read / (cluster.bandwidth * 1e12)
    compute_seconds = flops / (processes * cluster.tflops * 1e12 * cluster.mfu)
    return max(memory_seconds, compute_seconds) / 3600


def stage_hours(
    shape: ModelShape, workload: Workload, cluster: Cluster, sharding: Sharding
) -> tuple[float, float]:
    """Return hours of training and of writing completions."""
    flops = stage_flops(shape, workload)
    processes = 1 if sharding == "single" else cluster.gpus
    training = flops.training / (processes * cluster.tflops * 1e12 * cluster.mfu) / 3600
    if workload.rollouts is None:
        return training, 0.0
    return training, rollout_hours(shape, workload.rollouts, cluster, flops.rollouts, processes)
