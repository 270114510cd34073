"""The answer of a sampled path through the graph of a Game of 24."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from steiner.core import NodeFacts, Problem, Step
from steiner.problems.game24 import TARGET
from steiner.synthesis.importers.operations24 import Done, perform, read_operation
from steiner.teacher.countdown_text import DEAD_END, GO_ON, give_up, take_back


class Writer(Protocol):
    """What `steiner.graph.PathWriter` asks for; this room may not import that one."""

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the final answer."""
        ...

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step as it reads right before a backtrack."""
        ...

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step as it reads where the path goes on from it."""
        ...


class Game24Writer:
    """A `PathWriter` for problems of task `game24`; prose is left to another writer.

    Routes that meet in the same numbers left share the nodes after that, so the answer that a trace gave
    there may belong to other operations than those of the path: it is made anew from the path's own steps.
    """

    def __init__(self, prose: Writer) -> None:
        """`prose` words what is not in the form of `operations24`."""
        self._prose = prose

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the expression of the route's operations, or what `prose` chooses if they make none."""
        made = _expression([Fraction(n) for n in problem.facts.get("numbers", ())], route)
        return f"{made} = {TARGET}" if made else self._prose.answer(problem, route, candidates)

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step as it reads where the path goes back after it: `go on` becomes a dead end."""
        return give_up(step) if _is_ours(step) else self._prose.before_backtrack(problem, step, fact)

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step as it reads where the path goes on from it: a dead end becomes `go on`."""
        return take_back(step) if _is_ours(step) else self._prose.before_proceed(problem, step, fact)


def _is_ours(step: Step) -> bool:
    said = step.reflection
    return said in (GO_ON, DEAD_END) or said.startswith((f"target {TARGET} , got ", "not allowed , "))


def _expression(start: Sequence[Fraction], route: Sequence[Step]) -> str:
    """Return the operations as one expression that reaches the target; empty if they do not make one."""
    made: dict[Fraction, list[str]] = {}
    pool = tuple(sorted(start))
    text = ""
    for step in route:
        operation = read_operation(step.thought)
        done = perform(pool, operation, made) if operation else None
        if not isinstance(done, Done):
            return ""
        text = done.work
        taken = Counter(pool) - Counter(done.left)
        made = {value: texts[: len(texts) - taken[value]] for value, texts in made.items()}
        made.setdefault(done.value, []).append(text)
        pool = done.left
    return text if pool == (Fraction(TARGET),) else ""
