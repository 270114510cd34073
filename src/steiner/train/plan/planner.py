"""Put memory, arithmetic and cost together, and find the nearest setting that fits where one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from steiner.core import Record
from steiner.train.plan.architecture import ModelShape
from steiner.train.plan.flops import Flops, stage_flops, stage_hours
from steiner.train.plan.memory import (
    Parts,
    kept_activations,
    moments,
    numbers,
    peak,
    trained_parameters,
)
from steiner.train.plan.workload import Cluster, Sharding, Workload

MOST_GPUS = 1024
SHORTEST_CONTEXT = 512
LORA_RANK = 16


class Layout(NamedTuple):
    """How a stage is spread over GPUs."""

    sharding: Sharding
    gpus: int
    lora: bool

    @property
    def label(self) -> str:
        """Name in tables."""
        name = {"single": "1 GPU", "ddp": f"DDP ×{self.gpus}", "fsdp": f"FSDP2 ×{self.gpus}"}
        return name[self.sharding] + (" LoRA" if self.lora else "")


class LayoutPlan(Record):
    """What one stage takes in one layout. Memory is in bytes per GPU."""

    layout: str
    sharding: Sharding
    gpus: int
    trained: int
    """Parameters that gradients are made for."""
    peak: float
    moment: str
    """When the peak is."""
    parts: Parts
    """What the peak is made of."""
    moments: dict[str, Parts]
    activations_checkpointed: float
    activations_whole: float
    usable: float
    fits: bool
    flops: Flops
    training_hours: float
    rollout_hours: float
    cost: float | None
    """In the currency of the price."""

    @property
    def hours(self) -> float:
        """Wall time."""
        return self.training_hours + self.rollout_hours


class Setting(NamedTuple):
    """All that a remedy may change."""

    workload: Workload
    cluster: Cluster
    sharding: Sharding


class Remedy(NamedTuple):
    """The nearest setting that fits."""

    changes: tuple[str, ...]
    plan: LayoutPlan


def plan_layout(shape: ModelShape, workload: Workload, cluster: Cluster, sharding: Sharding) -> LayoutPlan:
    """Return what a stage takes in one layout."""
    gpus = 1 if sharding == "single" else cluster.gpus
    found = moments(shape, workload, sharding, gpus)
    moment, parts = peak(found)
    size = numbers(workload, sharding)
    training, writing = stage_hours(shape, workload, cluster, sharding)
    price = cluster.price
    return LayoutPlan(
        layout=Layout(sharding, gpus, workload.lora_rank is not None).label,
        sharding=sharding,
        gpus=gpus,
        trained=trained_parameters(shape, workload),
        peak=parts.total,
        moment=moment,
        parts=parts,
        moments=found,
        activations_checkpointed=kept_activations(shape, workload, size, checkpointing=True),
        activations_whole=kept_activations(shape, workload, size, checkpointing=False),
        usable=cluster.usable,
        fits=parts.total <= cluster.usable,
        flops=stage_flops(shape, workload),
        training_hours=training,
        rollout_hours=writing,
        cost=None if price is None else price * gpus * (training + writing),
    )


def plan_layouts(shape: ModelShape, workload: Workload, cluster: Cluster) -> list[LayoutPlan]:
    """Return the plan of each layout that the GPUs allow, then each with LoRA."""
    shardings: list[Sharding] = ["single"] if cluster.gpus == 1 else ["single", "ddp", "fsdp"]
    given = workload.lora_rank is not None
    adapted, whole = (workload, []) if given else (_with_lora(workload), [workload])
    return [
        plan_layout(shape, work, cluster, sharding) for work in [*whole, adapted] for sharding in shardings
    ]


def _with_lora(workload: Workload) -> Workload:
    """Return the workload with adapters on a model that is frozen in the precision it is computed in."""
    return workload.model_copy(update={"lora_rank": LORA_RANK, "weights": workload.compute})


def choose_sharding(shape: ModelShape, workload: Workload, cluster: Cluster) -> Sharding:
    """Return the simplest sharding that uses all GPUs and fits, or else the one that takes least memory."""
    if cluster.gpus == 1:
        return "single"
    return "ddp" if plan_layout(shape, workload, cluster, "ddp").fits else "fsdp"


def nearest(shape: ModelShape, setting: Setting) -> Remedy | None:
    """Return the nearest setting that fits, None if there is none.

    Each remedy is tried alone, in the order of `REMEDIES`: first what changes only how the same numbers are
    computed, then what costs more, then what trains something else. If none is enough alone, each stays
    while the next ones are added.
    """
    for remedy in REMEDIES:
        for words, changed in remedy(setting):
            found = plan_layout(shape, *changed)
            if found.fits:
                return Remedy((words,), found)
    return _together(shape, setting)


def _together(shape: ModelShape, setting: Setting) -> Remedy | None:
    changes: tuple[str, ...] = ()
    for remedy in REMEDIES:
        last: tuple[str, Setting] | None = None
        for last in remedy(setting):
            found = plan_layout(shape, *last[1])
            if found.fits:
                return Remedy((*changes, last[0]), found)
        if last is not None and plan_layout(shape, *last[1]).peak < plan_layout(shape, *setting).peak:
            changes, setting = (*changes, last[0]), last[1]
    return None


Options = Iterator[tuple[str, Setting]]


def _change(setting: Setting, **update: object) -> Setting:
    return setting._replace(workload=setting.workload.model_copy(update=update))


def _checkpointing(setting: Setting) -> Options:
    if not setting.workload.checkpointing:
        yield "gradient checkpointing", _change(setting, checkpointing=True)


def _chunked_loss(setting: Setting) -> Options:
    if setting.workload.loss == "full":
        yield "a chunked loss", _change(setting, loss="chunked")


def _vllm(setting: Setting) -> Options:
    rollouts, gpus = setting.workload.rollouts, setting.cluster.gpus
    if rollouts is None or rollouts.engine == "server" or setting.sharding == "single":
        return
    ways = 2
    while ways <= min(gpus, 8):
        if ways > rollouts.tensor_parallel:
            changed = rollouts.model_copy(update={"engine": "vllm", "tensor_parallel": ways})
            yield f"completions by vLLM, {ways} GPUs per copy", _change(setting, rollouts=changed)
        ways *= 2


def _full_sharding(setting: Setting) -> Options:
    if setting.cluster.gpus > 1 and setting.sharding != "fsdp":
        yield f"FSDP2 or ZeRO-3 over {setting.cluster.gpus} GPUs", setting._replace(sharding="fsdp")


def _smaller_batch(setting: Setting) -> Options:
    batch, accumulation = setting.workload.batch, setting.workload.accumulation
    while batch > 1:
        batch, accumulation = batch // 2, accumulation * 2
        words = f"a batch of {batch} with {accumulation} accumulated"
        yield words, _change(setting, batch=batch, accumulation=accumulation)


def _more_gpus(setting: Setting) -> Options:
    gpus = setting.cluster.gpus * 2
    while gpus <= MOST_GPUS:
        cluster = setting.cluster.model_copy(update={"gpus": gpus})
        yield f"{gpus} GPUs with FSDP2 or ZeRO-3", setting._replace(cluster=cluster, sharding="fsdp")
        gpus *= 2


def _lora(setting: Setting) -> Options:
    if setting.workload.lora_rank is None:
        yield f"LoRA of rank {LORA_RANK}", setting._replace(workload=_with_lora(setting.workload))


def _shorter_context(setting: Setting) -> Options:
    context = setting.workload.context // 2
    while context >= SHORTEST_CONTEXT:
        update: dict[str, object] = {
            "context": context,
            "mean_sequence": min(setting.workload.mean_sequence, context),
        }
        rollouts = setting.workload.rollouts
        if rollouts is not None:
            longest = max(1, context - rollouts.prompt)
            update["rollouts"] = rollouts.model_copy(
                update={
                    "completion": longest,
                    "mean_completion": min(rollouts.mean_completion, longest),
                }
            )
        yield f"a context of {context:,} tokens", _change(setting, **update)
        context //= 2


REMEDIES: tuple[Callable[[Setting], Options], ...] = (
    _checkpointing,
    _chunked_loss,
    _full_sharding,
    _smaller_batch,
    _vllm,
    _more_gpus,
    _lora,
    _shorter_context,
)
"""In the order in which they are tried."""
