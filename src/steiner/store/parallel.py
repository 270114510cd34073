"""Map a function over a stream with all cores, a bounded queue and results in order."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from steiner.core import SteinerError
from steiner.store.beside import Beside, close_beside, open_beside
from steiner.store.engine import Item, Result, Workers


def default_workers() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_bounded(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: Workers = 1,
    *,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    beside: Beside | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, at most `4 * workers` items ahead of the consumer.

    With one worker everything runs in this process. `function` must be picklable otherwise (a module-level
    function or a `functools.partial` of one). It travels with every item: what is large, such as a model,
    belongs to the `initializer`, which runs once in each process. An engine in place of a number of workers
    does the same elsewhere; `beside` says what `function` reads with `read_beside`.

    Raises:
        SteinerError: if a worker process was killed.
    """
    if not isinstance(workers, int):
        yield from workers.map(function, items, initializer=initializer, initargs=initargs, beside=beside)
        return
    if workers <= 1:
        try:
            _prepare(initializer, initargs, beside)
            yield from map(function, items)
        finally:
            if beside is not None:
                close_beside()
        return
    # Not fork: the caller may hold threads (progress display, torch).
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(initializer, initargs, beside)
    ) as pool:
        queue: deque[Future[Result]] = deque()
        try:
            for item in items:
                queue.append(pool.submit(function, item))
                if len(queue) >= 4 * workers:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        except BrokenProcessPool as error:
            raise SteinerError(
                "A worker process was killed, mostly because memory ran out. What was finished is kept: run "
                "the same command again to go on, with fewer --workers if it happens again."
            ) from error
        finally:
            for future in queue:
                future.cancel()


def _start_worker(
    initializer: Callable[..., None] | None, initargs: tuple[Any, ...], beside: Beside | None
) -> None:
    """Prepare a worker: it must not outlive its parent, and a parent killed by SIGKILL cannot end it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _prepare(initializer, initargs, beside)


def _prepare(
    initializer: Callable[..., None] | None, initargs: tuple[Any, ...], beside: Beside | None
) -> None:
    if beside is not None:
        open_beside(beside)
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
