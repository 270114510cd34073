"""Measure a model on problems: what `steiner evaluate`, `steiner curve --anytime` and recipes share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import Problem, Progress, StepBudget

if TYPE_CHECKING:
    from steiner.decode.engine import LocalEngine
    from steiner.evaluate.saved import SavedEvaluation
    from steiner.protocol.history import HistoryPolicy
    from steiner.protocol.prompt import Prompt


class Asking(NamedTuple):
    """How a model is asked."""

    limits: tuple[int, ...]
    """Numbers of steps that are allowed, ascending."""
    temperature: float = 0.0
    seed: int = 0
    max_reasoning_tokens: int | None = None
    other_limits: StepBudget = StepBudget()
    turns: int = 1
    """Above 1 each problem is the last of so many turns of a conversation, which carries what `history`
    says."""
    history: HistoryPolicy | None = None
    system: str = ""
    """System prompt."""
    batch: int = 64
    """Completions that are written at once."""

    @property
    def budget(self) -> StepBudget:
        """All limits, with the largest number of steps."""
        own = {"max_steps": max(self.limits), "max_reasoning_tokens": self.max_reasoning_tokens}
        return self.other_limits.model_copy(update=own)


def measure_model(
    model: str, problems: Sequence[Problem], asking: Asking, *, run: Path, stage: str
) -> SavedEvaluation:
    """Measure a model under every limit, from one completion of each problem.

    Args:
        model: folder, hub id, or name of a shipped model.
        problems: what to ask; one that comes several times is answered as often.
        asking: limits and the like.
        run: where the problems are from.
        stage: name of the stage or benchmark that they are from.

    Raises:
        InputError: if the model cannot be loaded, or a problem cannot be asked in so many turns.
    """
    from steiner.cli.circumstances import circumstances
    from steiner.cli.common import is_right
    from steiner.cli.ui import RichProgress
    from steiner.decode.engine import LocalEngine
    from steiner.evaluate.languages import results_by_language
    from steiner.evaluate.metrics import curve_point
    from steiner.evaluate.run import evaluate
    from steiner.evaluate.saved import AskedQuestion, SavedEvaluation, WrittenPath

    engine = LocalEngine.load(
        model, seed=asking.seed, temperature=asking.temperature, system_prompt=asking.system,
        batch_size=asking.batch,
    )  # fmt: skip
    progress = RichProgress()
    started = time.monotonic()
    try:
        prompts = _earlier_turns(engine, problems, asking, progress)
        progress.start("Evaluating", len(problems))
        samples, whole = evaluate(
            engine, problems, asking.limits, is_right, max_reasoning_tokens=asking.max_reasoning_tokens,
            other_limits=asking.other_limits, prompts=prompts, progress=progress,
        )  # fmt: skip
    finally:
        progress.finish()
    paths = [one.parsed for one in whole]
    return SavedEvaluation(
        model=model,
        run=str(run),
        stage=stage,
        temperature=asking.temperature,
        seed=asking.seed,
        max_reasoning_tokens=asking.max_reasoning_tokens,
        other_limits=asking.other_limits,
        system=asking.system,
        turns=asking.turns,
        history=None if prompts is None else asking.history,
        seconds=time.monotonic() - started,
        curve=tuple(curve_point(samples, limit, asking.seed) for limit in asking.limits),
        samples=tuple(samples),
        languages=results_by_language(
            problems, [path.steps for path in paths], samples, max(asking.limits), asking.seed
        ),
        questions=tuple(
            AskedQuestion(problem_id=p.id, prompt=p.blind().prompt, reference=p.answer)
            for p in {p.id: p for p in problems}.values()
        ),
        written=tuple(
            WrittenPath(problem_id=p.id, steps=path.steps, moves=path.moves)
            for p, path in zip(problems, paths, strict=True)
        ),
        circumstances=circumstances(),
    )


def _earlier_turns(
    engine: LocalEngine, problems: Sequence[Problem], asking: Asking, progress: Progress
) -> list[Prompt] | None:
    """Let the model have the conversations that end with the problems; None where there is one turn."""
    from steiner.evaluate.turns import conversations, converse

    if asking.turns == 1 or asking.history is None:
        return None
    asked = conversations(problems, asking.turns, asking.seed)
    progress.start("Earlier turns", sum(len(one.questions) - 1 for one in asked))
    prompts = converse(engine, asked, asking.budget, asking.history, progress)
    progress.finish()
    return prompts
