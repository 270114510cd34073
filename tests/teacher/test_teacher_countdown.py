from __future__ import annotations

import random
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steiner.core import InputError, Problem, Trace, TraceStep, Verdict
from steiner.problems import countdown, countdown_states
from steiner.problems.countdown import Limits, make_problem, make_state, operations, reaches, state_key
from steiner.teacher import Attempt, SymbolicCountdownTeacher, Teacher, make_teacher
from steiner.teacher import countdown as teacher_module
from steiner.teacher.countdown import distance_to_factors, sum_of_distances
from steiner.teacher.countdown_text import read_state

Parsed = tuple[int, ...]


@st.composite
def problems(draw: st.DrawFn, most_numbers: int = 4) -> Problem:
    """Solvable problems: the target is what some operations on the numbers give."""
    numbers = draw(st.lists(st.integers(0, 12), min_size=2, max_size=most_numbers))
    state = make_state(numbers)
    while len(state) > 1:
        state = draw(st.sampled_from(operations(state))).next_state
    assume(state[0] <= 1000)
    return make_problem(numbers, state[0])


def start_of(problem: Problem, steps: tuple[TraceStep, ...], index: int) -> Parsed:
    """Return the state that step `index` starts from, by its parent."""
    parent = steps[index].parent
    return make_state(problem.facts["numbers"]) if parent == -1 else read_state(steps[parent])


def check_steps(problem: Problem, steps: tuple[TraceStep, ...]) -> None:
    """Check every word of every step against the rules of the game and of docs/design.md."""
    target = problem.facts["target"]
    for index, item in enumerate(steps):
        before = start_of(problem, steps, index)
        assert item.step.name == "From " + " ".join(map(str, before))
        possible = {o.equation: o.next_state for o in operations(before)}
        after = possible[item.step.thought]
        assert item.state == state_key(after)
        assert item.step.summary == "left " + " ".join(map(str, after))
        goes_back = index + 1 < len(steps) and steps[index + 1].parent != index
        if len(after) == 1:
            (got,) = after
            assert item.step.reflection == f"target {target} , got {got} , off by {abs(target - got)}"
        else:
            assert item.step.reflection == ("dead end , go back" if goes_back else "go on")


def check_right(problem: Problem, trace: Trace) -> None:
    assert trace.verdict is Verdict.RIGHT
    assert trace.problem_id == problem.id
    check_steps(problem, trace.steps)
    assert trace.steps[-1].state == str(problem.facts["target"])
    expression, target = trace.answer.split(" = ")
    assert int(target) == problem.facts["target"]
    assert eval(expression) == problem.facts["target"]
    assert sorted(map(int, re.findall(r"\d+", expression))) == sorted(problem.facts["numbers"])


def is_depth_first(steps: tuple[TraceStep, ...]) -> bool:
    """Whether every step continues the step before it or one that this one came from."""
    line = {-1}
    for index, item in enumerate(steps):
        if item.parent not in line:
            return False
        while max(line) > item.parent:
            line.remove(max(line))
        line.add(index)
    return True


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return make_teacher("countdown", 2.0)


@settings(deadline=None)
@given(problem=problems(), seed=st.integers())
def test_a_draft_goes_straight_to_the_target(problem: Problem, seed: int) -> None:
    trace = SymbolicCountdownTeacher().draft(problem, random.Random(seed))
    check_right(problem, trace)
    assert not list(trace.backtracks())
    assert len(trace.steps) == len(problem.facts["numbers"]) - 1


def test_drafts_take_every_route(teacher: Teacher) -> None:
    problem = make_problem([2, 3, 4], 24)
    rng = random.Random(1)
    answers = {teacher.draft(problem, rng).answer for _ in range(200)}
    assert answers == {"4 * (2 * 3) = 24", "3 * (2 * 4) = 24", "2 * (3 * 4) = 24"}


def attempt_after(
    problem: Problem, cut: int, max_steps: int, seed: int, temperature: float = 2.0
) -> tuple[Attempt, tuple[TraceStep, ...]]:
    teacher = SymbolicCountdownTeacher(temperature)
    prefix = teacher.draft(problem, random.Random(seed)).steps[:cut]
    return teacher.attempt(problem.blind(), prefix, max_steps, random.Random(seed)), prefix


@settings(deadline=None)
@given(problem=problems(), cut=st.integers(0, 3), max_steps=st.integers(0, 12), seed=st.integers())
def test_an_attempt_is_a_depth_first_search_that_takes_no_state_twice(
    problem: Problem, cut: int, max_steps: int, seed: int
) -> None:
    attempt, prefix = attempt_after(problem, cut, max_steps, seed)
    assert attempt.prefix_length == len(prefix)
    assert attempt.steps[: len(prefix)] == prefix
    assert len(attempt.steps) - len(prefix) <= max_steps
    check_steps(problem, attempt.steps)
    assert is_depth_first(attempt.steps)
    states = [item.state for item in attempt.steps]
    assert len(set(states)) == len(states)
    solved = [i for i, state in enumerate(states) if state == str(problem.facts["target"])]
    assert bool(attempt.answer) == bool(solved)
    assert solved in ([], [len(states) - 1])


@settings(max_examples=30, deadline=None)
@given(problem=problems(most_numbers=3), seed=st.integers(), temperature=st.sampled_from([0.0, 0.5, 5.0]))
def test_an_attempt_with_steps_enough_searches_everything(
    problem: Problem, seed: int, temperature: float
) -> None:
    attempt, _ = attempt_after(problem, 0, 10_000, seed, temperature)
    assert attempt.answer


@settings(deadline=None)
@given(problem=problems(), cut=st.integers(0, 3), max_steps=st.integers(0, 12), seed=st.integers())
def test_an_attempt_depends_on_the_question_alone(
    problem: Problem, cut: int, max_steps: int, seed: int
) -> None:
    attempt, prefix = attempt_after(problem, cut, max_steps, seed)
    other = Problem(
        **problem.model_dump(exclude={"answer", "scoring"}), answer="misleading", scoring={"answer": "99"}
    )
    teacher = SymbolicCountdownTeacher(2.0)
    assert teacher.attempt(other.blind(), prefix, max_steps, random.Random(seed)) == attempt


def test_an_attempt_never_asks_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [make_problem(numbers, target) for numbers, target in [([3, 5, 7], 22), ([1, 4, 6, 8], 24)]]
    honest = [attempt_after(problem, cut, 20, 5) for problem in problems for cut in (0, 1)]

    def peek(*_: object, **__: object) -> bool:
        raise AssertionError("a blind attempt asked whether the target can be reached")

    for name in ("solve", "solutions", "reaches", "distance"):
        for module in (countdown, countdown_states):
            monkeypatch.setattr(module, name, peek)
    monkeypatch.setattr(teacher_module, "reaches", peek)
    teacher = SymbolicCountdownTeacher(2.0)
    with pytest.raises(AssertionError, match="a blind attempt asked"):
        teacher.draft(problems[0], random.Random(5))
    blind = [
        teacher.attempt(problem.blind(), honest[2 * i + cut][1], 20, random.Random(5))
        for i, problem in enumerate(problems)
        for cut in (0, 1)
    ]
    assert blind == [attempt for attempt, _ in honest]


def test_at_temperature_zero_the_heuristic_decides() -> None:
    problem = make_problem([2, 7, 8], 58)
    starts = {
        attempt_after(problem, 1, 1, seed, temperature=0.0)[0].steps[-1].step.thought for seed in range(30)
    }
    # The draft's first step leaves 2 and 56: of all that can be done with them the sum comes nearest.
    assert starts == {"2 + 56 = 58"}


def test_heuristics_prefer_states_near_the_target_or_its_factors() -> None:
    assert sum_of_distances((20, 30), 25) < sum_of_distances((3, 8), 25)
    assert distance_to_factors((3, 8), 24) == 0
    assert distance_to_factors((3, 8), 24) < distance_to_factors((20, 30), 24)
    assert distance_to_factors((5,), 1) == 4
    assert distance_to_factors((5,), 0) == 5


@settings(deadline=None)
@given(problem=problems(), cut=st.integers(0, 3), max_steps=st.integers(0, 12), seed=st.integers())
def test_resolve_goes_back_as_far_as_needed_and_no_further(
    problem: Problem, cut: int, max_steps: int, seed: int
) -> None:
    attempt, _ = attempt_after(problem, cut, max_steps, seed)
    assume(not attempt.answer)
    trace = SymbolicCountdownTeacher().resolve(problem, attempt, random.Random(seed))
    check_right(problem, trace)
    given_steps = len(attempt.steps)
    kept = [(s.step.thought, s.parent, s.state) for s in trace.steps[:given_steps]]
    assert kept == [(s.step.thought, s.parent, s.state) for s in attempt.steps]
    assert is_depth_first(trace.steps)
    back_to = trace.provenance.details["back_to"]
    assert trace.steps[given_steps].parent == back_to
    assert all(item.parent == i for i, item in enumerate(trace.steps[given_steps + 1 :], given_steps))
    target = problem.facts["target"]
    line = Trace.route(trace, given_steps - 1)
    assert back_to == -1 or back_to in line
    assert all(not reaches(read_state(trace.steps[i]), target) for i in line if i > back_to)
    if back_to >= 0:
        assert reaches(read_state(trace.steps[back_to]), target)
    states = [item.state for item in trace.steps]
    assert len(set(states)) == len(states)


def test_a_trace_reads_like_the_design_says(teacher: Teacher) -> None:
    problem = make_problem([3, 5, 7], 22)
    prefix = (_step("From 3 5 7", "3 + 5 = 8", "left 7 8", "go on", -1, "7,8"),
              _step("From 7 8", "7 + 8 = 15", "left 15", "target 22 , got 15 , off by 7", 0, "15"),
              _step("From 3 5 7", "3 + 7 = 10", "left 5 10", "go on", -1, "5,10"))  # fmt: skip
    trace = teacher.resolve(problem, Attempt(prefix_length=1, steps=prefix), random.Random(0))
    assert [(i.parent, *i.step.model_dump().values(), i.state) for i in trace.steps] == [
        (-1, "From 3 5 7", "3 + 5 = 8", "left 7 8", "go on", "7,8"),
        (0, "From 7 8", "7 + 8 = 15", "left 15", "target 22 , got 15 , off by 7", "15"),
        (-1, "From 3 5 7", "3 + 7 = 10", "left 5 10", "dead end , go back", "5,10"),
        (-1, "From 3 5 7", "3 * 5 = 15", "left 7 15", "go on", "7,15"),
        (3, "From 7 15", "7 + 15 = 22", "left 22", "target 22 , got 22 , off by 0", "22"),
    ]
    assert trace.answer == "7 + (3 * 5) = 22"
    assert trace.provenance.details == {"back_to": -1}


def _step(name: str, thought: str, summary: str, reflection: str, parent: int, state: str) -> TraceStep:
    step = {"name": name, "thought": thought, "summary": summary, "reflection": reflection}
    return TraceStep.model_validate({"step": step, "parent": parent, "state": state})


def test_results_keep_to_the_problems_limit(teacher: Teacher) -> None:
    problem = make_problem([9, 9, 8, 7], 15, Limits(30, "+-"))
    for seed in range(20):
        attempt = teacher.attempt(problem.blind(), (), 20, random.Random(seed))
        for item in (*attempt.steps, *teacher.draft(problem, random.Random(seed)).steps):
            _, operator, _, _, result = item.step.thought.split()
            assert operator in "+-"
            assert int(result) <= 30


def _broken(**changes: object) -> Problem:
    return Problem.model_validate(make_problem([3, 5, 7], 22).model_dump() | changes)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (_broken(task="zebra"), "for problems of the task 'countdown' only; .* of the task 'zebra'"),
        (_broken(facts={"numbers": [3, 5]}), "needs the facts 'numbers' .* and 'target'"),
        (_broken(facts={"numbers": "many", "target": 3}), "needs the facts 'numbers'"),
        (_broken(facts={"numbers": [3], "target": 3}), "at least two numbers"),
        (_broken(facts={"numbers": [2, 3], "target": 77}), "77 cannot be made from 2 3"),
    ],
)
def test_a_problem_that_cannot_be_taught_is_named(teacher: Teacher, problem: Problem, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        teacher.draft(problem, random.Random(0))
    assert problem.id in str(caught.value)


def test_an_unknown_teacher_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no teacher 'cuntdown': choose from countdown"):
        make_teacher("cuntdown")


@pytest.mark.parametrize("prefix_length", [-1, 3])
def test_an_attempt_cannot_have_more_prefix_than_steps(prefix_length: int) -> None:
    steps = (_step("From 3 5", "3 + 5 = 8", "left 8", "target 9 , got 8 , off by 1", -1, "8"),)
    with pytest.raises(ValueError, match="does not fit into 1 steps"):
        Attempt(prefix_length=prefix_length, steps=steps)


def test_an_attempts_step_cannot_continue_a_later_one() -> None:
    with pytest.raises(ValueError, match="step 0 names step 0 as its parent"):
        Attempt(prefix_length=0, steps=(_step("From 3 5", "3 + 5 = 8", "left 8", "no", 0, "8"),))
