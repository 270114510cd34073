"""What the teacher writes is read back as sound; what is wrong in any part is not."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steiner.core import InputError, Problem, Step
from steiner.problems.countdown import Limits, make_problem, make_state, operations
from steiner.teacher import SymbolicCountdownTeacher
from steiner.teacher.countdown_reader import CountdownReader, Reading

PROBLEM = make_problem([3, 5, 7], 22)
FIRST = Step(name="From 3 5 7", thought="3 * 5 = 15", summary="left 7 15", reflection="go on")
HIT = "target 22 , got 22 , off by 0"
FAR = "target 22 , got 8 , off by 14"
LAST = Step(name="From 7 15", thought="15 + 7 = 22", summary="left 22", reflection=HIT)
MISS = Step(name="From 7 15", thought="15 - 7 = 8", summary="left 8", reflection=FAR)

ANYTHING = st.one_of(
    st.text(max_size=20), st.from_regex(r"(From |left )?\d+( [-+*/=] ?\d+| \d+)*", fullmatch=True)
)


def read(*steps: Step) -> list[Reading]:
    return CountdownReader().read(PROBLEM, steps)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Solvable problems: the target is what some operations on the numbers give."""
    numbers = draw(st.lists(st.integers(0, 12), min_size=2, max_size=4))
    state = make_state(numbers)
    while len(state) > 1:
        state = draw(st.sampled_from(operations(state))).next_state
    assume(state[0] <= 1000)
    return make_problem(numbers, state[0])


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 10**6))
def test_every_trace_of_the_teacher_reads_back_sound(problem, seed):
    teacher, rng = SymbolicCountdownTeacher(temperature=2.0), random.Random(seed)
    draft = teacher.draft(problem, rng)
    attempt = teacher.attempt(problem.blind(), draft.steps[: rng.randrange(len(draft.steps))], 6, rng)
    resolved = teacher.resolve(problem, attempt, rng)
    for steps in (draft.steps, attempt.steps, resolved.steps):
        readings = CountdownReader().read(problem, [item.step for item in steps])
        assert all(reading.sound for reading in readings)
        assert [reading.state for reading in readings] == [item.state for item in steps]
        start = CountdownReader().start_state(problem)
        parents = [start if item.parent == -1 else steps[item.parent].state for item in steps]
        assert [reading.start for reading in readings] == parents


def test_a_right_search_by_hand():
    assert CountdownReader().start_state(PROBLEM) == "3,5,7"
    assert read(FIRST, MISS, LAST) == [
        Reading("3,5,7", "7,15", True),
        Reading("7,15", "8", True),
        Reading("7,15", "22", True),
    ]


def test_a_sum_may_be_written_in_either_order():
    assert read(FIRST.model_copy(update={"thought": "5 * 3 = 15"}))[0].sound
    assert not read(FIRST, MISS.model_copy(update={"thought": "7 - 15 = 8"}))[1].sound


@pytest.mark.parametrize(
    "change",
    [
        {"thought": "3 * 5 = 16"},
        {"thought": "3 + 5 = 15"},
        {"thought": "3 * 6 = 18", "summary": "left 7 18"},
        {"thought": "3 * 5"},
        {"thought": "three times five is 15"},
        {"thought": ""},
        {"thought": "3 / 5 = 0", "summary": "left 0 7"},
        {"summary": "left 7 16"},
        {"summary": "left 5 7 15"},
        {"summary": "left 15"},
        {"summary": ""},
        {"name": "From 3 5 8"},
        {"name": "From 3 5"},
        {"name": "Begin"},
        {"name": ""},
    ],
    ids=str,
)
def test_a_step_with_a_wrong_part_is_unsound_and_reaches_nothing(change):
    reading, following = read(FIRST.model_copy(update=change), LAST)
    assert not reading.sound
    assert reading.state is None
    # Nobody has been at 7 15, so nothing can start from there.
    assert not following.sound


@pytest.mark.parametrize(
    "reflection",
    [
        "target 22 , got 22 , off by 1",
        "target 21 , got 22 , off by 1",
        "target 22 , got 21 , off by 1",
        "target 22 , got 22",
        "go on",
        "yes",
        "",
    ],
)
def test_a_wrong_comparison_with_the_target_is_unsound(reflection):
    assert not read(FIRST, LAST.model_copy(update={"reflection": reflection}))[1].sound


def test_claiming_a_hit_that_is_none_is_unsound():
    claimed = MISS.model_copy(update={"reflection": "target 22 , got 8 , off by 0"})
    assert read(FIRST, MISS)[1].sound
    assert not read(FIRST, claimed)[1].sound


def test_a_start_that_was_never_reached_is_unsound():
    reading = read(LAST)[0]
    assert reading == Reading("7,15", None, False)


def test_one_bad_step_does_not_spoil_what_was_reached_before():
    bad = FIRST.model_copy(update={"thought": "3 + 7 = 11", "summary": "left 5 11"})
    assert [reading.sound for reading in read(FIRST, bad, LAST)] == [True, False, True]


def test_limits_of_the_problem_hold():
    small = make_problem([3, 5, 7], 9, Limits(max_result=10))
    assert not CountdownReader().read(small, [FIRST])[0].sound


def test_numbers_of_any_length_do_not_matter():
    huge = FIRST.model_copy(update={"thought": f"3 * 5 = {'9' * 400}"})
    assert not read(huge)[0].sound
    assert not read(FIRST.model_copy(update={"name": f"From {'1 ' * 5000}"}))[0].sound


@settings(deadline=None)
@given(
    st.lists(
        st.builds(Step, name=ANYTHING, thought=ANYTHING, summary=ANYTHING, reflection=ANYTHING), max_size=4
    )
)
def test_any_text_is_read_without_an_error(steps: Sequence[Step]):
    assert len(read(*steps)) == len(steps)


def test_another_task_is_refused():
    other = Problem(question="1 + 1", answer="2")
    with pytest.raises(InputError, match="countdown"):
        CountdownReader().start_state(other)
