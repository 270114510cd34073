"""The words of a Countdown path that no single step can know: its final answer, and whether it goes back."""

from __future__ import annotations

from collections.abc import Sequence

from steiner.core import NodeFacts, Problem, Step
from steiner.teacher.countdown_text import answer_text, give_up, take_back


class CountdownWriter:
    """Writes them for problems of task `countdown`; a `PathWriter` of `steiner.graph`."""

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the expression that the steps of the route make, whatever other traces answered.

        Args:
            problem: what the path solves.
            route: the steps on the way from the question to the answer, detours left out.
            candidates: answers of other traces of the problem, which may have come by other operations.

        Raises:
            ValueError: if the thoughts of the route are not the equations of a whole derivation.
        """
        return answer_text(route, int(problem.facts["target"]))

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step as it reads where the path goes back after it: `go on` becomes a dead end."""
        return give_up(step)

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step as it reads where the path goes on from it: a dead end becomes `go on`."""
        return take_back(step)
