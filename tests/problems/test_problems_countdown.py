"""Countdown: the algebra of states against brute force, and problems in splits that cannot overlap."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import Grading, InputError
from steiner.problems.countdown import (
    CountdownSettings,
    Limits,
    Split,
    distance,
    expression,
    expression_from_equations,
    generate,
    is_heldout_input,
    is_heldout_target,
    make_problem,
    make_state,
    operations,
    outcomes,
    reaches,
    solutions,
    solve,
    state_key,
)
from steiner.problems.grading import grade

numbers_up_to_4 = st.lists(st.integers(1, 25), min_size=2, max_size=4)
all_limits = st.builds(
    Limits,
    st.none() | st.integers(1, 200),
    st.sets(st.sampled_from("+-*/"), min_size=1).map(lambda ops: "".join(o for o in "+-*/" if o in ops)),
)


def brute_force(numbers: tuple[int, ...], limits: Limits) -> set[int]:
    """All values of all expression trees over all orders of the numbers, without any state algebra."""
    if len(numbers) == 1:
        return {numbers[0]}
    values: set[int] = set()
    for cut in range(1, len(numbers)):
        for left in itertools.combinations(range(len(numbers)), cut):
            right = [i for i in range(len(numbers)) if i not in left]
            for a in brute_force(tuple(numbers[i] for i in left), limits):
                for b in brute_force(tuple(numbers[i] for i in right), limits):
                    results = {"+": Fraction(a + b), "-": Fraction(a - b), "*": Fraction(a * b)}
                    # 0 / b is left out on purpose (0 * b says the same).
                    results |= {"/": Fraction(a, b)} if b and a >= b else {}
                    values |= {
                        int(value)
                        for op, value in results.items()
                        if op in limits.operators
                        and value >= 0
                        and value.denominator == 1
                        and (limits.max_result is None or value <= limits.max_result)
                    }
    return values


@given(numbers_up_to_4, all_limits)
@settings(max_examples=60, deadline=None)
def test_search_reaches_exactly_what_brute_force_reaches(numbers: list[int], limits: Limits) -> None:
    state = make_state(numbers)
    expected = brute_force(state, limits)
    assert outcomes(state, limits) == expected
    for target in [*sorted(expected)[:20], 0, 1, 24, 97]:
        assert reaches(state, target, limits) == (target in expected)
        assert (solve(state, target, limits) is not None) == (target in expected)
        assert distance(state, target, limits) == (len(state) - 1 if target in expected else None)


@given(numbers_up_to_4, st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_each_solution_is_a_derivation_and_its_expression_is_graded_right(
    numbers: list[int], target: int
) -> None:
    for derivation in itertools.islice(solutions(numbers, target), 20):
        state = make_state(numbers)
        for step in derivation:
            assert step in operations(state)
            state = step.next_state
        assert state == (target,)
        text = expression(derivation)
        assert expression_from_equations(step.equation for step in derivation) == text
        assert grade(make_problem(numbers, target), text).right


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5), all_limits)
@settings(deadline=None)
def test_operations_are_distinct_legal_and_larger_first(numbers: list[int], limits: Limits) -> None:
    state = make_state(numbers)
    found = operations(state, limits)
    assert len(set(found)) == len(found)
    for left, op, right, result, after in found:
        value = {"+": left + right, "-": left - right, "*": left * right, "/": left // max(right, 1)}[op]
        assert value == result >= 0
        assert op != "/" or (right > 0 and left % right == 0)
        assert left <= right if op in "+*" else left >= right
        assert limits.max_result is None or result <= limits.max_result
        rest = list(state)
        rest.remove(left)
        rest.remove(right)
        assert after == make_state([*rest, result])


def test_operations_of_equal_numbers_occur_once() -> None:
    assert [step.equation for step in operations((2, 2))] == [
        "2 + 2 = 4",
        "2 - 2 = 0",
        "2 * 2 = 4",
        "2 / 2 = 1",
    ]


def test_question_answer_and_state_are_written_as_documented() -> None:
    problem = make_problem([7, 3, 5], 22)
    assert problem.question == "Make 22 from 3 5 7."
    assert problem.answer == "7 + (3 * 5)"
    assert problem.facts == {"numbers": [3, 5, 7], "target": 22}
    assert (problem.task, problem.grading, problem.scoring) == ("countdown", Grading.TASK, {})
    assert state_key((7, 8)) == "7,8"


def test_limits_are_facts_only_where_there_are_any() -> None:
    free, again = make_problem([3, 5, 7], 22), make_problem([3, 5, 7], 22, Limits(None, "/*-+"))
    assert free.id == again.id
    limited = make_problem([3, 5, 7], 22, Limits(60, "*+"))
    assert limited.facts == {"numbers": [3, 5, 7], "target": 22, "max_result": 60, "operators": "+*"}
    assert limited.question_key == free.question_key, "whoever is asked is asked the same"


def test_an_answer_may_break_a_limit_that_it_was_not_told() -> None:
    problem = make_problem([2, 8, 9], 36, Limits(60))
    assert grade(problem, "(8 / 2) * 9").right
    assert grade(problem, "(8 * 9) / 2").right


def test_expression_brackets_every_operation_but_the_outermost() -> None:
    equations = ["1 + 2 = 3", "4 * 5 = 20", "20 - 3 = 17"]
    assert expression_from_equations(equations) == "(4 * 5) - (1 + 2)"
    with pytest.raises(ValueError, match="one number"):
        expression_from_equations(["1 + 2 = 3", "4 + 5 = 9"])
    with pytest.raises(ValueError, match="not an equation"):
        expression_from_equations(["1 + 2"])


def test_an_unsolvable_problem_is_refused() -> None:
    with pytest.raises(InputError, match="no solution"):
        make_problem([1, 1], 97)


SIZES = [
    CountdownSettings(),
    CountdownSettings(count=3, high=20),
    CountdownSettings(count=3, high=60, max_result=90, seed=5),
    CountdownSettings(count=2, high=99, operators="+-"),
]


@pytest.mark.parametrize("sizes", SIZES)
def test_generated_problems_are_distinct_solvable_and_repeatable(sizes: CountdownSettings) -> None:
    problems = list(generate(sizes, 60))
    assert len({p.id for p in problems}) == len({p.question for p in problems}) == 60
    assert problems == list(generate(sizes, 60))
    assert problems[:25] == list(generate(sizes, 25)), "fewer problems are a prefix of more"
    other = sizes.model_copy(update={"seed": sizes.seed + 1})
    assert problems != list(generate(other, 60))
    for problem in problems:
        assert grade(problem, problem.answer).right
        numbers, target = problem.facts["numbers"], problem.facts["target"]
        assert all(sizes.low <= n <= sizes.high for n in numbers)
        assert sizes.target_low <= target <= sizes.target_high
        assert reaches(make_state(numbers), target, sizes.limits)


@pytest.mark.parametrize("high", [20, 60])
def test_splits_are_disjoint_whatever_the_seed(high: int) -> None:
    def draw(split: Split, seed: int) -> list[tuple[tuple[int, ...], int]]:
        sizes = CountdownSettings(count=3, high=high, seed=seed)
        return [(make_state(p.facts["numbers"]), p.facts["target"]) for p in generate(sizes, 150, split)]

    train, targets, inputs = draw(Split.TRAIN, 0), draw(Split.HELDOUT_TARGETS, 1), draw(Split.NEW_INPUTS, 2)
    assert not {t for _, t in train} & {t for _, t in targets}
    assert not {t for _, t in inputs} & {t for _, t in targets}
    assert not {s for s, _ in train} & {s for s, _ in inputs}


@given(st.integers(0, 50), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_the_share_of_heldout_targets_is_kept_in_every_ten(block: int, share: float) -> None:
    heldout = sum(is_heldout_target(t, share) for t in range(10 * block, 10 * block + 10))
    assert int(10 * share) <= heldout <= -int(-10 * share // 1)


def test_about_the_share_of_number_sets_is_held_out() -> None:
    states = list(itertools.combinations_with_replacement(range(1, 25), 3))
    heldout = sum(is_heldout_input(state, 0.1) for state in states)
    assert 0.07 < heldout / len(states) < 0.13


def test_a_space_that_is_too_small_says_how_many_it_holds() -> None:
    sizes = CountdownSettings(count=2, low=1, high=4, heldout_target_share=0, heldout_input_share=0)
    everything = {
        (state, target)
        for state in itertools.combinations_with_replacement(range(1, 5), 2)
        for target in outcomes(state)
        if target >= 10
    }
    problems = list(generate(sizes, len(everything)))
    assert {(make_state(p.facts["numbers"]), p.facts["target"]) for p in problems} == everything
    with pytest.raises(InputError, match=rf"holds only {len(everything)} distinct"):
        list(generate(sizes, 1000))


def test_an_exhausted_space_is_listed_to_its_end_after_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = CountdownSettings(count=3, high=12)
    listed = {p.question for p in itertools.islice(generate(sizes, 10**6), 700)}
    monkeypatch.setattr("steiner.problems.countdown.ENUMERABLE", {})
    monkeypatch.setattr("steiner.problems.countdown.PATIENCE", 50)
    drawn = [p.question for p in itertools.islice(generate(sizes, 10**6), 700)]
    assert len(set(drawn)) == 700
    assert len(set(drawn) | listed) < 1400
    with pytest.raises(InputError) as by_drawing:
        list(generate(sizes, 10**6))
    monkeypatch.undo()
    with pytest.raises(InputError) as by_listing:
        list(generate(sizes, 10**6))
    assert str(by_drawing.value) == str(by_listing.value)


def test_wrong_settings_are_refused() -> None:
    for wrong in (
        {"low": 5, "high": 4},
        {"operators": "+^"},
        {"count": 1},
        {"target_low": 9, "target_high": 8},
    ):
        with pytest.raises(ValueError, match=r"."):
            CountdownSettings.model_validate(wrong)
    with pytest.raises(InputError, match="train, heldout-targets, new-inputs"):
        list(generate(CountdownSettings(), 1, "test"))
