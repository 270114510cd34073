"""Completions under step control, graded and rewarded step by step: what one RL update learns from."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steiner.core import InputError, Problem, StepBudget
from steiner.decode.control import Facts, Limits, Mode, Rest, StepControl
from steiner.decode.generate import Completion
from steiner.graph.cluster import ClusterSettings
from steiner.protocol import ControlIds, ControlToken
from steiner.train.advantages import group_advantages, token_advantages
from steiner.train.continuations import Wanted, choose_boundaries, values_of
from steiner.train.locate_steps import Places, StepReader
from steiner.train.places import PlaceFinder
from steiner.train.rewards import Attempt, Earned, GeneratedStep, MonteCarloReward, earn, total
from steiner.train.rollout_engine import Batch, LocalEngine, RolloutEngine
from steiner.train.settings import RlSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IsRight = Callable[[Problem, str], bool]

FIELD_ENDS = (
    ControlToken.NAME_END,
    ControlToken.THOUGHT_END,
    ControlToken.SUMMARY_END,
    ControlToken.REFLECTION_END,
)


@dataclass(frozen=True)
class RlProblem:
    """A problem that RL trains on."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    graph: bytes
    """Its `StepGraph` as JSON."""


@dataclass(frozen=True)
class Rollout:
    """One completion and what it earned."""

    group: int
    """Number of its prompt in the whole training."""
    completion: Completion
    budget: StepBudget
    right: bool
    steps: tuple[GeneratedStep, ...]
    """Parallel to the steps of the completion."""
    earned: tuple[Earned, ...]
    """Parallel to the rewards of the settings, unweighted."""
    chosen: NDArray[np.bool_]
    """Shape (T,): whether the model chose the token; False where step control left only one."""
    truncated: bool
    """Whether a token limit cut the thinking or the answer off."""
    logprobs: tuple[float, ...] | None = None
    """Of each token by the weights that wrote it, before temperature and step control, in nats; None where
    the trainer wrote it itself."""

    def earned_in_all(self, settings: RlSettings) -> Earned:
        """Return the weighted sum of the rewards."""
        return total(self.earned, settings.rewards, len(self.steps))


class RolloutWriter:
    """Writes and judges groups of completions."""

    def __init__(
        self,
        settings: RlSettings,
        problems: Sequence[RlProblem],
        is_right: IsRight,
        reader: StepReader | None,
        clustering: ClusterSettings | None = None,
        engine: RolloutEngine | None = None,
    ) -> None:
        """Draw from `problems`.

        Args:
            settings: of the training.
            problems: prompt number n of the training asks number n modulo their number.
            is_right: grades an answer.
            reader: reads steps into exact states; None: they are found by what they say.
            clustering: how the graphs of the run were clustered.
            engine: writes completions; by default the model in training does, as it writes the continuations
                for the `montecarlo` reward in any case.
        """
        self._settings = settings
        self._local = LocalEngine(settings)
        self.engine: RolloutEngine = engine or self._local
        self._problems = problems
        self._is_right = is_right
        self._places = PlaceFinder(problems, reader, clustering or ClusterSettings())
        self.extra_tokens = 0
        """Tokens written to measure values, so far."""

    @property
    def needs_model(self) -> bool:
        """Whether `write` needs the model with all its weights."""
        return self.engine.needs_model or self._montecarlo is not None

    @property
    def _montecarlo(self) -> MonteCarloReward | None:
        found = (r for r in self._settings.rewards if isinstance(r, MonteCarloReward) and r.weight)
        return next(found, None)

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[int]
    ) -> list[Rollout]:
        """Return one completion per prompt number; neighbours with the same number are a group.

        What a group becomes depends on the seed, its number and the model alone, not on who shares the batch.
        """
        s = self._settings
        size = s.group
        groups = list(prompts[::size])
        if [number for number in groups for _ in range(size)] != list(prompts):
            raise ValueError(f"prompts {list(prompts)} are no groups of {size}")
        budgets: list[StepBudget] = []
        seeds: list[int] = []
        for number in groups:
            rng = random.Random(f"{s.seed}:rollout:{number}")
            limit = rng.randint(s.min_steps, s.max_steps)
            budgets += [StepBudget(max_steps=limit, max_reasoning_tokens=s.max_reasoning_tokens)] * size
            seeds += [rng.getrandbits(63) for _ in range(size)]
        items = [self._item(number) for number in prompts]
        batch = Batch([item.prompt_ids for item in items], budgets, seeds)
        completions, logprobs = self.engine.write(model, tokenizer, batch)
        right = [
            self._is_right(item.problem, one.parsed.answer)
            for item, one in zip(items, completions, strict=True)
        ]
        values = self._values(model, tokenizer, prompts, completions, budgets, right)
        control = StepControl(ControlIds.from_tokenizer(tokenizer), Mode.STRICT, s.max_answer_tokens)
        rollouts: list[Rollout] = []
        for begin, number in zip(range(0, len(prompts), size), groups, strict=True):
            members = slice(begin, begin + size)
            rollouts += self._judge(
                number, completions[members], budgets[begin], right[members], values[members], control
            )
        if logprobs is None:
            return rollouts
        return [replace(r, logprobs=one) for r, one in zip(rollouts, logprobs, strict=True)]

    def _item(self, number: int) -> RlProblem:
        return self._problems[number % len(self._problems)]

    def _values(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[int],
        completions: Sequence[Completion],
        budgets: Sequence[StepBudget],
        right: Sequence[bool],
    ) -> list[tuple[float | None, ...]]:
        """Return the values of each completion's boundaries; empty where no reward asks for them."""
        asked = self._montecarlo
        if asked is None:
            return [()] * len(completions)
        size = self._settings.group
        step_end = ControlIds.from_tokenizer(tokenizer)[ControlToken.STEP_END]
        wanted: list[Wanted] = []
        for begin in range(0, len(prompts), size):
            group = [(one.completion_ids, len(one.parsed.steps)) for one in completions[begin : begin + size]]
            rng = random.Random(f"{self._settings.seed}:continuations:{prompts[begin]}")
            wanted += choose_boundaries(begin, group, step_end, asked, rng)
        batch = Batch(
            [self._item(prompts[one.member]).prompt_ids for one in wanted],
            [budgets[one.member] for one in wanted],
            [one.seed for one in wanted],
            [one.prefix for one in wanted],
        )
        written = self._local.write(model, tokenizer, batch).completions
        self.extra_tokens += sum(
            len(c.completion_ids) - len(one.prefix) for c, one in zip(written, wanted, strict=True)
        )
        hits = [
            self._is_right(self._item(prompts[one.member]).problem, c.parsed.answer)
            for c, one in zip(written, wanted, strict=True)
        ]
        ids = [(c.completion_ids, len(c.parsed.steps)) for c in completions]
        return values_of(ids, step_end, right, size, wanted, hits)

    def _judge(
        self,
        number: int,
        completions: Sequence[Completion],
        budget: StepBudget,
        right: Sequence[bool],
        values: Sequence[tuple[float | None, ...]],
        control: StepControl,
    ) -> list[Rollout]:
        """Grade one group and find its steps in the graph."""
        places: Places = self._places[number % len(self._problems)]
        located = places.locate([(one.parsed.steps, one.parsed.moves) for one in completions])
        rollouts = []
        for one, steps, is_right, measured in zip(completions, located, right, values, strict=True):
            attempt = Attempt(steps, is_right, places.question, places.chance, measured)
            chosen = chosen_tokens(one.completion_ids, budget, control)
            rollouts.append(
                Rollout(
                    group=number,
                    completion=one,
                    budget=budget,
                    right=is_right,
                    steps=steps,
                    earned=earn(attempt, self._settings.rewards),
                    chosen=chosen,
                    truncated=is_truncated(one.completion_ids, chosen, budget, control.ids),
                )
            )
        return rollouts


class Lesson(NamedTuple):
    """What the completions of one group teach."""

    advantages: list[NDArray[np.float64]]
    """Of each token of each completion."""
    flat: bool
    """Whether all advantages are 0."""
    truncated: bool
    """Whether every completion was cut off by a token limit."""
    masked: bool
    """Whether the group is kept out of the loss."""


def group_lesson(rollouts: Sequence[Rollout], settings: RlSettings, ids: ControlIds) -> Lesson:
    """Return what one group teaches."""
    parts = group_advantages(
        [r.earned for r in rollouts],
        [len(r.steps) for r in rollouts],
        settings.rewards,
        aggregation=settings.aggregation,
        divide_by_std=settings.divide_by_std,
    )
    tokens = [
        token_advantages(
            step_index(r.completion.completion_ids, len(r.steps), ids), part.steps, part.whole, part.end
        )
        for r, part in zip(rollouts, parts, strict=True)
    ]
    flat = all(part.flat for part in parts)
    truncated = all(r.truncated for r in rollouts)
    masked = (flat and settings.mask_flat) or (truncated and settings.mask_truncated)
    return Lesson(tokens, flat, truncated, masked)


def step_index(completion_ids: Sequence[int], steps: int, ids: ControlIds) -> list[int]:
    """Return the number of the step that each token belongs to, -1 outside steps; numbers stop at `steps`."""
    start, end = ids[ControlToken.STEP_START], ids[ControlToken.STEP_END]
    index: list[int] = []
    current, inside = -1, False
    for token in completion_ids:
        if token == start:
            current, inside = current + 1, True
        index.append(current if inside and current < steps else -1)
        if token == end:
            inside = False
    return index


def chosen_tokens(
    completion_ids: Sequence[int], budget: StepBudget, control: StepControl
) -> NDArray[np.bool_]:
    """Tell for each token whether the model chose it, or step control left nothing else.

    A forced token says nothing about the model: its gradient would teach it to stop exactly where a limit
    happened to be.
    """
    codes = np.array([control.codes.get(token, 0) for token in completion_ids], dtype=np.int64)
    count = len(codes)
    if not count:
        return np.zeros(0, dtype=np.bool_)
    place = np.where(codes > 0, np.arange(count), -1)
    last = np.concatenate(([-1], np.maximum.accumulate(place)[:-1]))  # last mark before each token
    step_end = control.codes[control.ids[ControlToken.STEP_END]]
    before = np.arange(count)
    facts = Facts(
        mark=np.where(last >= 0, codes[last], 0),
        trailing=before - 1 - last,
        steps=np.concatenate(([0], np.cumsum(codes == step_end)[:-1])),
        length=before,
    )
    decided = control.decide(facts, Limits(*(limit.repeat(count) for limit in Limits.of([budget]))))
    forced = np.array([one.rest is Rest.NOTHING and len(one.ids) == 1 for one in control.sets])
    return ~forced[decided]


def is_truncated(
    completion_ids: Sequence[int], chosen: NDArray[np.bool_], budget: StepBudget, ids: ControlIds
) -> bool:
    """Tell whether a token limit ended something: a field, the answer, or the thinking before its step limit.

    An END that the step limit forces is no truncation: the model knew nothing else was possible when its last
    step was whole.
    """
    forced = [token for token, free in zip(completion_ids, chosen, strict=True) if not free]
    cut = {ids.eos, *(ids[token] for token in FIELD_ENDS)}
    if not cut.isdisjoint(forced):
        return True
    steps = list(completion_ids).count(ids[ControlToken.STEP_END])
    return ids[ControlToken.END] in forced and (budget.max_steps is None or steps < budget.max_steps)


def local_share(completions: int, group: int, processes: int) -> int:
    """Return how many completions each process writes.

    Raises:
        InputError: if a group would have to be divided.
    """
    if completions % (group * processes):
        raise InputError(
            f"{completions // group} prompts cannot be shared by {processes} processes: a group stays on one "
            "process, so make 'prompts' a multiple of the number of processes."
        )
    return completions // processes
