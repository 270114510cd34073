"""Training conversations about the same numbers: short follow-ups, loss on the last turn, no test problem."""

from __future__ import annotations

import random

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.cli.common import follow_up
from steiner.core import InputError, Move, Problem, ReasoningPath
from steiner.problems.countdown import CountdownSettings, Split, generate, make_problem
from steiner.problems.countdown_words import follow_up_text, parse_question
from steiner.problems.source import check_disjoint
from steiner.protocol import ControlIds, ControlToken, HistoryPolicy, encode_path, parse_ids, render
from steiner.teacher import SymbolicCountdownTeacher
from steiner.train.data import path_examples
from steiner.train.prompt_settings import PromptSettings
from steiner.train.prompts import SampleFacts, make_prompts, messages_of, plan_prompts

SIZES = CountdownSettings(count=3, high=15, max_result=40, target_high=40, language="mixed", siblings=3)
PROBLEMS = list(generate(SIZES, 60))
TESTS = [
    problem
    for split in (Split.NEW_INPUTS, Split.HELDOUT_TARGETS)
    for problem in generate(SIZES.model_copy(update={"language": "zh"}), 200, split)
]
TALK = PromptSettings(turns_share=1.0, turns_from="numbers", max_turns=4)


def path_of(problem: Problem) -> ReasoningPath:
    trace = SymbolicCountdownTeacher().draft(problem, random.Random(0))
    steps = tuple(item.step for item in trace.steps)
    return ReasoningPath(steps=steps, moves=(Move.PROCEED,) * (len(steps) - 1), answer=trace.answer)


def facts_of(problem: Problem, tokens: int = 60) -> SampleFacts:
    path = path_of(problem)
    return SampleFacts(
        prompt=problem.question, completion=render(path), language=problem.language, family=problem.task,
        steps=len(path.steps), reasoning_tokens=50, completion_tokens=tokens,
        follow_up=follow_up(problem.question),
    )  # fmt: skip


SAMPLES = [facts_of(problem) for problem in PROBLEMS]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.sampled_from(list(HistoryPolicy)))
def test_every_turn_is_a_training_problem_about_the_same_numbers(seed, policy):
    talk = TALK.model_copy(update={"history": (policy,)})
    plans = plan_prompts(SAMPLES, talk, system="", seed=seed)
    asked_in_all: list[Problem] = []
    for index, plan in enumerate(plans):
        questions = [m.content for m in messages_of(SAMPLES, index, plan) if m.role == "user"]
        problem = PROBLEMS[index]
        first = parse_question(questions[0])
        assert first is not None
        assert (list(first.numbers), first.language) == (problem.facts["numbers"], problem.language)
        turns = [PROBLEMS[other] for other in plan.earlier] + [problem]
        targets = [turn.facts["target"] for turn in turns]
        assert first.target == targets[0]
        assert questions[1:] == [follow_up_text(target, problem.language) for target in targets[1:]]
        assert len(set(targets)) == len(targets)
        asked_in_all += [make_problem(first.numbers, target, SIZES.limits) for target in targets]
    check_disjoint(asked_in_all, TESTS)
    assert sum(bool(plan.earlier) for plan in plans) > len(plans) // 2


def test_a_test_problem_in_a_conversation_would_be_found():
    known = make_problem(PROBLEMS[0].facts["numbers"], PROBLEMS[0].facts["target"])
    with pytest.raises(InputError, match="1 test questions occur"):
        check_disjoint(PROBLEMS, [*TESTS, known])


@pytest.mark.parametrize("policy", list(HistoryPolicy))
def test_loss_is_on_the_last_turn_alone(tokenizer, policy):
    paths = [encode_path(tokenizer, path_of(problem)).ids for problem in PROBLEMS]
    samples = [
        sample._replace(completion_tokens=len(ids)) for sample, ids in zip(SAMPLES, paths, strict=True)
    ]
    talk = TALK.model_copy(update={"history": (policy,)})
    prompts = make_prompts(samples, talk, tokenizer, context=9999, system="", seed=0)
    rows = Dataset.from_list([{"prompt_ids": [0], "completion_ids": list(ids)} for ids in paths])
    start = ControlIds.from_tokenizer(tokenizer)[ControlToken.START]
    several = 0
    examples = path_examples(rows, completion_only=True, prompts=prompts)
    for problem, prompt, ids, example in zip(PROBLEMS, prompts, paths, examples, strict=True):
        assert np.flatnonzero(example.loss).tolist() == list(range(len(prompt), len(prompt) + len(ids)))
        learned = example.ids[example.loss].tolist()
        assert learned.count(start) == 1
        assert parse_ids(tokenizer, learned).answer.endswith(f"= {problem.facts['target']}")
        several += prompt.count(start)
    assert (several > 0) is (policy is HistoryPolicy.KEEP)


def test_a_conversation_that_loses_its_turns_begins_with_a_whole_question():
    plan = plan_prompts(SAMPLES, TALK, system="", seed=0)[0]
    cut = messages_of(SAMPLES, 0, plan._replace(earlier=()))
    assert [message.content for message in cut] == [PROBLEMS[0].question]


def test_too_few_questions_about_the_same_numbers_are_refused():
    lonely = [facts_of(problem) for problem in generate(SIZES.model_copy(update={"siblings": 0}), 10)]
    with pytest.raises(InputError, match=r"0 of 10 samples.*--siblings 3"):
        plan_prompts(lonely, TALK, system="", seed=0)
    unread = [sample._replace(follow_up=None) for sample in SAMPLES]
    with pytest.raises(InputError, match="0 of 60 samples"):
        plan_prompts(unread, TALK, system="", seed=0)
