"""Read the states of a Countdown search out of the steps that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from steiner.core import Problem, Step
from steiner.problems.countdown import Limits, Operation, State, make_state, operations, state_key
from steiner.problems.countdown_words import numbers_of_name, numbers_of_summary, says_comparison
from steiner.teacher.countdown_text import Game

_EQUATION = re.compile(r"\s*(\d{1,9}) ([-+*/]) (\d{1,9}) = (\d{1,9})\s*")
_NUMBERS = re.compile(r"\d{1,9}(?: \d{1,9})*")


class Reading(NamedTuple):
    """What one step says; see `steiner.train.locate_steps.StepReading`."""

    start: str | None
    state: str | None
    sound: bool


class CountdownReader:
    """Reads the wording of `teacher.countdown_text`, in any language, back into states; checks every step.

    A step is sound if it starts from a state that the search has reached, takes an operation that is allowed
    there, computes it correctly, and says correctly what is left and whether that is the target.
    """

    def start_state(self, problem: Problem) -> str:
        """Return the state of all numbers."""
        return state_key(self._game(problem).start)

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[Reading]:
        """Read the steps of one completion, parallel to `steps`."""
        game = self._game(problem)
        reached = {game.start}
        readings = []
        for step in steps:
            start = _state(numbers_of_name(step.name))
            operation = None if start is None else _operation(start, step.thought, game.limits)
            sound = (
                operation is not None
                and start in reached
                and _state(numbers_of_summary(step.summary)) == operation.next_state
                and _says_truth(step, operation.next_state, game.target)
            )
            state = None
            if sound and operation is not None:
                reached.add(operation.next_state)
                state = state_key(operation.next_state)
            readings.append(Reading(None if start is None else state_key(start), state, sound))
        return readings

    @staticmethod
    def _game(problem: Problem) -> Game:
        return Game.of(problem.id, problem.task, problem.facts)


def _state(text: str) -> State | None:
    text = text.strip()
    return make_state(map(int, text.split(" "))) if _NUMBERS.fullmatch(text) else None


def _operation(start: State, thought: str, limits: Limits) -> Operation | None:
    match = _EQUATION.fullmatch(thought)
    if match is None:
        return None
    left, op, right, result = int(match[1]), match[2], int(match[3]), int(match[4])
    for operation in operations(start, limits):
        operands = {(operation.left, operation.right)}
        if op in "+*":
            operands.add((operation.right, operation.left))
        if operation.op == op and operation.result == result and (left, right) in operands:
            return operation
    return None


def _says_truth(step: Step, state: State, target: int) -> bool:
    """Whether the reflection of a step that leaves one number compares it correctly with the target."""
    if len(state) > 1:
        return True
    return says_comparison(step.reflection, target, state[0])
