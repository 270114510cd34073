"""Completions under step control, graded and rewarded step by step: what one RL update learns from."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steiner.core import Problem, StepBudget
from steiner.decode.control import Facts, Limits, Mode, Rest, StepControl
from steiner.decode.generate import Completion, generate
from steiner.protocol import ControlIds, ControlToken
from steiner.train.advantages import outcome_advantages, process_advantages, token_advantages
from steiner.train.locate_steps import NodeIndex, StepReader, locate_steps
from steiner.train.rewards import GeneratedStep, step_rewards
from steiner.train.settings import RlSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IsRight = Callable[[Problem, str], bool]


@dataclass(frozen=True)
class RlProblem:
    """A problem that RL trains on."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    nodes: NodeIndex | None
    """None where steps are not rewarded."""


@dataclass(frozen=True)
class Rollout:
    """One completion and what it earned."""

    completion: Completion
    budget: StepBudget
    right: bool
    steps: tuple[GeneratedStep, ...]
    step_rewards: tuple[float, ...]
    chosen: NDArray[np.bool_]
    """Shape (T,): whether the model chose the token; False where step control left only one."""


class RolloutWriter:
    """Writes and judges groups of completions."""

    def __init__(
        self,
        settings: RlSettings,
        problems: Sequence[RlProblem],
        is_right: IsRight,
        reader: StepReader | None,
    ) -> None:
        """Draw from `problems`; `reader` is None where steps are not rewarded."""
        self._settings = settings
        self._problems = problems
        self._is_right = is_right
        self._reader = reader

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, indices: Sequence[int], update: int
    ) -> list[Rollout]:
        """Return one completion per index; neighbours with the same index are a group and share a budget.

        The budgets and the sampling depend on the seed and `update` alone.
        """
        s = self._settings
        rng = random.Random(f"{s.seed}:rollout:{update}")
        budgets: list[StepBudget] = []
        for _, group in groupby(indices):
            limit = rng.randint(s.min_steps, s.max_steps)
            budget = StepBudget(max_steps=limit, max_reasoning_tokens=s.max_reasoning_tokens)
            budgets += [budget for _ in group]
        completions = generate(
            model,
            tokenizer,
            [self._problems[i].prompt_ids for i in indices],
            budgets,
            mode=Mode.STRICT,
            temperature=s.temperature,
            seed=rng.getrandbits(32),
            max_answer_tokens=s.max_answer_tokens,
            batch_size=len(indices),
        )
        control = StepControl(ControlIds.from_tokenizer(tokenizer), Mode.STRICT, s.max_answer_tokens)
        return [
            self._judge(self._problems[i], completion, budget, control)
            for i, completion, budget in zip(indices, completions, budgets, strict=True)
        ]

    def _judge(
        self, item: RlProblem, completion: Completion, budget: StepBudget, control: StepControl
    ) -> Rollout:
        parsed = completion.parsed
        steps: list[GeneratedStep] = []
        if self._reader is not None and item.nodes is not None:
            steps = locate_steps(item.problem, parsed.steps, parsed.moves, item.nodes, self._reader)
        return Rollout(
            completion=completion,
            budget=budget,
            right=self._is_right(item.problem, parsed.answer),
            steps=tuple(steps),
            step_rewards=tuple(step_rewards(steps, self._settings.rewards)),
            chosen=chosen_tokens(completion.completion_ids, budget, control),
        )


def group_advantages(
    rollouts: Sequence[Rollout], settings: RlSettings, ids: ControlIds
) -> list[NDArray[np.float64]]:
    """Return the advantage of each token of each completion of one group."""
    outcomes = settings.outcome_weight * outcome_advantages([float(r.right) for r in rollouts])
    steps = process_advantages([r.step_rewards for r in rollouts])
    return [
        token_advantages(
            step_index(rollout.completion.completion_ids, len(steps_S), ids),
            settings.step_weight * steps_S,
            outcome,
        )
        for rollout, steps_S, outcome in zip(rollouts, steps, outcomes, strict=True)
    ]


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
