"""What a sampled path says where a trace's own words do not fit the place they now stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from steiner.core import NodeFacts, Problem, Step


class PathWriter(Protocol):
    """Writes the answer of a path and the reflections before its moves. Must be pure and picklable."""

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

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return `step` as it reads where the path goes on from it: its reflection must not say to go back.

        A trace that went back after the step may have worded it so.
        """
        ...


WriterFor = Callable[[Problem], PathWriter]
"""Chooses who puts a problem's paths into words. A module-level function: it travels to the workers."""

_GOING_BACK = {
    "en": (
        "This does not hold up; I should go back and try another way.",
        "This does not lead to a sound answer, so I go back to an earlier step.",
        "Looking at it again, this line of thought fails; I will return and take a different one.",
        "I do not trust where this is going. Let me back up and reconsider.",
    ),
    "zh": (
        "这样说不通，我应该退回去换一条思路。",
        "这条路得不出可靠的答案，先回到前面的步骤。",
        "再看一遍，这个思路行不通，我退回去另想办法。",
        "这样下去不对，让我回到前面重新考虑。",
    ),
}
_GOING_ON = {"en": "This will do for now; I go on from here.", "zh": "暂且如此，接着往下走。"}
"""What is left to say where a reflection said nothing but to go back."""


class TextWriter:
    """Writes for prose in English or Chinese.

    The answer is the first candidate. A reflection of a few words ("That seems right.") is a bare verdict;
    going back would contradict it, so it is replaced. A longer one, or one with a number in it, is kept and
    gets one more sentence. Which sentence depends on the step's own text, in the step's own language.
    """

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the first candidate."""
        return candidates[0]

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step with a reflection that says why the search goes back."""
        text = f"{step.thought}{step.summary}{step.reflection}"
        options = _GOING_BACK["zh" if is_chinese(text) else "en"]
        said = step.reflection.strip()
        if any(option in said for option in options):
            return step
        reason = options[hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % len(options)]
        if _is_verdict(said):
            return step.model_copy(update={"reflection": reason})
        gap = "" if is_chinese(reason) else " "
        return step.model_copy(update={"reflection": f"{said}{gap}{reason}"})

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step without the sentences of `before_backtrack`, and otherwise as it is."""
        language = "zh" if is_chinese(f"{step.thought}{step.summary}{step.reflection}") else "en"
        said = step.reflection
        for option in (option for options in _GOING_BACK.values() for option in options):
            said = said.replace(option, "")
        if said == step.reflection:
            return step
        return step.model_copy(update={"reflection": said.strip() or _GOING_ON[language]})


def _is_verdict(reflection: str) -> bool:
    """Return whether a reflection is too short to hold a thought of its own."""
    longest = 16 if is_chinese(reflection) else 48
    return len(reflection) <= longest and not any(c.isdigit() for c in reflection)


def is_chinese(text: str) -> bool:
    """Return whether at least a quarter of the letters are Chinese characters."""
    letters = [c for c in text if c.isalpha()]
    return 4 * sum("\u4e00" <= c <= "\u9fff" for c in letters) >= len(letters) > 0
