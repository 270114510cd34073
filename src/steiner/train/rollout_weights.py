"""The weights of a model in training, written to a folder from which a rollout server reads them."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from steiner.train.disk import checkpoint_errors
from steiner.train.lora import is_adapted, merged
from steiner.train.model import use_bf16
from steiner.train.settings import Precision


def sent_dtype(precision: Precision) -> torch.dtype:
    """Return the precision in which weights travel and a server computes: that of the training."""
    return torch.bfloat16 if use_bf16(precision) else torch.float32


def untied() -> bool:
    """Tell whether a server gets a tied output matrix as one of its own.

    vLLM 0.32 on the CPU packs that matrix when it starts, and does not pack it again when the embedding that
    it is tied to is reloaded: the server would go on with the old one.
    """
    return not torch.cuda.is_available()


def write_weights(
    model: Any,
    folder: Path,
    precision: Precision,
    state: dict[str, torch.Tensor] | None = None,
    *,
    untie: bool = False,
) -> int:
    """Write an ordinary model; the one in training is left as it is.

    Adapters are merged in a copy of the model: subtracting them again would not be exact in bf16.

    Args:
        model: without a wrapper of accelerate.
        folder: is replaced.
        precision: that the stage computes in.
        state: gathered weights, where the model's own are in shares.
        untie: write a tied output matrix, too, and a configuration that says so.

    Returns:
        The bytes that were written.

    Raises:
        InputError: if a merged weight is not finite.
        StorageError: if the folder cannot be written.
    """
    dtype = sent_dtype(precision)
    shutil.rmtree(folder, ignore_errors=True)
    plain = merged(copy.deepcopy(model)) if is_adapted(model) else model
    tied = getattr(plain, "all_tied_weights_keys", None) or {}
    weights = plain.state_dict() if state is None else state
    # Cast one by one, tied weights are no longer one tensor and would be written twice.
    sent = {
        name: one.detach().to(dtype) if one.is_floating_point() else one.detach()
        for name, one in weights.items()
        if name not in tied
    }
    if untie:
        sent |= {name: sent[source].clone() for name, source in tied.items()}
    with checkpoint_errors(folder, "The weights for the rollout server in"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        plain.save_pretrained(folder, state_dict=sent)
        if untie and tied:
            config = folder / "config.json"
            values = json.loads(config.read_text(encoding="utf-8")) | {"tie_word_embeddings": False}
            config.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
