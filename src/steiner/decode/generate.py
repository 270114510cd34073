"""Batched generation with transformers under step control, each request with its own limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import InputError, NoProgress, Progress, StepBudget
from steiner.decode.control import Mode, StepControl
from steiner.decode.fork import Fork, Forks
from steiner.decode.watch import Watch
from steiner.decode.writing import Request, Sampler, write
from steiner.protocol import ControlIds, ControlToken, Parsed, check_vocabulary, parse_ids
from steiner.protocol.grammar import State, closing_tokens, least_reasoning_tokens, state_after

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_NEW_TOKENS = 8192
"""Limit of a completion where neither the caller, the budget nor the model sets one."""


class Completion(NamedTuple):
    """What a model wrote for one prompt."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    """Up to and including the end of text, without padding."""
    parsed: Parsed


class Anytime(NamedTuple):
    """A completion, and what it would have been under smaller step limits."""

    whole: Completion
    at: dict[int, Completion]
    """Step limit → completion; the whole one where the limit changes nothing."""


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
    sampler = Sampler(temperature, top_p, seed, batch_size, watch)
    control = StepControl(_control_ids(model, tokenizer), mode, max_answer_tokens)
    requests = _requests(model, control, prompts, budgets, seeds, max_new_tokens)
    if prefixes is not None:
        requests = [_go_on(r, tuple(prefix)) for r, prefix in zip(requests, prefixes, strict=True)]
    new = write(model, control, requests, sampler, progress or NoProgress())
    written = [r.prefix + w for r, w in zip(requests, new, strict=True)]
    return _completions(model, tokenizer, control, sampler, requests, written)


def generate_anytime(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    budget: StepBudget,
    limits: Sequence[int],
    *,
    mode: Mode = Mode.STRICT,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seeds: Sequence[int] | None = None,
    max_answer_tokens: int = 64,
    max_new_tokens: int | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[Anytime]:
    """Let a model think once, and see also what it would have answered under smaller step limits.

    For each limit this is what `generate` writes with that limit and, at a temperature above 0, the same
    seeds; only rounding may differ. It costs the answers: they are forked over the keys and values of the one
    completion (`steiner.decode.fork`).

    Args:
        model: a causal language model; its mode (train or eval) is kept.
        tokenizer: with the control tokens.
        prompts: token ids, from `steiner.protocol.encode_prompt`.
        budget: for all; its `max_steps` may be None.
        limits: step limits. One that `budget` does not reach gives the whole completion.
        mode: strict or report; without control there are no step limits.
        temperature: 0 takes the most likely token.
        top_p: smallest probability mass to draw from.
        seeds: one per prompt; needed where tokens are drawn.
        max_answer_tokens: longest answer, the end of text not counted.
        max_new_tokens: as `generate`.
        batch_size: prompts at once.
        progress: is told how many prompts are done.

    Raises:
        InputError: as `generate`; or for mode off, missing seeds, or a limit below the budget's `min_steps`.
    """
    sampler = Sampler(temperature, top_p, None, batch_size)
    if mode is Mode.OFF:
        raise InputError("without step control there are no step limits; use mode strict or report")
    if sampler.draws and seeds is None:
        raise InputError("give a seed for each prompt, so that each limit draws what a run of its own would")
    if min(limits, default=budget.min_steps) < budget.min_steps:
        raise InputError(f"a limit of {min(limits)} steps is below min_steps, which is {budget.min_steps}")
    control = StepControl(_control_ids(model, tokenizer), mode, max_answer_tokens)
    requests = _requests(model, control, prompts, budget, seeds, max_new_tokens)
    forks = Forks(model, control, sampler, limits)
    written = write(model, control, requests, sampler, progress or NoProgress(), forks)
    whole = _completions(model, tokenizer, control, sampler, requests, written)
    found = [Anytime(one, dict.fromkeys(limits, one)) for one in whole]
    forked = [*forks.answered, *_recomputed(model, control, sampler, forks.unanswered)]
    requests, texts = [fork.request for fork, _ in forked], [ids for _, ids in forked]
    begun = [whole[fork.number].parsed for fork, _ in forked]
    answers = _completions(model, tokenizer, control, sampler, requests, texts, begun)
    for (fork, _), answer in zip(forked, answers, strict=True):
        found[fork.number].at[fork.limit] = answer
    return found


def answer_now(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]],
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
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
        seeds: instead, one per prompt, as in `generate`: an answer draws what it would in the completion.
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
    rows = [None] * len(prompts) if seeds is None else seeds
    requests = []
    for prompt, prefix, number in zip(prompts, prefixes, rows, strict=True):
        state = state_after([ids.token(number) for number in prefix])
        closed = (*prefix, *(ids[token] for token in closing_tokens(state)))
        requests.append(Request(tuple(prompt), closed, StepBudget(), max_answer_tokens + 1, number))
    control = StepControl(ids, Mode.STRICT, max_answer_tokens)
    sampler = Sampler(temperature, top_p, seed, batch_size)
    written = write(model, control, requests, sampler, progress or NoProgress())
    return [
        Completion(r.prompt, r.prefix + w, parse_ids(tokenizer, r.prefix + w, ids))
        for r, w in zip(requests, written, strict=True)
    ]


def _control_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> ControlIds:
    ids = ControlIds.from_tokenizer(tokenizer)
    check_vocabulary(ids, model.get_input_embeddings().weight.shape[0])
    return ids


def _requests(
    model: PreTrainedModel,
    control: StepControl,
    prompts: Sequence[Sequence[int]],
    budgets: StepBudget | Sequence[StepBudget],
    seeds: Sequence[int] | None,
    max_new_tokens: int | None,
) -> list[Request]:
    rows = [budgets] * len(prompts) if isinstance(budgets, StepBudget) else list(budgets)
    if len(rows) != len(prompts):
        raise InputError(
            f"{len(prompts)} prompts and {len(rows)} budgets; give one budget for all or one each"
        )
    context = _context(model)
    requests = [
        _request(control, tuple(prompt), budget, context, max_new_tokens)
        for prompt, budget in zip(prompts, rows, strict=True)
    ]
    if seeds is None:
        return requests
    return [replace(r, seed=number) for r, number in zip(requests, seeds, strict=True)]


def _completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    control: StepControl,
    sampler: Sampler,
    requests: Sequence[Request],
    written: Sequence[tuple[int, ...]],
    begun: Sequence[Parsed] | None = None,
) -> list[Completion]:
    """Cut what was not held to its limits, read it, and in report mode ask for answers that are missing.

    `begun` are readings of completions that these are forks of.
    """
    ids, longest = control.ids, control.max_answer_tokens or 0
    if control.mode is not Mode.STRICT:
        written = [_cut(ids, w, r.budget, longest) for w, r in zip(written, requests, strict=True)]
    if begun is None:
        parsed = [parse_ids(tokenizer, row, ids) for row in written]
    else:
        parsed = [_read_fork(tokenizer, row, ids, one) for row, one in zip(written, begun, strict=True)]
    rows = zip(requests, written, parsed, strict=True)
    completions = [Completion(request.prompt, row, one) for request, row, one in rows]
    if control.mode is not Mode.REPORT:
        return completions
    silent = [index for index, completion in enumerate(completions) if not completion.parsed.answer]
    seeds = [seed for index in silent if (seed := requests[index].seed) is not None]
    answered = answer_now(
        model,
        tokenizer,
        [requests[index].prompt for index in silent],
        [_without(written[index], ids.eos) for index in silent],
        temperature=sampler.temperature,
        top_p=sampler.top_p,
        seed=sampler.seed,
        seeds=seeds or None,
        max_answer_tokens=longest,
        batch_size=sampler.batch_size,
    )
    for index, completion in zip(silent, answered, strict=True):
        completions[index] = completion
    return completions


def _read_fork(
    tokenizer: PreTrainedTokenizerBase, fork: tuple[int, ...], ids: ControlIds, whole: Parsed
) -> Parsed:
    """Read a fork; its steps are the first of those that were read of the whole, unless it is broken."""
    end = ids[ControlToken.END]
    if whole.violations or end not in fork:
        return parse_ids(tokenizer, fork, ids)
    bound = fork.index(end)
    steps = fork[:bound].count(ids[ControlToken.STEP_END])
    step = [ids[token] for token in closing_tokens(State.BEGIN)]
    answer = parse_ids(tokenizer, (*step, *fork[bound + 1 :]), ids)
    if answer.violations:
        return parse_ids(tokenizer, fork, ids)
    return answer.model_copy(update={"steps": whole.steps[:steps], "moves": whole.moves[: max(0, steps - 1)]})


def _recomputed(
    model: PreTrainedModel, control: StepControl, sampler: Sampler, forks: Sequence[Fork]
) -> list[tuple[Fork, tuple[int, ...]]]:
    """Answer forks from their tokens alone, where there are no keys and values to go on from."""
    end, longest = control.ids[ControlToken.END], (control.max_answer_tokens or 0) + 1
    requests = [replace(f.request, prefix=(*f.kept, end), budget=f.budget, new_tokens=longest) for f in forks]
    written = write(model, control, requests, sampler, NoProgress())
    return [(f, r.prefix + w) for f, r, w in zip(forks, requests, written, strict=True)]


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
) -> Request:
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
    return Request(prompt, (), limited, reasoning + answer)


def _go_on(request: Request, prefix: tuple[int, ...]) -> Request:
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


def _without(row: tuple[int, ...], eos: int) -> tuple[int, ...]:
    return row[:-1] if row and row[-1] == eos else row
