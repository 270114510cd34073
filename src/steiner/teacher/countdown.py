"""A teacher for Countdown that needs no model: an exact solver open-book, a heuristic search blind."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from steiner.core import InputError, Problem, Provenance, Question, Trace, TraceStep, Verdict
from steiner.core.trace import FROM_QUESTION
from steiner.problems.countdown import Limits, Operation, State, operations, reaches
from steiner.teacher.base import Attempt
from steiner.teacher.countdown_text import Game, answer_text, give_up, is_leaf, read_state, step_text

Heuristic = Callable[[State, int], float]
"""How far a state looks from the target; smaller is better."""


def sum_of_distances(state: State, target: int) -> float:
    """Mean distance of the numbers from the target (Stream of Search, arXiv:2404.03683)."""
    return sum(abs(number - target) for number in state) / len(state)


def distance_to_factors(state: State, target: int) -> float:
    """Sum of each number's distance from the nearest factor of the target (Stream of Search)."""
    factors = _factors(target)
    return sum(min(abs(number - factor) for factor in factors) for number in state)


HEURISTICS: tuple[Heuristic, ...] = (sum_of_distances, distance_to_factors)


class SymbolicCountdownTeacher:
    """Writes steps for problems of task `countdown`.

    Its blind attempt sees the numbers and the target, which are the question, and never asks whether a
    state can reach the target: it goes depth-first after a heuristic, tests each last number against the
    target, goes back by itself where that fails and takes no state twice.
    """

    name = "symbolic-countdown"

    def __init__(self, temperature: float = 1.0) -> None:
        """Create the teacher.

        Args:
            temperature: how freely a blind attempt strays from what its heuristic ranks first. The choice
            of rank
                r (from 0) has weight exp(-r / temperature); 0 always takes the first.
        """
        self.temperature = temperature

    def draft(self, problem: Problem, rng: random.Random) -> Trace:
        """Walk straight to the target, by a route drawn at random from all that reach it.

        Raises:
            InputError: if the problem is no Countdown problem or cannot be solved.
        """
        walk = _Walk(Game.of(problem.id, problem.task, problem.facts, problem.language), ())
        _walk_to_target(walk, FROM_QUESTION, rng)
        return self._trace(problem, walk, "draft", {})

    def attempt(
        self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, rng: random.Random
    ) -> Attempt:
        """Search on from `prefix` by one heuristic, drawn at random for the whole attempt.

        Raises:
            InputError: if the question is no Countdown question.
        """
        walk = _Walk(Game.of(question.text, question.task, question.facts, question.language), prefix)
        heuristic = rng.choice(HEURISTICS)
        for _ in range(max_steps):
            if walk.is_solved or not self._search_on(walk, heuristic, rng):
                break
        return Attempt(prefix_length=len(prefix), steps=tuple(walk.steps), answer=walk.answer())

    def resolve(self, problem: Problem, attempt: Attempt, rng: random.Random) -> Trace:
        """Go back to the deepest step of the current line that can still reach the target, and walk there.

        Where the line is still alive that is its last step. `Provenance.details["back_to"]` names the step,
        -1 for the question.

        Raises:
            InputError: if the problem is no Countdown problem or cannot be solved.
        """
        walk = _Walk(Game.of(problem.id, problem.task, problem.facts, problem.language), attempt.steps)
        back_to = next((index for index in walk.line() if walk.is_alive(index)), FROM_QUESTION)
        _walk_to_target(walk, back_to, rng)
        return self._trace(problem, walk, "truncate-reveal", {"back_to": back_to})

    def _search_on(self, walk: _Walk, heuristic: Heuristic, rng: random.Random) -> bool:
        """Take one step blind, depth first; False where everything has been tried."""
        for index in walk.line():
            options = walk.untried(index, heuristic)
            if options:
                walk.take(index, options[self._rank(len(options), rng)])
                return True
        return False

    def _rank(self, count: int, rng: random.Random) -> int:
        """Draw a rank below `count`, rank r with weight exp(-r / temperature)."""
        if self.temperature == 0:
            return 0
        return rng.choices(range(count), cum_weights=_cumulative_weights(count, self.temperature))[0]

    def _trace(self, problem: Problem, walk: _Walk, method: str, details: dict[str, int]) -> Trace:
        return Trace(
            problem_id=problem.id,
            steps=tuple(walk.steps),
            answer=walk.answer(),
            verdict=Verdict.RIGHT,
            provenance=Provenance(teacher=self.name, method=method, details=details),
        )


class _Walk:
    """The steps of one search so far. Steps are named by index, the question by `FROM_QUESTION`."""

    def __init__(self, game: Game, steps: Sequence[TraceStep]) -> None:
        self.game = game
        self.steps = list(steps)
        self._states = [read_state(item) for item in steps]
        self._seen = set(self._states)

    @property
    def is_solved(self) -> bool:
        """Whether the last step reached the target."""
        return bool(self._states) and self._states[-1] == (self.game.target,)

    def state(self, index: int) -> State:
        """Return the numbers left after a step."""
        return self.game.start if index == FROM_QUESTION else self._states[index]

    def line(self) -> Iterator[int]:
        """Yield the last step, what it continues, and so on back to the question."""
        index = len(self.steps) - 1
        while index != FROM_QUESTION:
            yield index
            index = self.steps[index].parent
        yield FROM_QUESTION

    def untried(self, index: int, heuristic: Heuristic) -> list[Operation]:
        """Return what leads from a step to a state that is new and has something new after it, best first."""
        ranked = _ranked(self.state(index), self.game.target, self.game.limits, heuristic)
        return [option for option in ranked if self._is_new(option.next_state)]

    def _is_new(self, state: State) -> bool:
        if state in self._seen:
            return False
        return is_leaf(state) or any(o.next_state not in self._seen for o in self._operations(state))

    def is_alive(self, index: int) -> bool:
        """Whether the target can be reached from a step. Knows the answer: not for blind attempts."""
        return reaches(self.state(index), self.game.target, self.game.limits)

    def winning(self, index: int) -> list[Operation]:
        """Return what can be done after a step and still reaches the target, new states if there are any.

        Knows the answer: not for blind attempts.
        """
        target, limits = self.game.target, self.game.limits
        options = [o for o in self._operations(self.state(index)) if reaches(o.next_state, target, limits)]
        return [option for option in options if option.next_state not in self._seen] or options

    def take(self, parent: int, operation: Operation) -> None:
        """Write the step that does `operation` after step `parent`; leaving a branch is given a reason."""
        if self.steps and parent != len(self.steps) - 1:
            last = self.steps[-1]
            self.steps[-1] = TraceStep(step=give_up(last.step), parent=last.parent, state=last.state)
        text, key = step_text(self.state(parent), operation, self.game.target, self.game.language)
        self.steps.append(TraceStep(step=text, parent=parent, state=key))
        self._states.append(operation.next_state)
        self._seen.add(operation.next_state)

    def answer(self) -> str:
        """Return the final answer, empty where the target has not been reached."""
        if not self.is_solved:
            return ""
        route = [index for index in self.line() if index != FROM_QUESTION]
        return answer_text([self.steps[index].step for index in reversed(route)], self.game.target)

    def _operations(self, state: State) -> tuple[Operation, ...]:
        return _operations(state, self.game.limits)


def _walk_to_target(walk: _Walk, index: int, rng: random.Random) -> None:
    """Go from a step to the target, each operation drawn from those that still reach it."""
    while walk.state(index) != (walk.game.target,):
        options = walk.winning(index)
        if not options:
            raise InputError(
                f"Countdown problem {walk.game.name}: {walk.game.target} cannot be made from "
                f"{' '.join(map(str, walk.game.start))}. Remove it, or correct its numbers or target."
            )
        walk.take(index, rng.choice(options))
        index = len(walk.steps) - 1


@lru_cache(maxsize=1 << 16)
def _operations(state: State, limits: Limits) -> tuple[Operation, ...]:
    return tuple(operations(state, limits))


@lru_cache(maxsize=1 << 14)
def _ranked(state: State, target: int, limits: Limits, heuristic: Heuristic) -> tuple[Operation, ...]:
    """Sort what can be done in a state by where it leads; of operations to the same state the first stays."""
    first = {option.next_state: option for option in reversed(_operations(state, limits))}
    return tuple(sorted(first.values(), key=lambda option: heuristic(option.next_state, target)))


@lru_cache(maxsize=1 << 10)
def _factors(target: int) -> tuple[int, ...]:
    """Factors of the target from 2 on; the target itself where that leaves none."""
    return tuple(n for n in range(2, target + 1) if target % n == 0) or (target,)


@lru_cache(maxsize=1 << 10)
def _cumulative_weights(count: int, temperature: float) -> tuple[float, ...]:
    weights = [math.exp(-rank / temperature) for rank in range(count)]
    return tuple(math.fsum(weights[: rank + 1]) for rank in range(count))
