"""What is to be trained, and on what: everything that memory, arithmetic and cost follow from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steiner.core import Settings

StageName = Literal["cpt", "sft", "rl"]
Sharding = Literal["single", "ddp", "fsdp"]
"""`single`: one GPU. `ddp`: a whole copy per GPU. `fsdp`: FSDP2 or ZeRO-3, everything in shares."""
Engine = Literal["transformers", "vllm", "server"]


class Rollouts(Settings):
    """How completions are written in RL."""

    updates: int = Field(ge=1)
    completions: int = Field(ge=1)
    """Per update: prompts × group."""
    prompt: int = Field(ge=1)
    """Tokens of a prompt."""
    completion: int = Field(ge=1)
    """Tokens of the longest completion; memory follows from it."""
    mean_completion: int = Field(ge=1)
    """Tokens of a completion on average; arithmetic and hours follow from it."""
    iterations: int = Field(default=1, ge=1)
    """Updates per batch of completions."""
    reference: bool = False
    """Whether a copy of the starting model is kept for the KL term."""
    engine: Engine = "transformers"
    """`transformers`: the trained model itself, whole on each GPU. `vllm`: beside the trainer on the same
    GPUs, asleep while it trains. `server`: on GPUs of its own, which are not counted."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one copy of the model in vLLM."""


class Workload(Settings):
    """One stage of training, in the terms of one GPU."""

    stage: StageName
    batch: int = Field(ge=1)
    """Sequences per GPU and backward pass."""
    accumulation: int = Field(default=1, ge=1)
    """Backward passes per update."""
    context: int = Field(ge=1)
    """Tokens of the longest sequence; memory follows from it."""
    mean_sequence: int = Field(ge=1)
    """Tokens of a sequence on average; arithmetic follows from it."""
    tokens: int = Field(ge=1)
    """Tokens that are trained on in all, RL's prompts included."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    compute: Literal["bf16", "fp32"] = "bf16"
    weights: Literal["bf16", "fp32"] = "bf16"
    """How one GPU keeps the weights, with LoRA those that it freezes; fp32 with bf16 computation is mixed
    precision. FSDP with bf16 computation keeps fp32 whatever stands here, because accelerate casts what is
    trained to it."""
    checkpointing: bool = False
    loss: Literal["chunked", "full"] = "chunked"
    """`chunked`: TRL's fused output matrix, which never holds all logits. `full`: transformers' own loss."""
    lora_rank: int | None = Field(default=None, ge=1)
    """None trains all parameters."""
    new_tokens: int = Field(default=14, ge=0)
    """Rows of the token tables that LoRA trains besides."""
    rollouts: Rollouts | None = None

    @property
    def trains_rows(self) -> bool:
        """Whether single rows of the token tables are trained, which takes gradients of whole tables."""
        return self.lora_rank is not None and self.new_tokens > 0

    @property
    def batch_tokens(self) -> int:
        """Tokens of one backward pass on one GPU, at the longest."""
        return self.batch * self.context


class Cluster(Settings):
    """The machines."""

    gpus: int = Field(default=1, ge=1)
    memory: float = Field(default=80.0, gt=0)
    """GiB per GPU."""
    reserve: float = Field(default=0.1, ge=0, lt=1)
    """Share of the memory that is left for the driver, libraries' workspaces and fragmentation."""
    tflops: float = Field(default=989.0, gt=0)
    """Dense bf16 peak per GPU, 10^12 operations per second."""
    bandwidth: float = Field(default=3.35, gt=0)
    """Of the memory, 10^12 bytes per second."""
    mfu: float = Field(default=0.4, gt=0, le=1)
    """Share of the peak that training reaches, recomputation counted as work."""
    price: float | None = Field(default=None, ge=0)
    """Per GPU and hour, in any currency."""

    @property
    def usable(self) -> float:
        """Bytes per GPU that training may take."""
        return self.memory * 2**30 * (1 - self.reserve)


class GpuKind(Settings):
    """A GPU by its data sheet."""

    memory: float
    tflops: float
    bandwidth: float


GPUS = {
    "a100-40": GpuKind(memory=40, tflops=312, bandwidth=1.555),
    "a100-80": GpuKind(memory=80, tflops=312, bandwidth=2.039),
    "h100": GpuKind(memory=80, tflops=989, bandwidth=3.35),
    "h200": GpuKind(memory=141, tflops=989, bandwidth=4.8),
    "l40s": GpuKind(memory=48, tflops=362, bandwidth=0.864),
    "rtx4090": GpuKind(memory=24, tflops=165, bandwidth=1.008),
}
"""Makers' data sheets: memory, dense bf16 peak, bandwidth."""
