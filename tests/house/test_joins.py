"""Where the command line joins rooms that do not know each other."""

from __future__ import annotations

import random

from steiner.cli.common import is_right, reader_for
from steiner.core import Step
from steiner.problems.countdown import make_problem
from steiner.teacher import SymbolicCountdownTeacher
from steiner.train.locate_steps import StepReading


def test_training_reads_back_the_states_that_the_teacher_wrote():
    problem = make_problem([2, 5, 7, 8], 24)
    trace = SymbolicCountdownTeacher().draft(problem, random.Random(0))
    reader = reader_for("countdown")
    assert reader is not None
    states = [item.state for item in trace.steps]
    assert reader.start_state(problem) == "2,5,7,8"
    steps = [item.step for item in trace.steps]
    assert reader.read(problem, steps) == [
        StepReading(start, state, True)
        for start, state in zip(["2,5,7,8", *states[:-1]], states, strict=True)
    ]
    nonsense = Step(name="?", thought="?", summary="?", reflection="?")
    assert reader.read(problem, [nonsense]) == [StepReading(None, None, False)]
    assert is_right(problem, trace.answer)
    assert not is_right(problem, "2 + 5")


def test_prose_has_no_states():
    assert reader_for("") is None
    assert reader_for("game24") is None
