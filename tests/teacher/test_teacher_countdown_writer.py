from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import NodeFacts, Step
from steiner.problems.countdown import make_problem, make_state, operations
from steiner.teacher import CountdownWriter, SymbolicCountdownTeacher

FACTS = NodeFacts(e_i=1, e_o=1, d_s=1, d_e=None)


def step(thought: str, reflection: str = "go on") -> Step:
    return Step(name="From here", thought=thought, summary="left", reflection=reflection)


@settings(deadline=None)
@given(numbers=st.lists(st.integers(0, 6), min_size=2, max_size=5), seed=st.integers())
def test_any_route_gives_an_expression_of_all_numbers(numbers: list[int], seed: int) -> None:
    rng = random.Random(seed)
    state, route = make_state(numbers), []
    while len(state) > 1:
        operation = rng.choice(operations(state))
        route.append(step(operation.equation))
        state = operation.next_state
    problem = make_problem(numbers, state[0])
    answer = CountdownWriter().answer(problem, route, ["1 + 1 = 2"])
    expression, target = answer.split(" = ")
    assert int(target) == state[0] == eval(expression)
    assert sorted(map(int, re.findall(r"\d+", expression))) == sorted(numbers)


def test_the_answer_is_the_teachers_own() -> None:
    problem = make_problem([2, 2, 3, 6], 12)
    for seed in range(30):
        trace = SymbolicCountdownTeacher().draft(problem, random.Random(seed))
        assert CountdownWriter().answer(problem, [s.step for s in trace.steps], [""]) == trace.answer


@pytest.mark.parametrize(
    ("equations", "expected"),
    [
        (["2 * 3 = 6", "6 + 6 = 12"], "(2 * 3) + 6 = 12"),
        (["2 + 2 = 4", "4 - 4 = 0"], "(2 + 2) - 4 = 0"),
        (["2 + 2 = 4", "2 + 2 = 4", "4 * 4 = 16"], "(2 + 2) * (2 + 2) = 16"),
        (["4 / 4 = 1", "1 + 1 = 2", "2 * 9 = 18"], "((4 / 4) + 1) * 9 = 18"),
    ],
)
def test_equal_numbers_are_told_apart(equations: list[str], expected: str) -> None:
    numbers = {12: [2, 3, 6], 0: [2, 2, 4], 16: [2, 2, 2, 2], 18: [4, 4, 1, 9]}
    target = int(expected.split(" = ")[1])
    problem = make_problem(numbers[target], target)
    assert CountdownWriter().answer(problem, [step(text) for text in equations], []) == expected


@pytest.mark.parametrize("thoughts", [[], ["I guess 7"], ["2 + 3 = 5", "4 + 4 = 8"]])
def test_a_route_that_is_no_derivation_is_refused(thoughts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"operations|equation"):
        CountdownWriter().answer(make_problem([2, 3, 4], 9), [step(text) for text in thoughts], [])


def test_only_a_step_that_would_go_on_needs_a_reason_to_go_back() -> None:
    problem = make_problem([3, 5, 7], 22)
    writer = CountdownWriter()
    assert writer.before_backtrack(problem, step("3 + 5 = 8"), FACTS) == step(
        "3 + 5 = 8", "dead end , go back"
    )
    for reflection in ("target 22 , got 15 , off by 7", "dead end , go back"):
        unchanged = step("7 + 8 = 15", reflection)
        assert writer.before_backtrack(problem, unchanged, FACTS) == unchanged


def test_a_step_that_gave_up_elsewhere_goes_on_here() -> None:
    problem = make_problem([3, 5, 7], 22)
    writer = CountdownWriter()
    gave_up = step("3 + 5 = 8", "dead end , go back")
    assert writer.before_proceed(problem, gave_up, FACTS) == step("3 + 5 = 8")
    for reflection in ("target 22 , got 15 , off by 7", "target 22 , got 22 , off by 0", "go on"):
        unchanged = step("7 + 8 = 15", reflection)
        assert writer.before_proceed(problem, unchanged, FACTS) == unchanged


def test_chinese_steps_change_into_chinese_ones() -> None:
    problem = make_problem([3, 5, 7], 22, language="zh")
    writer = CountdownWriter()
    goes_on, gave_up = step("3 + 5 = 8", "继续"), step("3 + 5 = 8", "死路，回头")
    assert writer.before_backtrack(problem, goes_on, FACTS) == gave_up
    assert writer.before_proceed(problem, gave_up, FACTS) == goes_on
    compared = step("7 + 8 = 15", "目标 22，得到 15，相差 7")
    assert writer.before_backtrack(problem, compared, FACTS) == compared
