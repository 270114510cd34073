"""Training on several processes: who writes, what one finds out for all, and weights in one piece.

Processes are started by `torchrun` or `accelerate launch`, which tell each its rank in the environment. Only
the first takes locks, writes records, shows progress and saves the model; all must see the same file system.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from steiner.core import InputError, SteinerError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer

    from steiner.train.settings import StageSettings

T = TypeVar("T")

LAUNCHED = ("RANK", "WORLD_SIZE")
"""What a launcher sets; without both, this process trains alone."""


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in LAUNCHED) else 1


def is_main() -> bool:
    """Tell whether this process is the one that writes."""
    return world_size() == 1 or int(os.environ["RANK"]) == 0


def decide(work: Callable[[], T]) -> T:
    """Let the first process do `work` and return its result on all; every process has to call it.

    Raises:
        SteinerError: on the first process, if `work` does. The others end with the same exit code, silently,
            so that a mistake is told once.
    """
    if world_size() == 1:
        return work()
    from accelerate.utils import broadcast_object_list

    _join()
    outcome: list[Any] = [None, 0]
    if not is_main():
        broadcast_object_list(outcome)
        if outcome[1]:
            raise SystemExit(outcome[1])
        result: T = outcome[0]
        return result
    try:
        outcome[0] = work()
    except SteinerError as error:
        outcome[1] = error.exit_code
        raise
    finally:
        broadcast_object_list(outcome)
    result = outcome[0]
    return result


def meet() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        _join().wait_for_everyone()


def total(count: int) -> int:
    """Return the sum of a count over all processes; every process has to call it."""
    if world_size() == 1:
        return count
    state = _join()
    numbers = torch.tensor([count], dtype=torch.long, device=state.device)
    torch.distributed.all_reduce(numbers)
    return int(numbers.item())


def uses_fsdp() -> bool:
    """Tell whether the launcher asked for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def uses_deepspeed() -> bool:
    """Tell whether the launcher asked for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def check_launch(settings: StageSettings) -> None:
    """Refuse what the launcher's kind of training cannot do.

    Raises:
        InputError: says what to change.
    """
    if settings.model.lora is not None and (uses_fsdp() or uses_deepspeed()):
        raise InputError(
            "LoRA with weights in shares is not supported: launch with DDP "
            "(recipes/accelerate/8-gpus-ddp.yaml), or leave [model.lora] out."
        )
    if settings.optimiser.algorithm == "muon" and uses_deepspeed():
        raise InputError(
            'DeepSpeed keeps weights as flat vectors, and Muon needs matrices: set algorithm = "adamw" under '
            "[optimiser], or launch with FSDP2 (recipes/accelerate/8-gpus-fsdp2.yaml)."
        )


def accelerator_config() -> dict[str, Any]:
    """Return what accelerate is told beyond its own configuration file, which has no key for it.

    Accumulating without reducing keeps whole gradients on every process. That is what FSDP is there to avoid,
    so there gradients are reduced after each backward pass.
    """
    return {"gradient_accumulation_kwargs": {"sync_each_batch": True}} if uses_fsdp() else {}


def whole_state(trainer: Trainer) -> dict[str, torch.Tensor] | None:
    """Return all weights, gathered on the first process; every process has to call it.

    None where each process holds them whole anyway.
    """
    accelerator = trainer.accelerator
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return None
    state: dict[str, torch.Tensor] = accelerator.get_state_dict(trainer.model_wrapped)
    model = accelerator.unwrap_model(trainer.model)
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    # Gathered one by one, tied weights are no longer one tensor and would be saved twice.
    return {name: weight for name, weight in state.items() if name not in tied}


@contextmanager
def whole_model(trainer: Trainer) -> Iterator[PreTrainedModel]:
    """Give the model with all weights at hand, so that each process writes completions at its own pace.

    Under FSDP2 and ZeRO-3 weights lie in shares, and each forward pass is a meeting of all processes: one
    that writes longer completions than the others would wait for ever.
    """
    from torch.distributed.fsdp import FSDPModule

    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_deepspeed_enabled:
        import deepspeed  # type: ignore[import-not-found]

        with deepspeed.zero.GatheredParameters(list(model.parameters())):
            yield model
        return
    shards = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if not shards:
        yield model
        return
    model.set_reshard_after_forward(False)
    for module in shards:
        module.unshard()
    try:
        yield model
    finally:
        for module in shards:
            module.reshard()
        again = bool(trainer.accelerator.state.fsdp_plugin.reshard_after_forward)
        for module in shards:
            if _is_layer(module, model):
                module.set_reshard_after_forward(again, recurse=False)


def parameters(model: torch.nn.Module) -> int:
    """Count the parameters of a model, wherever they lie."""
    return sum(int(getattr(p, "ds_numel", p.numel())) for p in model.parameters())


def _is_layer(module: torch.nn.Module, model: PreTrainedModel) -> bool:
    names = set(model._no_split_modules or ())
    return any(parent.__name__ in names for parent in type(module).__mro__)


def _join() -> Any:
    """Return accelerate's view of this process, which joins the group if it has not yet."""
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())
