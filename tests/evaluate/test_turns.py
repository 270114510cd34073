"""Conversations about the same numbers, against an engine that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError, Problem, ReasoningPath, Step, StepBudget
from steiner.evaluate.run import evaluate
from steiner.evaluate.turns import Conversation, conversations, converse
from steiner.problems.countdown import CountdownSettings, generate, make_problem, reaches
from steiner.problems.countdown_words import follow_up_text, parse_question
from steiner.protocol import HistoryPolicy, Message, Parsed, parse, render
from steiner.protocol.prompt import Prompt

SIZES = CountdownSettings(count=3, high=15, max_result=40, language="mixed")
PROBLEMS = list(generate(SIZES, 40))


class Written(NamedTuple):
    completion_ids: tuple[int, ...]
    parsed: Parsed
    reasoning_tokens: int


class Echo:
    """Answers with the number of the call; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[Prompt]] = []

    def generate(self, questions: Sequence[Prompt], budget: StepBudget, progress=None) -> list[Written]:
        self.asked.append(list(questions))
        step = Step(name="n", thought="t", summary=f"call {len(self.asked)}", reflection="r")
        path = ReasoningPath(steps=(step,), moves=(), answer=str(len(self.asked)))
        return [Written((1,), parse(render(path)), 7) for _ in questions]

    def answer_after(self, questions, completions, steps) -> list[Written]:
        raise AssertionError("one step is never too long")


@given(st.integers(1, 6), st.integers(0, 99))
def test_all_turns_are_about_the_problem_s_numbers_and_end_with_it(turns, seed):
    for problem, asked in zip(PROBLEMS, conversations(PROBLEMS, turns, seed), strict=True):
        numbers = tuple(problem.facts["numbers"])
        assert 1 <= len(asked.questions) <= turns
        assert asked.targets[-1] == problem.facts["target"]
        assert len(set(asked.targets)) == len(asked.targets) == len(asked.questions)
        assert all(reaches(numbers, target) for target in asked.targets)
        first = parse_question(asked.questions[0])
        assert first == (numbers, asked.targets[0], problem.language)
        follow_ups = [follow_up_text(target, problem.language) for target in asked.targets[1:]]
        assert list(asked.questions[1:]) == follow_ups


def test_conversations_are_repeatable_and_follow_the_seed():
    assert conversations(PROBLEMS, 3, 0) == conversations(PROBLEMS, 3, 0) != conversations(PROBLEMS, 3, 1)
    assert conversations(PROBLEMS[:1] * 2, 3, 0)[0] == conversations(PROBLEMS[:1] * 2, 3, 0)[1]


def test_one_turn_is_the_problem_alone():
    assert [one.questions for one in conversations(PROBLEMS, 1, 0)] == [(p.question,) for p in PROBLEMS]


@pytest.mark.parametrize(
    ("policy", "carried"), [("summaries", "- call 1\n\n1"), ("drop", "1"), ("keep", "1")]
)
def test_the_model_s_own_answers_are_carried_by_the_policy(policy, carried):
    engine = Echo()
    asked = [Conversation(("Make 8 from 3 5.", "And 15?", "And 2?"), (8, 15, 2)), Conversation(("Q",), (1,))]
    first, second = converse(engine, asked, StepBudget(), HistoryPolicy(policy))
    assert second == (Message("user", "Q"),)
    assert [message.role for message in first] == ["user", "assistant", "user", "assistant", "user"]
    assert [m.content for m in first if m.role == "user"] == ["Make 8 from 3 5.", "And 15?", "And 2?"]
    assert first[1].content == carried
    assert (first[1].reasoning is not None) is (policy == "keep")
    assert engine.asked[0] == [first[:1]]
    assert engine.asked[1] == [first[:3]]


def test_the_last_turn_alone_is_graded():
    problems = PROBLEMS[:3]
    engine = Echo()
    prompts = converse(engine, conversations(problems, 3, 0), StepBudget(), HistoryPolicy.DROP)
    samples, _ = evaluate(engine, problems, [1], lambda p, answer: answer == "3", prompts=prompts)
    assert [sample.problem_id for sample in samples] == [p.id for p in problems]
    assert all(sample.right for sample in samples)
    assert engine.asked[-1] == prompts


def test_other_tasks_have_no_other_target():
    with pytest.raises(InputError, match="no task"):
        conversations([Problem(question="2 + 3?", answer="5")], 2, 0)
    with pytest.raises(InputError, match="at least 1"):
        conversations([make_problem([3, 5, 7], 22)], 0, 0)
