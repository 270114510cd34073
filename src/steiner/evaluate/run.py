"""Measure a model under several step limits with one long completion per problem.

Each problem is answered once with the largest limit. For a smaller limit the same completion is broken off at
that step and only the answer is generated, so the whole curve costs little more than its last point. With
temperature 0 that is exactly what a run of its own with the smaller limit would write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from steiner.core import InputError, Problem, Progress, StepBudget
from steiner.evaluate.failures import attempt_of, failure_of, repeated_steps
from steiner.evaluate.records import SampleResult
from steiner.protocol import Parsed

IsRight = Callable[[Problem, str], bool]


class Completed(Protocol):
    """What an engine wrote for one question."""

    @property
    def completion_ids(self) -> tuple[int, ...]:
        """Token ids, end of text included."""
        ...

    @property
    def parsed(self) -> Parsed:
        """The completion read by the protocol."""
        ...

    @property
    def reasoning_tokens(self) -> int:
        """Tokens from START to END, both included."""
        ...


class Engine(Protocol):
    """What evaluation asks of a model, local or remote."""

    def generate(
        self, questions: Sequence[str], budget: StepBudget, progress: Progress | None = None
    ) -> Sequence[Completed]:
        """Think within `budget` and answer, one completion per question."""
        ...

    def answer_after(
        self, questions: Sequence[str], completions: Sequence[Sequence[int]], steps: int
    ) -> Sequence[Completed]:
        """Answer from the first `steps` steps of each completion."""
        ...


def evaluate(
    engine: Engine,
    problems: Sequence[Problem],
    limits: Sequence[int],
    is_right: IsRight,
    *,
    max_reasoning_tokens: int | None = None,
    other_limits: StepBudget | None = None,
    progress: Progress | None = None,
) -> tuple[list[SampleResult], list[Completed]]:
    """Measure accuracy against allowed steps.

    Args:
        engine: the model.
        problems: what to ask.
        limits: step limits; the largest one is generated, the others follow from it.
        is_right: grades an answer.
        max_reasoning_tokens: limit of thinking in tokens, for all limits alike.
        other_limits: further limits for all alike; its `max_steps` and `max_reasoning_tokens` do not count.
        progress: is told how many problems are done.

    Returns:
        One sample per limit and problem, limits ascending; and the completions under the largest limit.

    Raises:
        InputError: if there is nothing to measure.
    """
    if not problems or not limits:
        raise InputError("There is nothing to evaluate: give at least one problem and one step limit.")
    questions = [problem.blind().prompt for problem in problems]
    largest = max(limits)
    own = {"max_steps": largest, "max_reasoning_tokens": max_reasoning_tokens}
    budget = (other_limits or StepBudget()).model_copy(update=own)
    whole = list(engine.generate(questions, budget, progress))
    samples: list[SampleResult] = []
    for limit in sorted(set(limits)):
        completed = whole if limit == largest else _broken_off(engine, questions, whole, limit)
        samples += [
            sample_result(problem, one, limit, is_right, max_reasoning_tokens)
            for problem, one in zip(problems, completed, strict=True)
        ]
    return samples, whole


def sample_result(
    problem: Problem,
    completed: Completed,
    max_steps: int | None,
    is_right: IsRight,
    max_reasoning_tokens: int | None = None,
) -> SampleResult:
    """Grade one completion; a wrong one gets its class."""
    parsed = completed.parsed
    right = bool(parsed.answer) and is_right(problem, parsed.answer)
    attempt = attempt_of(
        parsed,
        reasoning_tokens=completed.reasoning_tokens,
        max_steps=max_steps,
        max_reasoning_tokens=max_reasoning_tokens,
    )
    return SampleResult(
        problem_id=problem.id,
        max_steps=max_steps,
        right=right,
        well_formed=parsed.complete and not parsed.violations,
        steps=len(parsed.steps),
        backtracks=sum(move == "backtrack" for move in parsed.moves),
        reasoning_tokens=completed.reasoning_tokens,
        answer=parsed.answer,
        repeated_steps=repeated_steps(parsed.steps),
        failure=None if right else failure_of(problem, attempt),
    )


def _broken_off(
    engine: Engine, questions: Sequence[str], whole: Sequence[Completed], limit: int
) -> list[Completed]:
    """Return what each question gets under a smaller limit; what had ended by itself stays as it is."""
    longer = [i for i, completed in enumerate(whole) if len(completed.parsed.steps) > limit]
    result = list(whole)
    if longer:
        answered = engine.answer_after(
            [questions[i] for i in longer], [whole[i].completion_ids for i in longer], limit
        )
        for index, completed in zip(longer, answered, strict=True):
            result[index] = completed
    return result
