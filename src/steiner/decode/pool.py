"""A small model on all cores: one copy per process, each on one thread.

Threads do not speed up a tiny model's matrix products, and Python's own work between them holds one core; two
processes are twice as fast. The questions are cut into the same chunks whatever the number of processes, so
it does not change what is written.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from steiner.core import Progress, StepBudget
from steiner.decode.engine import LocalEngine, Thought, row_seeds
from steiner.protocol.prompt import Prompt

Limit = TypeVar("Limit", StepBudget, int, tuple[StepBudget, Sequence[int]])
Written = TypeVar("Written")
Work = Callable[[tuple[Any, ...], Limit], list[Written]]

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
            workers, mp_context=context, initializer=_load, initargs=(path, options)
        )
        self._seed: int = options.get("seed", 0)

    def generate(
        self, questions: Sequence[Prompt], budget: StepBudget, progress: Progress | None = None
    ) -> list[Thought]:
        """Think within `budget` and answer, one completion per question."""
        columns = (questions, row_seeds(self._seed, questions))
        return list(self._map(_generate, progress, columns, budget))

    def anytime(
        self,
        questions: Sequence[Prompt],
        budget: StepBudget,
        limits: Sequence[int],
        progress: Progress | None = None,
    ) -> Iterator[dict[int, Thought]]:
        """Think once within `budget`, and answer under each step limit what `generate` would under it."""
        columns = (questions, row_seeds(self._seed, questions))
        return self._map(_anytime, progress, columns, (budget, limits))

    def answer_after(
        self, questions: Sequence[Prompt], completions: Sequence[Sequence[int]], steps: int
    ) -> list[Thought]:
        """Answer from the first `steps` steps of each completion, as if it had been allowed no more."""
        return list(self._map(_answer_after, None, (questions, completions), steps))

    def _map(
        self,
        function: Work[Limit, Written],
        progress: Progress | None,
        columns: tuple[Sequence[Any], ...],
        limit: Limit,
    ) -> Iterator[Written]:
        """Yield what is made of each row of the columns, in their order, as soon as it is there."""
        count = len(columns[0])
        chunks = [[column[i : i + CHUNK] for column in columns] for i in range(0, count, CHUNK)]
        futures = deque(self._pool.submit(function, tuple(chunk), limit) for chunk in chunks)
        if progress is not None:
            told = _Told(progress)
            for future, chunk in zip(futures, chunks, strict=True):
                future.add_done_callback(partial(told.more, len(chunk[0])))
        while futures:
            yield from futures.popleft().result()

    def __enter__(self) -> EnginePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Told:
    """Adds up what is done, whichever thread tells."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()
        self._done = 0

    def more(self, count: int, future: Future[Any]) -> None:
        """Tell of a chunk."""
        with self._lock:
            self._done += count
            self._progress.update(self._done)


def _load(path: Path | str, options: dict[str, Any]) -> None:
    import torch

    global _engine
    torch.set_num_threads(1)
    _engine = LocalEngine.load(path, **options)


def _generate(columns: tuple[Any, ...], budget: StepBudget) -> list[Thought]:
    assert _engine is not None
    questions, seeds = columns
    return _engine.generate(questions, budget, seeds=seeds)


def _anytime(columns: tuple[Any, ...], limit: tuple[StepBudget, Sequence[int]]) -> list[dict[int, Thought]]:
    assert _engine is not None
    questions, seeds = columns
    return list(_engine.anytime(questions, *limit, seeds=seeds))


def _answer_after(columns: tuple[Any, ...], steps: int) -> list[Thought]:
    assert _engine is not None
    questions, completions = columns
    return _engine.answer_after(questions, completions, steps)
