"""What stands around batched generation: seeds, threads, silence, and prompts that several rows share."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

TINY = 20_000_000
"""Parameters below which decoding on a CPU is faster on one thread."""


def shared_prefill(
    model: PreTrainedModel, texts: Sequence[tuple[int, ...]], rows: Tensor, mask: Tensor
) -> DynamicCache | None:
    """Compute each distinct prompt once and hand its keys and values to all rows that have it.

    None where no two rows share a prompt, or the model keeps something else than keys and values.

    Args:
        model: in eval mode, without gradients.
        texts: the rows without padding.
        rows: token ids, left-padded; shape (rows, columns).
        mask: 1 where a column is no padding; the same shape.

    Returns:
        The cache of all columns but the last, whose logits are wanted.
    """
    first: dict[tuple[int, ...], int] = {}
    for place, text in enumerate(texts):
        first.setdefault(text, place)
    supported = getattr(model, "_supports_default_dynamic_cache", None)
    if len(first) == len(texts) or rows.shape[1] < 2 or supported is None or not supported():
        return None
    cache = DynamicCache(config=model.config)
    if not all(isinstance(layer, DynamicLayer) for layer in cache.layers):
        return None
    chosen = torch.tensor(list(first.values()), device=rows.device)
    kept = mask[chosen][:, :-1]
    accepted = inspect.signature(model.forward).parameters
    model(
        input_ids=rows[chosen][:, :-1],
        attention_mask=kept,
        position_ids=(kept.cumsum(dim=1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        **({"logits_to_keep": 1} if "logits_to_keep" in accepted else {}),
    )
    number = {text: place for place, text in enumerate(first)}
    cache.batch_select_indices(torch.tensor([number[text] for text in texts], device=rows.device))
    return cache


@contextmanager
def seeded(model: PreTrainedModel, seed: int | None) -> Iterator[None]:
    """Draw from generators seeded for this call alone."""
    if seed is None:
        yield
        return
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def fitting_threads(model: PreTrainedModel) -> Iterator[None]:
    """Run a tiny model on one thread.

    Its matrix products are over before a second thread has woken up, and where another process holds a core,
    waiting for that thread makes each of them a hundred times slower.
    """
    threads = torch.get_num_threads()
    if model.device.type != "cpu" or threads == 1 or model.num_parameters() > TINY:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the advice of transformers while its settings are ours."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
