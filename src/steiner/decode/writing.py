"""Batches of requests written to their ends; the loop below `steiner.decode.generate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessorList

from steiner.core import InputError, Progress, StepBudget
from steiner.decode.around import fitting_threads, quiet, seeded, shared_prefill
from steiner.decode.control import StepControl
from steiner.decode.draw import SeededDraw
from steiner.decode.hf import StepControlLogitsProcessor
from steiner.decode.watch import TokenStreamer, Watch
from steiner.protocol import ControlIds

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

GREEDY_BELOW = 1e-5
"""A lower temperature counts as 0: scores divided by it would overflow."""

COMPACT_EVERY = 64
"""Tokens between two looks for rows that have ended."""


@dataclass(frozen=True)
class Request:
    """One row of a batch."""

    prompt: tuple[int, ...]
    prefix: tuple[int, ...]
    """Part of the completion that is already there."""
    budget: StepBudget
    """With `max_reasoning_tokens` set."""
    new_tokens: int
    """Most tokens to write, the end of text included."""
    seed: int | None = None
    """Of this row alone; all rows of a batch have one, or none has."""


@dataclass(frozen=True)
class Sampler:
    """How tokens are drawn, for all batches of a call."""

    temperature: float
    top_p: float
    seed: int | None
    batch_size: int
    watch: Watch | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}; it must be 0 (most likely token) or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; it must be more than 0 and at most 1")

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn at all."""
        return self.temperature >= GREEDY_BELOW

    def config(self, ids: ControlIds, new_tokens: int, row_seeds: bool) -> GenerationConfig:
        """Return the generation config. Defaults that a model folder may set otherwise are set here."""
        draws = self.draws and not row_seeds
        sampling = {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if draws else {}
        return GenerationConfig(
            do_sample=draws,
            repetition_penalty=1.0,
            num_beams=1,
            max_new_tokens=new_tokens,
            pad_token_id=ids.pad,
            eos_token_id=ids.eos,
            use_cache=True,
            **sampling,
        )


class Leaving(NamedTuple):
    """A row that has ended, while its keys and values are still at hand."""

    number: int
    """Place of its request among all."""
    request: Request
    written: tuple[int, ...]
    """After the request's prefix."""
    place: int
    """Its row in the cache."""
    padding: int
    """Columns of the cache before its prompt."""


OnLeave = Callable[["Cache", Sequence[Leaving]], None]
"""Is told of rows that end, with the cache that holds them."""


def write(
    model: PreTrainedModel,
    control: StepControl,
    requests: Sequence[Request],
    sampler: Sampler,
    progress: Progress,
    on_leave: OnLeave | None = None,
) -> list[tuple[int, ...]]:
    """Return what the model wrote for each request, end of text included and padding not."""
    order = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt) + len(requests[i].prefix))
    written: list[tuple[int, ...]] = [()] * len(requests)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), quiet(), seeded(model, sampler.seed), fitting_threads(model):
            for begin in range(0, len(order), sampler.batch_size):
                batch = order[begin : begin + sampler.batch_size]
                for index, row in _write_batch(model, control, requests, batch, sampler, on_leave):
                    written[index] = row
                progress.update(begin + len(batch))
    finally:
        model.train(training)
    return written


def _write_batch(
    model: PreTrainedModel,
    control: StepControl,
    every: Sequence[Request],
    batch: Sequence[int],
    sampler: Sampler,
    on_leave: OnLeave | None,
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield for each request of a batch its number and what was written, as soon as it has ended.

    `COMPACT_EVERY` tokens are generated at a time, and rows that have ended leave the batch in between.

    The key-value cache goes on from call to call. A batch is as slow as its longest row and attention costs
    every row that is still in it, so without this a few long searches would cost as much as if all were.
    """
    ids = control.ids
    requests = [every[number] for number in batch]
    texts = [request.prompt + request.prefix for request in requests]
    width = max(map(len, texts))
    rows = torch.tensor([[ids.pad] * (width - len(text)) + list(text) for text in texts]).to(model.device)
    mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts]).to(model.device)
    alive = list(range(len(requests)))
    left = max(request.new_tokens for request in requests)
    seeds = [request.seed for request in requests if request.seed is not None]
    processors = _processors(control, requests, width, seeds, sampler)
    cache = shared_prefill(model, texts, rows, mask)
    while alive and left > 0:
        output = model.generate(
            input_ids=rows,
            attention_mask=mask,
            generation_config=sampler.config(ids, min(left, COMPACT_EVERY), bool(seeds)),
            logits_processor=LogitsProcessorList(processors),
            past_key_values=cache,
            return_dict_in_generate=True,
            streamer=TokenStreamer(sampler.watch) if sampler.watch else None,
        )
        rows, cache = output.sequences, output.past_key_values
        left -= COMPACT_EVERY
        new = rows[:, width:]
        ended = (new == ids.eos).any(dim=1)
        if left <= 0:
            ended[:] = True
        leaving = [
            Leaving(
                number=batch[alive[place]],
                request=requests[alive[place]],
                written=_until(new[place].tolist(), ids.eos),
                place=place,
                padding=width - len(texts[alive[place]]),
            )
            for place in ended.nonzero().flatten().tolist()
        ]
        if on_leave is not None and leaving:
            on_leave(cache, leaving)
        yield from ((row.number, row.written) for row in leaving)
        keep = (~ended).nonzero().flatten()
        alive = [alive[place] for place in keep.tolist()]
        if alive:
            rows = rows[keep]
            for one in processors:
                one.select(keep.tolist())
            mask = torch.nn.functional.pad(mask[keep], (0, rows.shape[1] - mask.shape[1]), value=1)
            if len(keep) < len(ended):
                cache.batch_select_indices(keep)


def _processors(
    control: StepControl, requests: Sequence[Request], width: int, seeds: Sequence[int], sampler: Sampler
) -> list[StepControlLogitsProcessor | SeededDraw]:
    """Return step control and, where rows have seeds and tokens are drawn, what draws by them.

    `width` is the length of the longest prompt and prefix.
    """
    starts = [width - len(request.prefix) for request in requests]
    budgets = [request.budget for request in requests]
    controlling = StepControlLogitsProcessor(control, budgets, starts, in_place=True, rows_stay=True)
    if not (seeds and sampler.draws):
        return [controlling]
    return [controlling, SeededDraw(seeds, starts, sampler.temperature, sampler.top_p)]


def _until(row: list[int], eos: int) -> tuple[int, ...]:
    return tuple(row[: row.index(eos) + 1] if eos in row else row)
