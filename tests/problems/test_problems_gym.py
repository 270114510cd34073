"""Problems of reasoning-gym, graded by its own scorers."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Grading, InputError, Problem
from steiner.problems import gym
from steiner.problems.grading import grade

pytest.importorskip("reasoning_gym")
NAMES = ["chain_sum", "countdown", "gcd", "rearc", "word_ladder", "zebra_puzzles"]


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_scores_full_after_a_round_trip_through_json(name: str) -> None:
    for problem in gym.generate(name, 2, seed=3):
        stored = Problem.model_validate_json(problem.model_dump_json())
        assert stored.id == problem.id
        assert grade(stored, problem.answer).right
        assert not grade(stored, "I do not know").right
        assert (stored.grading, stored.task) == (Grading.TASK, f"reasoning_gym/{name}")


def test_the_blind_view_has_no_answer() -> None:
    problem = next(gym.generate("zebra_puzzles", 1))
    assert problem.scoring["answer"] == problem.answer
    assert "scoring" not in problem.blind().model_dump()
    assert problem.blind().facts == {}


def test_markdown_around_the_answer_is_no_fault() -> None:
    problem = next(gym.generate("zebra_puzzles", 1, seed=1))
    for text in (f"**{problem.answer}**", f"The answer is: {problem.answer}", f"\\boxed{{{problem.answer}}}"):
        assert grade(problem, text).right


def test_partial_credit_is_not_success() -> None:
    problem = next(gym.generate("countdown", 1, seed=1))
    wrong = " + ".join(map(str, problem.scoring["metadata"]["numbers"]))
    verdict = grade(problem, wrong)
    assert not verdict.right
    assert 0 < float(verdict.reason.removeprefix("score ")) < 1


def test_problems_depend_on_seed_and_index_alone() -> None:
    ten = [p.id for p in gym.generate("chain_sum", 10, seed=7)]
    assert len(set(ten)) == 10
    assert [p.id for p in gym.generate("chain_sum", 4, seed=7, start=3)] == ten[3:7]
    random.seed(0)
    assert [p.id for p in gym.generate("chain_sum", 10, seed=7)] == ten
    assert not set(ten) & {p.id for p in gym.generate("chain_sum", 10, seed=8)}


def test_options_are_passed_on() -> None:
    short = next(gym.generate("chain_sum", 1, config={"min_terms": 2, "max_terms": 2}))
    assert short.scoring["metadata"]["num_terms"] == 2


def test_unknown_names_and_options() -> None:
    with pytest.raises(InputError, match="zebra_puzzles"):
        next(gym.generate("zebra_puzle", 1))
    with pytest.raises(InputError, match="foo"):
        next(gym.generate("zebra_puzzles", 1, config={"foo": 1}))
    with pytest.raises(InputError, match="refuses its options"):
        next(gym.generate("chain_sum", 1, config={"min_terms": 5, "max_terms": 2}))
    assert "composite" not in gym.names()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner)
        | st.sets(st.integers())
    ),
    max_leaves=12,
)


@given(values)
def test_encoded_values_survive_json(value: object) -> None:
    restored = gym.decode(json.loads(json.dumps(gym.encode(value), allow_nan=False)))
    assert restored == value
    assert type(restored) is type(value)
