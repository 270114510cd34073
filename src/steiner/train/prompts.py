"""Prompts of fine-tuning: system prompts, efforts and limits in words, earlier turns of a conversation."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import InputError
from steiner.protocol import (
    EFFORTS,
    Effort,
    HistoryPolicy,
    Message,
    encode_prompts,
    parse,
    render_history,
    request_text,
    with_request,
)
from steiner.train.data import check_columns
from steiner.train.prompt_settings import PromptSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

BATCH = 256
"""Conversations encoded at a time."""
LEAST_MET = 0.5
"""Part of a share of conversations that must fit into the context; below it the share is refused."""


class FollowUp(NamedTuple):
    """A question that can be asked more shortly after others of its group."""

    group: str
    """Equal for questions that may follow each other."""
    text: str
    """The question as it is asked after another of its group."""


FollowUpReader = Callable[[str], FollowUp | None]
"""Tells how a question may follow others; None for one that stands alone."""


class SampleFacts(NamedTuple):
    """What prompts are made from."""

    prompt: str
    """What is asked, answer options included."""
    completion: str
    """The path as text."""
    language: str
    family: str
    """Task or source of the problem."""
    steps: int
    reasoning_tokens: int
    completion_tokens: int
    follow_up: FollowUp | None = None


class PromptPlan(NamedTuple):
    """What the prompt of one sample holds besides its question."""

    system: str
    effort: Effort | None
    min_steps: int | None
    max_steps: int | None
    earlier: tuple[int, ...]
    """Samples that become earlier turns, in order."""
    history: HistoryPolicy
    short: bool = False
    """Whether every question but the first is a follow-up."""


def read_facts(rows: Dataset, follow_ups: FollowUpReader | None = None) -> list[SampleFacts]:
    """Read the columns of a dataset that prompts are made from.

    Args:
        rows: of the dataset.
        follow_ups: which questions may follow each other; None: not known.

    Raises:
        InputError: if the dataset is too old to have them.
    """
    check_columns(rows, ("prompt", "family"), "prompts")
    same = ["prompt", "completion", "language", "family", "steps", "reasoning_tokens"]
    return [
        SampleFacts(
            **{name: row[name] for name in same},
            completion_tokens=len(row["completion_ids"]),
            follow_up=None if follow_ups is None else follow_ups(row["prompt"]),
        )
        for row in rows.select_columns([*same, "completion_ids"])
    ]


def make_prompts(
    samples: Sequence[SampleFacts],
    settings: PromptSettings,
    tokenizer: PreTrainedTokenizerBase,
    *,
    context: int,
    system: str,
    seed: int,
) -> list[list[int]]:
    """Return the prompt of each sample as token ids.

    Each is a function of the samples, the settings, the seed and its place alone. A conversation that
    would not fit loses its earliest turns.

    Args:
        samples: of the dataset, in order.
        settings: shares and words.
        tokenizer: with a chat template.
        context: most tokens of prompt and completion.
        system: system prompt of the dataset, used where the settings name none.
        seed: of the choices.

    Raises:
        InputError: if a share cannot be met: lengths too alike to tell efforts apart, nothing to make earlier
            turns of, or a context that holds them for less than half of the share.
    """
    plans = plan_prompts(samples, settings, system=system, seed=seed)
    asked = sum(bool(plan.earlier) for plan in plans)
    prompts: list[list[int]] = [[] for _ in samples]
    pending = list(range(len(samples)))
    while pending:
        too_long = []
        for start in range(0, len(pending), BATCH):
            part = pending[start : start + BATCH]
            encoded = encode_prompts(tokenizer, [messages_of(samples, i, plans[i]) for i in part])
            for i, ids in zip(part, encoded, strict=True):
                prompts[i] = ids
                if plans[i].earlier and len(ids) + samples[i].completion_tokens > context:
                    plans[i] = plans[i]._replace(earlier=plans[i].earlier[1:])
                    too_long.append(i)
        pending = too_long
    met = sum(bool(plan.earlier) for plan in plans)
    if met < LEAST_MET * asked:
        raise InputError(
            f"turns_share = {settings.turns_share} asks for {asked:,} conversations of several turns, and "
            f"only {met:,} fit into the context of {context:,} tokens: raise 'context', lower turns_share, "
            'or let earlier turns carry less with history = ["summaries"].'
        )
    return prompts


def plan_prompts(
    samples: Sequence[SampleFacts], settings: PromptSettings, *, system: str, seed: int
) -> list[PromptPlan]:
    """Draw what each prompt holds; see `make_prompts`."""
    thresholds = effort_thresholds(samples) if settings.effort_share else ()
    pools = _pools(samples, settings) if settings.turns_share else {}
    plans = []
    for index, sample in enumerate(samples):
        rng = random.Random(f"{seed}:prompt:{index}")
        chosen = system
        if settings.systems:
            chosen = "" if rng.random() < settings.no_system_share else rng.choice(settings.systems)
        effort = None
        if rng.random() < settings.effort_share:
            effort = EFFORTS[bisect_left(thresholds, sample.reasoning_tokens)]
        low = high = None
        if rng.random() < settings.limit_share:
            low, high = draw_limits(sample.steps, settings.limit_slack, rng)
        earlier: tuple[int, ...] = ()
        if rng.random() < settings.turns_share:
            earlier = _draw_earlier(samples, index, pools.get(_pool(sample, settings), ()), settings, rng)
        short = bool(earlier) and settings.turns_from == "numbers"
        plans.append(PromptPlan(chosen, effort, low, high, earlier, rng.choice(settings.history), short))
    return plans


def messages_of(samples: Sequence[SampleFacts], index: int, plan: PromptPlan) -> list[Message]:
    """Return the conversation up to the sample's own question."""
    sample = samples[index]
    messages = [Message("system", plan.system)] if plan.system else []
    for place, other in enumerate(plan.earlier):
        messages.append(Message("user", _question(samples[other], place, plan)))
        messages.append(render_history(parse(samples[other].completion), plan.history))
    messages.append(Message("user", _question(sample, len(plan.earlier), plan)))
    request = request_text(
        sample.language, effort=plan.effort, min_steps=plan.min_steps, max_steps=plan.max_steps
    )
    return with_request(messages, request)


def _question(sample: SampleFacts, place: int, plan: PromptPlan) -> str:
    """Return what a user asks in turn `place`."""
    short = plan.short and place > 0 and sample.follow_up is not None
    return sample.follow_up.text if short and sample.follow_up else sample.prompt


def draw_limits(steps: int, slack: float, rng: random.Random) -> tuple[int | None, int | None]:
    """Draw limits that a path of `steps` steps keeps and that are not far from it.

    Mostly a largest number alone, else a least one or both. A least number of 1 is not named: it says
    nothing.

    Returns:
        Least and largest number of steps; None is no limit.
    """
    high = rng.randint(steps, int(steps * (1 + slack)))
    low = rng.randint(-int(-steps // (1 + slack)), steps)
    kind = rng.random()
    if kind < 0.7 or low == 1:
        return None, high
    return (low, high) if kind < 0.85 else (low, None)


def effort_thresholds(samples: Sequence[SampleFacts]) -> tuple[int, ...]:
    """Return the most reasoning tokens of each effort but the last: the fifths of all samples.

    Raises:
        InputError: if lengths are too alike to be told apart.
    """
    lengths = sorted(sample.reasoning_tokens for sample in samples)
    count = len(EFFORTS)
    thresholds = tuple(lengths[max(0, len(lengths) * part // count - 1)] for part in range(1, count))
    if len(set(thresholds)) < len(thresholds) or thresholds[-1] == lengths[-1]:
        raise InputError(
            f"effort_share cannot be met: the {len(lengths):,} paths of the dataset are too few or too alike "
            f"in length ({lengths[0]:,} to {lengths[-1]:,} reasoning tokens) to divide into {count} efforts. "
            "Sample paths of more lengths, or set effort_share = 0."
        )
    return thresholds


def _pool(sample: SampleFacts, settings: PromptSettings) -> str:
    """Return the name of the pool that a sample's earlier turns come from."""
    if settings.turns_from == "numbers":
        return "" if sample.follow_up is None else sample.follow_up.group
    return sample.family if settings.turns_from == "family" else ""


def _pools(samples: Sequence[SampleFacts], settings: PromptSettings) -> dict[str, list[int]]:
    """Return the samples that may be turns of one conversation.

    Raises:
        InputError: if no conversation can be made at all, or too few about the same numbers.
    """
    pools: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        pools[_pool(sample, settings)].append(index)
    if settings.turns_from == "numbers":
        pools.pop("", None)
        pools = {name: pool for name, pool in pools.items() if len({samples[i].prompt for i in pool}) > 1}
        found = sum(map(len, pools.values()))
        if found < LEAST_MET * len(samples):
            raise InputError(
                f"turns_share cannot be met: {found:,} of {len(samples):,} samples share their numbers "
                "with a question about another target, and half should. Make the problems with "
                '`--siblings 3`, or set turns_from = "any".'
            )
        return pools
    if all(len({samples[i].prompt for i in pool}) < 2 for pool in pools.values()):
        raise InputError(
            "turns_share cannot be met: a conversation needs two questions"
            + (" of the same family" if settings.turns_from == "family" else "")
            + ", and the dataset has no two. Set turns_share = 0"
            + (' or turns_from = "any".' if settings.turns_from == "family" else ".")
        )
    return pools


def _draw_earlier(
    samples: Sequence[SampleFacts],
    index: int,
    pool: Sequence[int],
    settings: PromptSettings,
    rng: random.Random,
) -> tuple[int, ...]:
    """Draw earlier turns whose questions are all different and not the sample's own."""
    wanted = rng.randint(1, settings.max_turns - 1)
    seen = {samples[index].prompt}
    chosen: list[int] = []
    if settings.turns_from == "numbers":  # few questions, perhaps with many paths each
        pool = [other for other in pool if samples[other].prompt not in seen]
        if not pool:
            return ()
    # Draws with replacement, some more than wanted: a pool may be large, and most questions differ.
    for _ in range(4 * wanted):
        other = rng.choice(pool)
        if samples[other].prompt not in seen:
            seen.add(samples[other].prompt)
            chosen.append(other)
        if len(chosen) == wanted:
            break
    return tuple(chosen)
