"""What a sampled path says where a trace's own words do not fit the place they now stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from steiner.core import NodeFacts, Problem, Step


class PathWriter(Protocol):
    """Writes the answer of a path and the reflections before its backtracks. Must be pure and picklable."""

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the final answer.

        Args:
            problem: the problem.
            route: the steps that lead to the answer, detours left out.
            candidates: answers that traces gave after the last of them; at least one.
        """
        ...

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return `step` as it reads right before a backtrack: its reflection must say why to go back."""
        ...


_GOING_BACK = {
    "en": (
        "But this does not hold up; I should go back and try another way.",
        "This does not lead to a sound answer, so I go back to an earlier step.",
        "Looking at it again, this line of thought fails; I will return and take a different one.",
        "I do not trust where this is going. Let me back up and reconsider.",
    ),
    "zh": (
        "但这样说不通，我应该退回去换一条思路。",
        "这条路得不出可靠的答案，先回到前面的步骤。",
        "再看一遍，这个思路行不通，我退回去另想办法。",
        "这样下去不对，让我回到前面重新考虑。",
    ),
}


class TextWriter:
    """Writes for prose in English or Chinese.

    The answer is the first candidate. A reflection before a backtrack gets one more sentence, chosen by the
    step's own text, in the language that the step is written in.
    """

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the first candidate."""
        return candidates[0]

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Add a sentence that says why the search goes back."""
        text = f"{step.thought}{step.summary}{step.reflection}"
        language = "zh" if is_chinese(text) else "en"
        options = _GOING_BACK[language]
        if any(option in step.reflection for option in options):
            return step
        pick = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % len(options)
        gap = "" if language == "zh" or not step.reflection else " "
        return step.model_copy(update={"reflection": f"{step.reflection.rstrip()}{gap}{options[pick]}"})


def is_chinese(text: str) -> bool:
    """Return whether at least a quarter of the letters are Chinese characters."""
    letters = [c for c in text if c.isalpha()]
    return 4 * sum("\u4e00" <= c <= "\u9fff" for c in letters) >= len(letters) > 0
