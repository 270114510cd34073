"""Every wrong completion has one class, and the planted ones have theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import DEAD, GOOD, HIT, LIMIT, PLANTED, PROBLEM, PRODUCT, SUM, WRONG, B, P, leaf, step

from steiner.core import Grading, Problem, ReasoningPath, Step
from steiner.evaluate.failures import (
    Attempt,
    attempt_of,
    classify,
    failure_of,
    failure_without_text,
    repeated_steps,
)
from steiner.evaluate.records import FailureKind, SampleResult
from steiner.evaluate.step_states import read_steps
from steiner.problems.countdown_states import make_problem, operations, reaches
from steiner.protocol import ControlToken, parse, render


@pytest.mark.parametrize("name", PLANTED)
def test_planted_completions_get_their_class(name: str) -> None:
    kind, attempt = PLANTED[name]
    found = failure_of(PROBLEM, attempt)
    assert found.kind is kind, found.evidence
    assert found.evidence
    assert found.step is None or 1 <= found.step <= len(attempt.steps)


def test_every_class_is_planted() -> None:
    assert {kind for kind, _ in PLANTED.values()} == set(FailureKind)


def test_evidence_names_the_step_and_the_state() -> None:
    left = failure_of(PROBLEM, PLANTED["good branch tried once and left"][1])
    assert (left.step, "from 7 15 (step 1)" in left.evidence, "after step 2" in left.evidence) == (
        1,
        True,
        True,
    )
    claimed = failure_of(PROBLEM, PLANTED["wrong sum, taken for a hit at the limit"][1])
    assert claimed.evidence == "step 2 takes its result for the right one: 7 + 8 is not 22"


def test_coming_back_to_a_good_branch_is_not_leaving_it() -> None:
    away = (GOOD, DEAD, SUM, leaf("7 15", "7 * 15 = 105", 105))
    assert failure_of(PROBLEM, Attempt(away, (B, P, B), WRONG, limit=LIMIT)).kind is FailureKind.OUT_OF_BUDGET


def test_steps_are_read_and_checked() -> None:
    steps = (
        GOOD,
        HIT,
        step("3 5 7", "3 * 5 = 16", "7 16"),
        step("3 5 7", "3 * 5 = 15", "8 15"),
        step("4 9", "4 + 9 = 13", "13"),
        Step(name="Think", thought="hm", summary="nothing", reflection=""),
        step("3 5 7", "2 * 5 = 10", "7 10"),
    )
    readings = read_steps(PROBLEM, steps)
    assert [reading.state for reading in readings] == ["7 15", "22", None, None, None, None, None]
    assert [reading.error for reading in readings] == [
        "", "", "3 * 5 is not 16", "it leaves 7 15, not 8 15", "it starts from 4 9, which no step left",
        "it names no numbers to start from", "2 * 5 cannot be done with 3 5 7",
    ]  # fmt: skip
    assert [reading.alive for reading in readings[:2]] == [True, False]
    assert [reading.found for reading in readings[:2]] == [False, True]


def test_without_states_the_number_of_a_summary_is_what_the_reasoning_found() -> None:
    question = Problem(question="How many?", answer="72", grading=Grading.NUMERIC)
    right = Step(name="Add", thought="48 + 24", summary="That makes 72.", reflection="")
    other = Step(name="Check", thought="48 - 24", summary="That makes 24.", reflection="")
    kinds = [
        failure_of(question, attempt).kind
        for attempt in (
            Attempt((other, right), (P,), "74"),
            Attempt((right, other), (B,), "24"),
            Attempt((other,), (), "24"),
            Attempt((other,), (), "I do not know", has_result=False),
            Attempt((other,), (), "24", limit="all 1,000 tokens of reasoning were used"),
            Attempt((), (), "24"),
        )
    ]
    assert kinds == [
        FailureKind.ANSWER_DIFFERS, FailureKind.LEFT_GOOD, FailureKind.ACCEPTED_WRONG,
        FailureKind.NEVER_FOUND, FailureKind.OUT_OF_BUDGET, FailureKind.ACCEPTED_WRONG,
    ]  # fmt: skip


def completion(*steps: Step, answer: str = WRONG) -> str:
    moves = tuple(B if later.name == "From 3 5 7" else P for later in steps[1:])
    return render(ReasoningPath(steps=steps, moves=moves, answer=answer))


def test_the_grammar_decides_what_is_broken_and_what_is_cut_off() -> None:
    whole = completion(DEAD, SUM)
    cut = whole[: whole.index(str(ControlToken.END))]
    stray = whole.replace(str(ControlToken.PROCEED), f"hm{ControlToken.PROCEED}", 1)
    fine, short, broken = (attempt_of(parse(text)) for text in (whole, cut, stray))
    assert (fine.broken, fine.limit) == ("", "")
    assert (short.broken, short.cut, short.limit) == ("", True, "it was cut off at the limit of tokens")
    assert broken.broken.startswith("text where")
    empty = attempt_of(parse(completion(DEAD, SUM, answer="")))
    assert failure_of(PROBLEM, empty).kind is FailureKind.ILL_FORMED
    assert failure_of(PROBLEM, short).kind is FailureKind.OUT_OF_BUDGET
    assert failure_of(PROBLEM, broken).kind is FailureKind.ILL_FORMED


def test_limits_are_named() -> None:
    parsed = parse(completion(DEAD, SUM))
    assert attempt_of(parsed, max_steps=2).limit == "all 2 steps were used"
    assert attempt_of(parsed, max_steps=3).limit == ""
    tokens = attempt_of(parsed, reasoning_tokens=64, max_steps=3, max_reasoning_tokens=64)
    assert tokens.limit == "all 64 tokens of reasoning were used"


def sample(**values: object) -> SampleResult:
    given = {
        "problem_id": "p", "max_steps": 8, "right": False, "well_formed": True, "steps": 8, "backtracks": 3,
        "reasoning_tokens": 90, "answer": "1",
    }  # fmt: skip
    return SampleResult.model_validate({**given, **values})


def test_counts_alone_give_a_class_too() -> None:
    kinds = [
        failure_without_text(one).kind
        for one in (
            sample(well_formed=False), sample(answer=" "), sample(steps=5), sample(repeated_steps=3),
            sample(), sample(max_steps=None),
        )
    ]  # fmt: skip
    assert kinds == [
        FailureKind.ILL_FORMED, FailureKind.ILL_FORMED, FailureKind.ACCEPTED_WRONG, FailureKind.LOOP,
        FailureKind.OUT_OF_BUDGET, FailureKind.ACCEPTED_WRONG,
    ]  # fmt: skip


def test_repeats_are_counted_by_what_is_done() -> None:
    assert repeated_steps((DEAD, SUM, DEAD.model_copy(update={"reflection": "go on"}), PRODUCT)) == 1


STEPS = st.builds(
    Step,
    name=st.sampled_from(["From 3 5 7", "From 7 15", "From 7 8", "From 1", "Think", ""]),
    thought=st.sampled_from(["3 * 5 = 15", "7 + 15 = 22", "7 + 8 = 15", "3 + 5 = 9", "1 / 0 = 0", "no"]),
    summary=st.sampled_from(["left 7 15", "left 22", "left 15", "left 7 8", "", "left 999999999 1"]),
    reflection=st.sampled_from(["go on", "off by 0", "target 22 , got 15 , off by 7", "dead end , go back"]),
)


@given(
    st.lists(STEPS, max_size=9), st.randoms(use_true_random=False), st.sampled_from(["", "x"]),
    st.sampled_from(["", LIMIT]), st.booleans(),
)  # fmt: skip
def test_whatever_was_written_has_a_class(steps, random, answer, limit, cut) -> None:
    moves = tuple(random.choice((P, B)) for _ in steps[1:])
    attempt = Attempt(tuple(steps), moves, answer, "", limit, cut and bool(limit))
    found = failure_of(PROBLEM, attempt)
    assert found == failure_of(PROBLEM, attempt)
    assert found.step is None or found.step <= len(steps)
    if not limit:
        assert found.kind is not FailureKind.OUT_OF_BUDGET
    assert classify(attempt).kind is not FailureKind.ANSWER_DIFFERS, "nothing was found without readings"


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.integers(1, 60))
def test_a_whole_sweep_leaves_no_good_branch(numbers: list[int], target: int) -> None:
    """Depth-first over everything until the target: no state is left that could still reach it."""
    start = tuple(sorted(numbers))
    steps, moves = [], []

    def visit(state: tuple[int, ...]) -> bool:
        for operation in operations(state):
            after = operation.next_state
            if steps:
                moves.append(P if steps[-1].summary == f"left {' '.join(map(str, state))}" else B)
            text = f"target {target} , got {after[0]} , off by {abs(target - after[0])}"
            steps.append(
                Step(
                    name=f"From {' '.join(map(str, state))}",
                    thought=operation.equation,
                    summary=f"left {' '.join(map(str, after))}",
                    reflection=text if len(after) == 1 else "go on",
                )
            )
            if after == (target,) or (len(after) > 1 and visit(after)):
                return True
        return False

    hit = visit(start)
    problem = make_problem(start, target) if reaches(start, target) else None
    assert hit == (problem is not None)
    if problem is None:
        return
    readings = read_steps(problem, steps)
    assert not any(reading.error for reading in readings)
    assert [reading.found for reading in readings] == [False] * (len(steps) - 1) + [True]
    found = failure_of(problem, Attempt(tuple(steps), tuple(moves), "1"))
    assert found.kind is FailureKind.ANSWER_DIFFERS
    # Broken off before the hit, it was still on its way: no branch that was good has been left.
    short = failure_of(problem, Attempt(tuple(steps[:-1]), tuple(moves[:-1]), "1", limit=LIMIT))
    assert short.kind in (FailureKind.OUT_OF_BUDGET, FailureKind.LOOP, FailureKind.ILL_FORMED)
