"""How steps of a Countdown search are worded, and read back. See "Countdown text" in docs/design.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from steiner.core import InputError, Step, TraceStep
from steiner.problems.countdown import (
    OPERATORS,
    TASK,
    Limits,
    Operation,
    State,
    expression_from_equations,
    make_state,
    state_key,
)
from steiner.problems.countdown_words import WORDS, comparison, words_of

GO_ON = WORDS["en"].go_on
"""Reflection of a step that leaves more than one number, in English."""
DEAD_END = WORDS["en"].dead_end
"""Reflection of a step that leaves more than one number, where the search goes back after it, in English."""
_DEAD_ENDS = {words.go_on: words.dead_end for words in WORDS.values()}
_GO_ONS = {dead_end: go_on for go_on, dead_end in _DEAD_ENDS.items()}


class Game(NamedTuple):
    """A Countdown question as the search needs it."""

    name: str
    """For error messages."""
    start: State
    target: int
    limits: Limits
    language: str = "en"
    """Of the question, and so of the steps."""

    @classmethod
    def of(cls, name: str, task: str, facts: Mapping[str, Any], language: str = "en") -> Game:
        """Read `Problem.facts`: `numbers`, `target` and, where they are limited, `max_result`, `operators`.

        Raises:
            InputError: if this is no Countdown problem.
        """
        if task != TASK:
            raise InputError(
                f"The countdown teacher writes steps for problems of the task '{TASK}' only; "
                f"problem {name} is of {f'the task {task!r}' if task else 'no task'}."
            )
        try:
            start = make_state(int(number) for number in facts["numbers"])
            limits = Limits(facts.get("max_result"), facts.get("operators", OPERATORS))
            game = cls(name, start, int(facts["target"]), limits, language)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Countdown problem {name} needs the facts 'numbers' (a list of whole numbers) and 'target' "
                f"(a whole number), it has {dict(facts)!r}."
            ) from error
        if len(game.start) < 2:
            raise InputError(f"Countdown problem {name} needs at least two numbers, it has {dict(facts)!r}.")
        return game


def is_leaf(state: State) -> bool:
    """Whether one number is left, so that nothing can follow but the comparison with the target."""
    return len(state) == 1


@lru_cache(maxsize=1 << 16)
def step_text(state: State, operation: Operation, target: int, language: str = "en") -> tuple[Step, str]:
    """Word the step that does `operation` in `state`; return it with the key of the state it reaches."""
    words = words_of(language)
    left = " ".join(map(str, operation.next_state))
    after = operation.next_state
    reflection = comparison(target, after[0], language) if is_leaf(after) else words.go_on
    step = Step(
        name=words.name.format(numbers=" ".join(map(str, state))),
        thought=operation.equation,
        summary=words.summary.format(numbers=left),
        reflection=reflection,
    )
    return step, state_key(operation.next_state)


def read_state(item: TraceStep) -> State:
    """Return the state that a step of a Countdown trace reached.

    Raises:
        ValueError: if the step carries no state.
    """
    if not item.state:
        raise ValueError(f"the step {item.step.name!r} carries no Countdown state")
    return tuple(map(int, item.state.split(",")))


def give_up(step: Step) -> Step:
    """Return the step as it reads where the search goes back after it; it may say why already."""
    text = _DEAD_ENDS.get(step.reflection)
    return step if text is None else step.model_copy(update={"reflection": text})


def take_back(step: Step) -> Step:
    """Return the step as it reads where the search goes on after it; the reverse of `give_up`."""
    text = _GO_ONS.get(step.reflection)
    return step if text is None else step.model_copy(update={"reflection": text})


def answer_text(route: Sequence[Step], target: int) -> str:
    """Return the final answer for the steps that lead to the target, for example `(3 + 5) * 3 = 24`.

    Raises:
        ValueError: if their thoughts are not the equations of a whole derivation.
    """
    return f"{expression_from_equations(step.thought for step in route)} = {target}"
