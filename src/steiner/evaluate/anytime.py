"""One long completion per question, and what it would have been under every smaller step limit.

Under step control a step limit changes nothing until it is reached: then END is forced. So a run of its own
under a smaller limit writes the same steps up to there, and only the answer is another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from steiner.core import Progress, StepBudget
from steiner.protocol import Parsed
from steiner.protocol.prompt import Prompt


class Completed(Protocol):
    """What an engine wrote for one question."""

    @property
    def completion_ids(self) -> tuple[int, ...]:
        """Token ids, end of text included."""
        ...

    @property
    def parsed(self) -> Parsed:
        """The completion read by the protocol."""
        ...

    @property
    def reasoning_tokens(self) -> int:
        """Tokens from START to END, both included."""
        ...


class Engine(Protocol):
    """What evaluation asks of a model, local or remote."""

    def generate(
        self, questions: Sequence[Prompt], budget: StepBudget, progress: Progress | None = None
    ) -> Sequence[Completed]:
        """Think within `budget` and answer, one completion per question."""
        ...

    def answer_after(
        self, questions: Sequence[Prompt], completions: Sequence[Sequence[int]], steps: int
    ) -> Sequence[Completed]:
        """Answer from the first `steps` steps of each completion."""
        ...


@runtime_checkable
class AnytimeEngine(Protocol):
    """An engine that forks answers while the keys and values of a completion are at hand."""

    def anytime(
        self,
        questions: Sequence[Prompt],
        budget: StepBudget,
        limits: Sequence[int],
        progress: Progress | None = None,
    ) -> Iterable[Mapping[int, Completed]]:
        """Think once within `budget`; for each question: step limit → what `generate` writes under it.

        They may come as they are made, so that not all are in memory together.
        """
        ...


def by_question(
    engine: Engine,
    questions: Sequence[Prompt],
    budget: StepBudget,
    limits: Sequence[int],
    progress: Progress | None = None,
) -> Iterable[Mapping[int, Completed]]:
    """Return what an engine writes under each step limit, for the price of little more than the largest.

    Args:
        engine: the model. One that cannot fork reads each completion again up to the limit.
        questions: what to ask.
        budget: its `max_steps` is the largest of the limits.
        limits: step limits.
        progress: is told how many questions are done.

    Returns:
        For each question, in their order: step limit, ascending → completion.
    """
    ascending = sorted(set(limits))
    if isinstance(engine, AnytimeEngine):
        return engine.anytime(questions, budget, ascending, progress)
    whole = list(engine.generate(questions, budget, progress))
    columns = [
        whole if limit == ascending[-1] else _broken_off(engine, questions, whole, limit)
        for limit in ascending
    ]
    return [dict(zip(ascending, row, strict=True)) for row in zip(*columns, strict=True)]


def _broken_off(
    engine: Engine, questions: Sequence[Prompt], whole: Sequence[Completed], limit: int
) -> list[Completed]:
    """Return what each question gets under a smaller limit; what had ended by itself stays as it is."""
    longer = [i for i, completed in enumerate(whole) if len(completed.parsed.steps) > limit]
    result = list(whole)
    if longer:
        answered = engine.answer_after(
            [questions[i] for i in longer], [whole[i].completion_ids for i in longer], limit
        )
        for index, completed in zip(longer, answered, strict=True):
            result[index] = completed
    return result
