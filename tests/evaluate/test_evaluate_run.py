"""The anytime evaluation against an engine that only counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from steiner.core import Grading, InputError, Move, Problem, Progress, ReasoningPath, Step, StepBudget
from steiner.evaluate.run import evaluate
from steiner.protocol import Parsed, parse, render

PROBLEMS = [
    Problem(question="How many?", answer="B", choices=("one", "two"), grading=Grading.CHOICE),
    Problem(question="2 + 3?", answer="5"),
]


class Written(NamedTuple):
    completion_ids: tuple[int, ...]
    parsed: Parsed
    reasoning_tokens: int


class Counting:
    """Needs as many steps as the place of a question in the list, plus two; answers with their number."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.budgets: list[StepBudget] = []

    def generate(
        self, questions: Sequence[str], budget: StepBudget, progress: Progress | None = None
    ) -> list[Written]:
        self.asked.append(tuple(questions))
        self.budgets.append(budget)
        return [written(min(budget.max_steps or 99, i + 2)) for i in range(len(questions))]

    def answer_after(
        self, questions: Sequence[str], completions: Sequence[Sequence[int]], steps: int
    ) -> list[Written]:
        self.asked.append(tuple(questions))
        assert all(len(ids) > steps for ids in completions)
        return [written(steps) for _ in questions]


def written(steps: int) -> Written:
    """Return a completion of so many steps, the third saying what the first said."""
    step = [Step(name=str(i % 2), thought="t", summary="s", reflection=str(i)) for i in range(steps)]
    moves = [Move.PROCEED if i % 2 else Move.BACKTRACK for i in range(1, steps)]
    path = ReasoningPath(steps=tuple(step), moves=tuple(moves), answer=str(steps))
    return Written(tuple(range(steps)), parse(render(path)), 10 * steps)


def right(problem: Problem, answer: str) -> bool:
    return answer == "2"


def test_the_options_are_part_of_what_is_asked():
    engine = Counting()
    evaluate(engine, PROBLEMS, [4], right)
    assert engine.asked == [("How many?\nA. one\nB. two", "2 + 3?")]


def test_one_long_completion_serves_every_limit():
    engine = Counting()
    samples, whole = evaluate(engine, PROBLEMS, [4, 1, 2, 2], right, max_reasoning_tokens=99)
    assert engine.budgets == [StepBudget(max_steps=4, max_reasoning_tokens=99)]
    prompts = engine.asked[0]
    assert engine.asked == [prompts, prompts, prompts[1:]], "what ended in time is not asked again"
    assert [(s.max_steps, s.problem_id, s.steps) for s in samples] == [
        (limit, problem.id, min(limit, need))
        for limit in (1, 2, 4)
        for problem, need in zip(PROBLEMS, (2, 3), strict=True)
    ]
    assert [s.right for s in samples] == [False, False, True, True, True, False]
    assert [len(one.parsed.steps) for one in whole] == [2, 3]
    assert samples[-1].repeated_steps == 1
    assert samples[-1].backtracks == 1
    assert samples[-1].reasoning_tokens == 30
    assert samples[-1].well_formed


@pytest.mark.parametrize(("problems", "limits"), [([], [1]), (PROBLEMS, [])])
def test_nothing_to_evaluate_is_an_error(problems, limits):
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(Counting(), problems, limits, right)
