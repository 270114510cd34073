"""LoRA by PEFT: adapters on the layers, the control tokens' rows trained, one ordinary model at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from steiner.core import InputError
from steiner.train.settings import LoraSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER = "default"
"""PEFT's name of the adapter that is trained; TRL adds `ref`, a frozen copy, where RL has a KL term."""


def adapt(
    model: PreTrainedModel, settings: LoraSettings, rows: Sequence[int], base: str, seed: int
) -> PeftModel:
    """Freeze a model and put new adapters on it, which change nothing before they are trained.

    Args:
        model: with its rows in place.
        settings: rank, scale and modules.
        rows: ids whose rows of the token tables are trained.
        base: folder or hub id of the model, for the adapter's own configuration.
        seed: of the adapters' random halves.

    Raises:
        InputError: if PEFT is missing, or no module has one of the names in `targets`.
    """
    peft = _peft()
    tables = _table_names(model)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets if settings.targets == "all-linear" else list(settings.targets),
        trainable_token_indices={name: list(rows) for name in tables} if settings.train_rows else None,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            adapted = peft.get_peft_model(model, config)
        except ValueError as error:
            raise InputError(
                f"The adapters do not fit {base}: {_first_line(error)} Name modules of the model in "
                'targets under [model.lora], or leave it at "all-linear".'
            ) from error
    config.base_model_name_or_path = base
    return _ready(adapted)


def load_adapter(model: PreTrainedModel, folder: Path, settings: LoraSettings | None) -> Any:
    """Put a saved adapter on its base model: to train it on, or else as part of an ordinary model.

    Args:
        model: the base, with its rows in place.
        folder: of the adapter.
        settings: of the stage that goes on with the adapter; None merges it.

    Raises:
        InputError: if PEFT is missing, the adapter does not fit the model, or is of other settings.
    """
    peft = _peft()
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
        adapted = peft.PeftModel.from_pretrained(
            model, str(folder), is_trainable=settings is not None, config=config
        )
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise InputError(
            f"The adapter in {folder} does not fit its base model: {_first_line(error)} Train it again, or "
            "check that the base model is the one that it was trained on."
        ) from error
    if settings is None:
        return merged(adapted)
    own, wanted = (config.r, config.lora_alpha), (settings.rank, settings.alpha)
    if own != wanted:
        raise InputError(
            f"The adapter in {folder} has rank {own[0]} and alpha {own[1]:g}, and [model.lora] says rank "
            f"{wanted[0]} and alpha {wanted[1]:g}. Give the adapter's own, or leave [model.lora] out to "
            "train the whole model with the adapter merged into it."
        )
    return _ready(adapted)


def adapter_base(folder: Path) -> str | None:
    """Return the base model of the adapter in a folder, None if there is no adapter in it.

    Raises:
        InputError: if its configuration is damaged.
    """
    file = folder / ADAPTER_CONFIG
    if not file.is_file():
        return None
    try:
        base = json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} is damaged or names no base model, so the adapter cannot be loaded. Train it again."
        ) from error
    return str(base)


def is_adapted(model: object) -> bool:
    """Tell whether a model carries adapters of PEFT."""
    return hasattr(model, "peft_config") and hasattr(model, "merge_and_unload")


def merged(model: PeftModel) -> PreTrainedModel:
    """Return the ordinary model with adapters and trained rows written into its weights; takes `model` apart.

    Raises:
        InputError: if a merged weight is not finite.
    """
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
    try:
        plain: PreTrainedModel = model.merge_and_unload(safe_merge=True, adapter_names=[ADAPTER])
    except ValueError as error:
        raise InputError(f"The adapters cannot be merged: {_first_line(error)}") from error
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
    return plain


def save_trained(
    model: Any, folder: Path, lora: LoraSettings | None, state_dict: dict[str, Any] | None = None
) -> None:
    """Save what a stage trained: an ordinary model, or the adapter alone where `merge` is off.

    Args:
        model: without a wrapper of accelerate; taken apart if it is merged.
        folder: to write.
        lora: None for a model that was trained whole.
        state_dict: gathered weights, where the model's own are in shares; whole models only.
    """
    if lora is None or not is_adapted(model):
        model.save_pretrained(folder, state_dict=state_dict)
    elif lora.merge:
        merged(model).save_pretrained(folder)
    else:
        model.save_pretrained(folder, selected_adapters=[ADAPTER])


def copy_rows_to_reference(model: Any) -> None:
    """Give TRL's reference adapter the rows that training starts from.

    `GRPOTrainer` copies what has `.default.` in its name into the adapter `ref`. PEFT's rows end in
    `.default`, so that a reference made from a trained adapter would have the rows of its base.
    """
    if not is_adapted(model) or "ref" not in model.peft_config:
        return
    for layer in _row_layers(model):
        rows = layer.trainable_tokens_delta
        if "ref" in rows and ADAPTER in rows:
            rows["ref"].data.copy_(rows[ADAPTER].data)


@contextmanager
def rows_in_place(model: Any) -> Iterator[None]:
    """While a model writes, keep the trained rows in the token tables themselves.

    In training PEFT copies both tables at each forward pass and sets the trained rows in the copies, which
    costs more than a small model takes for a token. Rows are replaced, not added, so that this leaves no
    trace; the adapters of the layers stay apart: subtracting them again would not be exact in bf16.
    """
    layers = [layer for layer in _row_layers(model) if not layer.merged]
    try:
        for layer in layers:
            layer.merge()
        yield
    finally:
        for layer in layers:
            if layer.merged:
                layer.unmerge()


def _row_layers(model: Any) -> list[Any]:
    if not is_adapted(model):
        return []
    from peft.tuners.trainable_tokens import TrainableTokensLayer

    return [module for module in model.modules() if isinstance(module, TrainableTokensLayer)]


def _table_names(model: PreTrainedModel) -> list[str]:
    """Return the names of the embedding and, unless it is tied to it, of the output matrix."""
    from steiner.train.tokens import token_tables

    tables = token_tables(model)
    return [next(name for name, module in model.named_modules() if module is table) for table in tables]


def _ready(adapted: PeftModel) -> PeftModel:
    """Make a model with adapters fit for TRL and for checkpoints.

    TRL reads the output matrix and its bias through PEFT's wrapper, which has no attribute for the bias. And
    PEFT saves whole token tables once they have been resized, although only some rows are trained, which it
    saves anyway.
    """
    adapted.save_pretrained = partial(  # type: ignore[method-assign]
        adapted.save_pretrained, save_embedding_layers=False
    )
    head = adapted.get_output_embeddings()
    if head is not None and not isinstance(head, torch.nn.Linear) and "bias" not in head._parameters:
        head.register_parameter("bias", None)
    return adapted


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise InputError("LoRA needs the package peft: pip install 'steiner[lora]'.") from error
    return peft


def _first_line(error: Exception) -> str:
    line = str(error).strip().split("\n")[0] or type(error).__name__
    return line if line.endswith(".") else f"{line}."
