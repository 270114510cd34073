"""Who does the work of a stage: processes of this machine, or an engine such as Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from steiner.store.beside import Beside

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Maps a function over a stream somewhere else.

    Whatever the engine: results come in the order of the items, only a bounded part of the stream is held at
    a time, and an exception comes out after the results before it. The caller stores the results, so one
    process alone writes the journal, and it comes out the same with any engine.
    """

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        initializer: Callable[..., None] | None = None,
        initargs: tuple[Any, ...] = (),
        beside: Beside | None = None,
    ) -> Iterator[Result]:
        """Yield `function(item)` in the order of `items`.

        Args:
            function: picklable and pure: it may be run again where a worker died.
            items: picklable; `StoredRecord`s where `beside` is given.
            initializer: called with `initargs` once in each worker process, before its first item.
            initargs: picklable; sent once to each worker process, not with each item.
            beside: what `function` reads with `read_beside`.
        """
        ...


Workers = int | Engine
"""A number of processes on this machine, or an engine."""
