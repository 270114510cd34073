"""Peak memory per GPU, by part, from the sizes of a model: the formulas of docs/planning.md.

A training step has a few moments at which its peak can lie; between them memory only rises or only falls,
layer by layer. Each moment is the sum of the parts that are alive then, in bytes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from steiner.core import Record
from steiner.train.plan.architecture import ModelShape
from steiner.train.plan.workload import Sharding, Workload

CHUNK_TOKENS, CHUNK_VOCABULARY = 4096, 32768
"""Tile of TRL's chunked loss."""
GATHERED_LAYERS = 2
"""Layers that FSDP holds whole at a time: the one at work and the one fetched ahead."""
LINEAR_GROUPS = 5
"""Matrix products of a layer that read the output of a norm: q, k, v, gate, up."""


class Parts(Record):
    """Bytes per GPU at one moment."""

    weights: float = 0.0
    """Weights as they are computed with: stored in that precision, cast for it, or gathered for it."""
    master: float = 0.0
    """fp32 weights that the optimiser changes, where computation is in bf16."""
    gradients: float = 0.0
    optimiser: float = 0.0
    activations: float = 0.0
    """What the forward pass keeps for the backward pass."""
    logits: float = 0.0
    """Logits, loss and their gradients."""
    working: float = 0.0
    """Short-lived gradients of activations, and communication buffers."""
    kv_cache: float = 0.0
    reference: float = 0.0
    """Weights of the model that the KL term compares with."""

    @property
    def total(self) -> float:
        """Bytes of all parts."""
        return float(sum(self.model_dump().values()))


class Numbers(NamedTuple):
    """Bytes per value in the precision of a workload."""

    stored: int
    """A trained weight as it is kept."""
    frozen: int
    """A weight that LoRA leaves alone."""
    compute: int
    """What matrices are multiplied in."""
    residual: int
    """The stream of hidden states between layers."""
    gradient: int
    state: int
    """One number of the optimiser."""


def numbers(workload: Workload, sharding: Sharding) -> Numbers:
    """Return the bytes per value."""
    compute = 2 if workload.compute == "bf16" else 4
    stored = 2 if workload.weights == "bf16" and workload.compute == "bf16" else 4
    residual = stored
    if workload.lora_rank is not None:
        frozen = compute if sharding == "fsdp" else stored
        return Numbers(4, frozen, compute, frozen, 4, 4)
    if sharding == "fsdp":
        return Numbers(4, compute, compute, compute, 4, 4)
    return Numbers(stored, stored, compute, residual, stored, stored)


def layer_activations(shape: ModelShape, size: Numbers) -> int:
    """Bytes per token that one layer keeps for its backward pass, without checkpointing."""
    mixed = size.residual == 4 and size.compute == 2
    copies = LINEAR_GROUPS if mixed else 2  # autocast casts the output of a norm once for each product
    norms = 2 * (4 + size.residual) * shape.hidden + copies * size.compute * shape.hidden + 2 * 4
    attention = (
        size.compute * (2 * shape.query + 2 * shape.key) + 4 * shape.heads
    )  # q, k, v, output; log-sums
    mlp = 4 * size.compute * shape.intermediate  # gate, its SiLU, up, their product
    per_head = 0
    if shape.qk_norm:
        per_head = (4 + size.compute) * (shape.query + shape.key) + 4 * (shape.heads + shape.kv_heads)
    return norms + attention + mlp + per_head


def head_activations(shape: ModelShape, size: Numbers) -> int:
    """Bytes per token that the last norm keeps: its input, normalised and scaled."""
    return (4 + size.residual + size.compute) * shape.hidden + 4


def kept_activations(shape: ModelShape, workload: Workload, size: Numbers, *, checkpointing: bool) -> float:
    """Bytes that the forward pass of one batch keeps."""
    layer = size.residual * shape.hidden if checkpointing else layer_activations(shape, size)
    return float(workload.batch_tokens * (shape.layers * layer + head_activations(shape, size)))


def loss_memory(shape: ModelShape, workload: Workload, size: Numbers) -> float:
    """Bytes of logits, loss and their gradients at their largest."""
    tokens = workload.batch_tokens
    if workload.loss == "full":
        # log-probabilities, the gradient of the loss to them and to the logits, all in fp32
        return float(12 * tokens * shape.vocabulary)
    tile = min(tokens, CHUNK_TOKENS) * CHUNK_VOCABULARY * size.compute
    # the gradient of the output matrix is summed in fp32 and then cast to that of the weights
    weights = size.frozen if workload.lora_rank is not None else size.gradient
    table = (4 if weights == 4 else 6) * shape.table
    if workload.lora_rank is not None and not workload.trains_rows:
        table = 0
    return float(tile + 4 * tokens * shape.hidden + table)


def row_tables(shape: ModelShape, workload: Workload, size: Numbers) -> tuple[float, float]:
    """Bytes of the output matrix's copy in which PEFT sets trained rows, and of the embedding's gradient."""
    table = shape.table if workload.trains_rows else 0
    return float(size.compute * table), float(size.frozen * table)


def backward_working(shape: ModelShape, workload: Workload, size: Numbers) -> float:
    """Bytes of the gradients of activations that are alive at once in a layer's MLP."""
    return float(
        workload.batch_tokens * (2 * size.compute * shape.intermediate + 2 * size.residual * shape.hidden)
    )


def optimiser_values(shape: ModelShape, workload: Workload) -> int:
    """Numbers that the optimiser keeps: two per parameter in AdamW, one per matrix entry in Muon."""
    if workload.lora_rank is not None:
        return 2 * shape.lora(workload.lora_rank, workload.new_tokens)
    if workload.optimiser == "muon":
        return 2 * shape.parameters - shape.layers * shape.layer_matrices
    return 2 * shape.parameters


def trained_parameters(shape: ModelShape, workload: Workload) -> int:
    """Parameters that gradients are made for."""
    if workload.lora_rank is None:
        return shape.parameters
    return shape.lora(workload.lora_rank, workload.new_tokens)


def static_parts(shape: ModelShape, workload: Workload, sharding: Sharding, gpus: int) -> Parts:
    """Return what is alive all the time."""
    size = numbers(workload, sharding)
    share = gpus if sharding == "fsdp" else 1
    trained = trained_parameters(shape, workload)
    frozen = shape.parameters if workload.lora_rank is not None else 0
    weights, master = size.frozen * frozen / share, 0.0
    if size.compute == 2 and size.stored == 4:
        master = size.stored * trained / share
    else:
        weights += size.stored * trained / share
    reference = 0.0
    # LoRA's reference is the model without its adapters
    if workload.rollouts is not None and workload.rollouts.reference and workload.lora_rank is None:
        reference = size.compute * shape.parameters / share
    return Parts(
        weights=weights,
        master=master,
        optimiser=size.state * optimiser_values(shape, workload) / share,
        reference=reference,
        working=size.gradient * trained if sharding == "ddp" else 0.0,  # DDP's buckets
    )


def moments(shape: ModelShape, workload: Workload, sharding: Sharding, gpus: int) -> dict[str, Parts]:
    """Return the parts at each moment where the peak can lie."""
    size = numbers(workload, sharding)
    static = static_parts(shape, workload, sharding, gpus)
    trained = trained_parameters(shape, workload)
    share = gpus if sharding == "fsdp" else 1
    gradients = size.gradient * trained / share
    before = gradients if workload.accumulation > 1 else 0.0
    tied_extra = _tied_extra(shape, workload, size)
    copied, rows = row_tables(shape, workload, size)
    gathered, cast = _whole_weights(shape, workload, sharding, size)
    kept = kept_activations(shape, workload, size, checkpointing=workload.checkpointing)
    layer = workload.batch_tokens * layer_activations(shape, size)
    boundary = workload.batch_tokens * size.residual * shape.hidden
    again = float(layer if workload.checkpointing else 0)
    working = backward_working(shape, workload, size)
    head = late = 0.0
    if workload.lora_rank is None:
        head = size.gradient * shape.table / share
        late = size.gradient * (shape.layer + (0 if shape.tied else shape.table)) / share
    found = {
        "loss": _add(
            static, gradients=before, activations=kept, weights=gathered + cast + copied,
            logits=loss_memory(shape, workload, size),
        ),
        "last layer": _add(
            static, gradients=max(before, head), activations=kept + again, weights=gathered + cast,
            working=working,
        ),
        "first layer": _add(
            static, gradients=max(before, gradients - late), activations=float(layer + boundary),
            weights=gathered, working=working,
        ),
        "update": _add(static, gradients=gradients, working=tied_extra + rows),
    }  # fmt: skip
    if workload.rollouts is not None:
        found["rollouts"] = _rollout_parts(shape, workload, static, sharding, gpus)
    return found


def peak(found: dict[str, Parts]) -> tuple[str, Parts]:
    """Return the moment with the most memory."""
    name = max(found, key=lambda key: found[key].total)
    return name, found[name]


def kv_bytes(shape: ModelShape) -> int:
    """Bytes of bf16 keys and values per token of a sequence."""
    return 2 * shape.layers * 2 * shape.key


def _tied_extra(shape: ModelShape, workload: Workload, size: Numbers) -> float:
    """Return bytes of the embedding's dense gradient, which is added to that of the tied output matrix.

    The sum is a third matrix, except under autocast, where the second one is added in place (measured).
    """
    if workload.lora_rank is not None or not shape.tied:
        return 0.0
    mixed = size.residual == 4 and size.compute == 2
    return float((1 if mixed else 2) * size.gradient * shape.table)


def _whole_weights(
    shape: ModelShape, workload: Workload, sharding: Sharding, size: Numbers
) -> tuple[float, float]:
    """Return bytes of weights that are gathered by FSDP, and of bf16 casts that autocast keeps."""
    if sharding == "fsdp":
        # embedding, output matrix and last norm stay whole through a step; a layer's gradients are whole too
        layers = GATHERED_LAYERS * shape.layer * (1 if workload.lora_rank is not None else 2)
        return float(size.compute * (shape.embedding + shape.hidden + layers)), 0.0
    if size.residual == 4 and size.compute == 2:
        # with checkpointing a layer's casts live while it is computed, without it until its backward pass
        layers = 1 if workload.checkpointing else shape.layers
        return 0.0, float(size.compute * (layers * shape.layer_matrices + shape.table))
    return 0.0, 0.0


def _rollout_parts(
    shape: ModelShape, workload: Workload, static: Parts, sharding: Sharding, gpus: int
) -> Parts:
    """Return the parts while completions are written: no gradients, no activations."""
    rollouts = workload.rollouts
    assert rollouts is not None
    if rollouts.engine == "server":
        return static
    processes = 1 if sharding == "single" else gpus
    sequences = math.ceil(rollouts.completions / processes)
    cache = float(sequences * (rollouts.prompt + rollouts.completion) * kv_bytes(shape))
    logits = float(sequences * shape.vocabulary * (2 + 4 + 4))  # as computed, in fp32, as probabilities
    copy = 2.0 * shape.parameters / min(rollouts.tensor_parallel, processes)
    if rollouts.engine == "transformers" and sharding != "fsdp":
        copy = 0.0  # the trained weights themselves
        if static.master and workload.lora_rank is None:
            copy = 2.0 * shape.matrices  # their bf16 casts
    return _add(static, weights=copy, kv_cache=cache, logits=logits)


def _add(parts: Parts, **more: float) -> Parts:
    values: dict[str, float] = parts.model_dump()
    return Parts(**{**values, **{name: values[name] + extra for name, extra in more.items()}})
