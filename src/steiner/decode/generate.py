"""Batched generation with transformers under step control, each request with its own limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessorList

from steiner.core import InputError, NoProgress, Progress, StepBudget
from steiner.decode.around import fitting_threads, quiet, seeded, shared_prefill
from steiner.decode.control import Mode, StepControl
from steiner.decode.draw import SeededDraw
from steiner.decode.hf import StepControlLogitsProcessor
from steiner.decode.watch import TokenStreamer, Watch
from steiner.protocol import ControlIds, ControlToken, Parsed, check_vocabulary, parse_ids
from steiner.protocol.grammar import closing_tokens, least_reasoning_tokens, state_after

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_NEW_TOKENS = 8192
"""Limit of a completion where neither the caller, the budget nor the model sets one."""

GREEDY_BELOW = 1e-5
"""A lower temperature counts as 0: scores divided by it would overflow."""

COMPACT_EVERY = 64
"""Tokens between two looks for rows that have ended."""


class Completion(NamedTuple):
    """What a model wrote for one prompt."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    """Up to and including the end of text, without padding."""
    parsed: Parsed


@dataclass(frozen=True)
class _Request:
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
class _Sampler:
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


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    budgets: StepBudget | Sequence[StepBudget],
    *,
    mode: Mode = Mode.STRICT,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    prefixes: Sequence[Sequence[int]] | None = None,
    max_answer_tokens: int = 64,
    max_new_tokens: int | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> list[Completion]:
    """Let a model think within a budget and answer.

    In strict mode each completion follows the grammar, keeps its budget and ends with an answer and the end
    of text. In report mode a completion without an answer at its token limit is cut there, its open fields
    are closed and the answer is asked for. In off mode it is only cut.

    Args:
        model: a causal language model; its mode (train or eval) is kept.
        tokenizer: with the control tokens.
        prompts: token ids, from `steiner.protocol.encode_prompt`.
        budgets: one for all, or one per prompt.
        mode: how strictly the next token is controlled.
        temperature: 0 takes the most likely token.
        top_p: smallest probability mass to draw from.
        seed: makes the same call (batch size included) draw the same; leaves the global generators alone.
        seeds: instead, one per prompt: what is drawn then depends on no other prompt.
        prefixes: for each prompt the beginning of a completion, to go on from; it counts as written.
        max_answer_tokens: longest answer, the end of text not counted.
        max_new_tokens: most tokens of a completion, answer and end of text included. By default what budget,
            model and answer allow.
        batch_size: prompts at once. Prompts of similar length share a batch.
        progress: is told how many prompts are done.
        watch: is told each token of the only prompt as it is written.

    Returns:
        One completion per prompt, in their order.

    Raises:
        InputError: for a tokenizer without control tokens, a model with too few rows, limits that contradict
            each other, or a prompt that leaves no room.
    """
    sampler = _Sampler(temperature, top_p, seed, batch_size, watch)
    ids = _control_ids(model, tokenizer)
    rows = [budgets] * len(prompts) if isinstance(budgets, StepBudget) else list(budgets)
    if len(rows) != len(prompts):
        raise InputError(
            f"{len(prompts)} prompts and {len(rows)} budgets; give one budget for all or one each"
        )
    control = StepControl(ids, mode, max_answer_tokens)
    context = _context(model)
    requests = [
        _request(control, tuple(prompt), budget, context, max_new_tokens)
        for prompt, budget in zip(prompts, rows, strict=True)
    ]
    if seeds is not None:
        requests = [replace(r, seed=number) for r, number in zip(requests, seeds, strict=True)]
    if prefixes is not None:
        requests = [_go_on(r, tuple(prefix)) for r, prefix in zip(requests, prefixes, strict=True)]
    new = _write(model, control, requests, sampler, progress or NoProgress())
    written = [r.prefix + w for r, w in zip(requests, new, strict=True)]
    if mode is not Mode.STRICT:
        written = [_cut(ids, w, r.budget, max_answer_tokens) for w, r in zip(written, requests, strict=True)]
    completions = [
        Completion(r.prompt, w, parse_ids(tokenizer, w, ids)) for r, w in zip(requests, written, strict=True)
    ]
    if mode is Mode.REPORT:
        silent = [index for index, completion in enumerate(completions) if not completion.parsed.answer]
        answered = answer_now(
            model,
            tokenizer,
            [prompts[index] for index in silent],
            [_without(written[index], ids.eos) for index in silent],
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            max_answer_tokens=max_answer_tokens,
            batch_size=batch_size,
        )
        for index, completion in zip(silent, answered, strict=True):
            completions[index] = completion
    return completions


def answer_now(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]],
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
    max_answer_tokens: int = 64,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[Completion]:
    """Break the thinking off after given prefixes of completions and let the model answer at once.

    Open fields are closed, END is written, and only the answer is generated. So one sees what the model would
    have answered had it stopped thinking there.

    Args:
        model: a causal language model.
        tokenizer: with the control tokens.
        prompts: token ids of the prompts.
        prefixes: for each prompt the beginning of a completion, for example up to some STEP_END; may be
            empty, and an END that is already there stays.
        temperature: 0 takes the most likely token.
        top_p: smallest probability mass to draw from.
        seed: makes the same call draw the same.
        max_answer_tokens: longest answer, the end of text not counted.
        batch_size: prompts at once.
        progress: is told how many prompts are done.

    Returns:
        One completion per prompt: prefix, closing tokens, END, answer, end of text.

    Raises:
        InputError: as `generate`.
    """
    ids = _control_ids(model, tokenizer)
    if len(prompts) != len(prefixes):
        raise InputError(f"{len(prompts)} prompts and {len(prefixes)} prefixes; give one prefix per prompt")
    requests = []
    for prompt, prefix in zip(prompts, prefixes, strict=True):
        state = state_after([ids.token(number) for number in prefix])
        closed = (*prefix, *(ids[token] for token in closing_tokens(state)))
        requests.append(_Request(tuple(prompt), closed, StepBudget(), max_answer_tokens + 1))
    control = StepControl(ids, Mode.STRICT, max_answer_tokens)
    sampler = _Sampler(temperature, top_p, seed, batch_size)
    written = _write(model, control, requests, sampler, progress or NoProgress())
    return [
        Completion(r.prompt, r.prefix + w, parse_ids(tokenizer, r.prefix + w, ids))
        for r, w in zip(requests, written, strict=True)
    ]


def _control_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> ControlIds:
    ids = ControlIds.from_tokenizer(tokenizer)
    check_vocabulary(ids, model.get_input_embeddings().weight.shape[0])
    return ids


def _context(model: PreTrainedModel) -> int | None:
    """Most tokens that the model can read, None where it does not say."""
    value = getattr(model.config, "max_position_embeddings", None)
    return int(value) if value else None


def _request(
    control: StepControl,
    prompt: tuple[int, ...],
    budget: StepBudget,
    context: int | None,
    max_new_tokens: int | None,
) -> _Request:
    """Find the token limit that leaves room for the answer within every other limit."""
    control.check(budget)
    answer = (control.max_answer_tokens or 0) + 1
    limits = [max_new_tokens, None if context is None else context - len(prompt)]
    new_tokens = min((limit for limit in limits if limit is not None), default=DEFAULT_NEW_TOKENS)
    reasoning = new_tokens - answer
    if budget.max_reasoning_tokens is not None:
        reasoning = min(reasoning, budget.max_reasoning_tokens)
    least = max(least_reasoning_tokens(budget.min_steps), 16)
    if reasoning < least:
        raise InputError(
            f"a prompt of {len(prompt)} tokens leaves {max(new_tokens, 0)} tokens (limit {max_new_tokens}, "
            f"the model reads {context}), but {budget.min_steps} steps and an answer need at least "
            f"{least + answer}. Shorten the prompt or allow more tokens."
        )
    limited = budget.model_copy(update={"max_reasoning_tokens": reasoning})
    return _Request(prompt, (), limited, reasoning + answer)


def _go_on(request: _Request, prefix: tuple[int, ...]) -> _Request:
    """Let a request begin after a part of its completion."""
    return replace(request, prefix=prefix, new_tokens=max(1, request.new_tokens - len(prefix)))


def _cut(
    ids: ControlIds, written: tuple[int, ...], budget: StepBudget, max_answer_tokens: int
) -> tuple[int, ...]:
    """Cut a completion that was not held to its own limits while it was written."""
    end = ids[ControlToken.END]
    limit = budget.max_reasoning_tokens or len(written)
    if end in written[:limit]:
        limit = written.index(end) + 1 + max_answer_tokens + 1
    return written[:limit]


def _write(
    model: PreTrainedModel,
    control: StepControl,
    requests: Sequence[_Request],
    sampler: _Sampler,
    progress: Progress,
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
                rows = _write_batch(model, control, [requests[i] for i in batch], sampler)
                for index, row in zip(batch, rows, strict=True):
                    written[index] = row
                progress.update(begin + len(batch))
    finally:
        model.train(training)
    return written


def _write_batch(
    model: PreTrainedModel, control: StepControl, requests: Sequence[_Request], sampler: _Sampler
) -> list[tuple[int, ...]]:
    """Generate `COMPACT_EVERY` tokens at a time, and let rows that have ended leave the batch in between.

    The key-value cache goes on from call to call. A batch is as slow as its longest row and attention costs
    every row that is still in it, so without this a few long searches would cost as much as if all were.
    """
    ids = control.ids
    texts = [request.prompt + request.prefix for request in requests]
    width = max(map(len, texts))
    rows = torch.tensor([[ids.pad] * (width - len(text)) + list(text) for text in texts]).to(model.device)
    mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts]).to(model.device)
    written: list[tuple[int, ...]] = [()] * len(requests)
    alive = list(range(len(requests)))
    left = max(request.new_tokens for request in requests)
    processor = StepControlLogitsProcessor(
        control,
        [request.budget for request in requests],
        [width - len(request.prefix) for request in requests],
        in_place=True,
        rows_stay=True,
    )
    processors: list[StepControlLogitsProcessor | SeededDraw] = [processor]
    seeds = [request.seed for request in requests if request.seed is not None]
    if seeds and sampler.draws:
        starts = [width - len(request.prefix) for request in requests]
        processors.append(SeededDraw(seeds, starts, sampler.temperature, sampler.top_p))
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
        for place in ended.nonzero().flatten().tolist():
            written[alive[place]] = _until(new[place].tolist(), ids.eos)
        keep = (~ended).nonzero().flatten()
        alive = [alive[place] for place in keep.tolist()]
        if alive:
            rows = rows[keep]
            for one in processors:
                one.select(keep.tolist())
            mask = torch.nn.functional.pad(mask[keep], (0, rows.shape[1] - mask.shape[1]), value=1)
            if len(keep) < len(ended):
                cache.batch_select_indices(keep)
    return written


def _without(row: tuple[int, ...], eos: int) -> tuple[int, ...]:
    return row[:-1] if row and row[-1] == eos else row


def _until(row: list[int], eos: int) -> tuple[int, ...]:
    return tuple(row[: row.index(eos) + 1] if eos in row else row)
