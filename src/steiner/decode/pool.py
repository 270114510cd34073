"""A small model on all cores: one copy per process, each on one thread.

Threads do not speed up a tiny model's matrix products, and Python's own work between them holds one core; two
processes are twice as fast. The questions are cut into the same chunks whatever the number of processes, so
it does not change what is written.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from steiner.core import Progress, StepBudget
from steiner.decode.engine import LocalEngine, Thought

Limit = TypeVar("Limit", StepBudget, int)
Work = Callable[[tuple[Any, ...], Limit], list[Thought]]

CHUNK = 64
"""Questions per piece of work: one batch."""

_engine: LocalEngine | None = None


class EnginePool:
    """An engine like `LocalEngine`, spread over processes. Use as a context manager."""

    def __init__(self, path: Path | str, workers: int, **options: Any) -> None:
        """Load the model at `path` in each of `workers` processes; `options` are those of `LocalEngine`."""
        # Not fork: this process may hold the threads of torch and of a progress display.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["steiner.decode.engine", "transformers.models.qwen2.modeling_qwen2"])
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_load, initargs=(str(path), options)
        )

    def generate(
        self, questions: Sequence[str], budget: StepBudget, progress: Progress | None = None
    ) -> list[Thought]:
        """Think within `budget` and answer, one completion per question."""
        return self._map(_generate, progress, (questions,), budget)

    def answer_after(
        self, questions: Sequence[str], completions: Sequence[Sequence[int]], steps: int
    ) -> list[Thought]:
        """Answer from the first `steps` steps of each completion, as if it had been allowed no more."""
        return self._map(_answer_after, None, (questions, completions), steps)

    def _map(
        self,
        function: Work[Limit],
        progress: Progress | None,
        columns: tuple[Sequence[Any], ...],
        limit: Limit,
    ) -> list[Thought]:
        count = len(columns[0])
        chunks = [[column[i : i + CHUNK] for column in columns] for i in range(0, count, CHUNK)]
        futures = [self._pool.submit(function, tuple(chunk), limit) for chunk in chunks]
        done = 0
        for future in as_completed(futures):
            done += len(future.result())
            if progress is not None:
                progress.update(done)
        return [thought for future in futures for thought in future.result()]

    def __enter__(self) -> EnginePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _load(path: str, options: dict[str, Any]) -> None:
    import torch

    global _engine
    torch.set_num_threads(1)
    _engine = LocalEngine.load(path, **options)


def _generate(columns: tuple[Any, ...], budget: StepBudget) -> list[Thought]:
    assert _engine is not None
    (questions,) = columns
    return _engine.generate(questions, budget)


def _answer_after(columns: tuple[Any, ...], steps: int) -> list[Thought]:
    assert _engine is not None
    questions, completions = columns
    return _engine.answer_after(questions, completions, steps)
