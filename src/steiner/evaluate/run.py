"""Measure a model under several step limits with one long completion per problem.

Each problem is answered once with the largest limit. For a smaller limit the same completion is broken off at
that step and only the answer is generated (`steiner.evaluate.anytime`), so the whole curve costs little more
than its last point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steiner.core import InputError, Problem, Progress, StepBudget
from steiner.evaluate.anytime import Completed, Engine, by_question
from steiner.evaluate.failures import attempt_of, failure_of, repeated_steps
from steiner.evaluate.records import SampleResult
from steiner.protocol.prompt import Prompt

IsRight = Callable[[Problem, str], bool]


def evaluate(
    engine: Engine,
    problems: Sequence[Problem],
    limits: Sequence[int],
    is_right: IsRight,
    *,
    max_reasoning_tokens: int | None = None,
    other_limits: StepBudget | None = None,
    prompts: Sequence[Prompt] | None = None,
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
        prompts: parallel to `problems`: conversations that end with asking them. By default each is asked by
            itself.
        progress: is told how many problems are done.

    Returns:
        One sample per limit and problem, limits ascending; and the completions under the largest limit.

    Raises:
        InputError: if there is nothing to measure.
    """
    if not problems or not limits:
        raise InputError("There is nothing to evaluate: give at least one problem and one step limit.")
    questions = [problem.blind().prompt for problem in problems] if prompts is None else prompts
    largest = max(limits)
    own = {"max_steps": largest, "max_reasoning_tokens": max_reasoning_tokens}
    budget = (other_limits or StepBudget()).model_copy(update=own)
    samples: dict[int, list[SampleResult]] = {limit: [] for limit in sorted(set(limits))}
    whole: list[Completed] = []
    asked = zip(problems, by_question(engine, questions, budget, limits, progress), strict=True)
    for problem, found in asked:
        graded = _once(is_right)
        for limit, completed in found.items():
            samples[limit].append(sample_result(problem, completed, limit, graded, max_reasoning_tokens))
        whole.append(found[largest])
    return [sample for some in samples.values() for sample in some], whole


def _once(is_right: IsRight) -> IsRight:
    """Return a grader that grades each answer of a problem once: under many limits it is the same."""
    known: dict[str, bool] = {}

    def graded(problem: Problem, answer: str) -> bool:
        if answer not in known:
            known[answer] = is_right(problem, answer)
        return known[answer]

    return graded


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
