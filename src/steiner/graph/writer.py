"""What a sampled path says where a trace's own words do not fit the place they now stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from steiner.core import NodeFacts, Problem, Step
from steiner.graph.phrases import PHRASES, Phrases, is_content, is_leaving, language_of, sentences


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


class TextWriter:
    """Writes for prose in English, Chinese or Japanese; other languages get English sentences.

    The answer is the first candidate. Before a backtrack, a reflection of a few words ("That seems right.")
    and every short sentence that approves of the step are left out; what holds a number or a longer thought
    is kept. Then come a doubt and the decision to go back, unless the reflection says so already. Which ones
    depends on the step's own text, in the step's own language; the doubt is milder where the right answer can
    be reached from the step.
    """

    def answer(self, problem: Problem, route: Sequence[Step], candidates: Sequence[str]) -> str:
        """Return the first candidate."""
        return candidates[0]

    def before_backtrack(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step with a reflection that says why the search goes back."""
        text = f"{step.thought}{step.summary}{step.reflection}"
        language = language_of(text)
        phrases = PHRASES[language]
        said = sentences(step.reflection)
        leaves = any(is_leaving(one, language) or one in phrases.returns for one in said)
        kept = [one for one in said if not _is_bare_approval(one, language)]
        if leaves:
            return step if kept == said else step.model_copy(update={"reflection": phrases.gap.join(kept)})
        if _is_verdict(step.reflection.strip(), language):
            kept = []
        mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        doubts = phrases.doubts if fact.d_e is None else phrases.detours
        doubt = doubts[mark[0] % len(doubts)]
        if any(is_content(one, language) for one in kept):
            doubt = phrases.still.format(doubt)
        going = phrases.returns[mark[1] % len(phrases.returns)]
        return step.model_copy(update={"reflection": phrases.gap.join([*kept, doubt, going])})

    def before_proceed(self, problem: Problem, step: Step, fact: NodeFacts) -> Step:
        """Return the step without sentences that say to go back, and otherwise as it is."""
        language = language_of(f"{step.thought}{step.summary}{step.reflection}")
        phrases = PHRASES[language]
        said = step.reflection
        if not any(is_leaving(one, language) or _is_ours(one, phrases) for one in sentences(said)):
            return step
        kept = [
            one
            for one in sentences(said)
            if not _is_ours(one, phrases) and (_holds_number(one) or not is_leaving(one, language))
        ]
        return step.model_copy(update={"reflection": phrases.gap.join(kept) or phrases.going_on})


def _is_ours(sentence: str, phrases: Phrases) -> bool:
    """Return whether `before_backtrack` writes such a sentence."""
    doubts = (*phrases.doubts, *phrases.detours)
    return sentence in (*doubts, *(phrases.still.format(doubt) for doubt in doubts), *phrases.returns)


def _is_bare_approval(sentence: str, language: str) -> bool:
    """Return whether a sentence does little more than to approve."""
    short = len(sentence) <= (72 if language == "en" else 24)
    return short and not _holds_number(sentence) and is_content(sentence, language)


def _is_verdict(reflection: str, language: str) -> bool:
    """Return whether a reflection is too short to hold a thought of its own."""
    return len(reflection) <= (48 if language == "en" else 16) and not _holds_number(reflection)


def _holds_number(sentence: str) -> bool:
    return any(c.isdigit() for c in sentence)
