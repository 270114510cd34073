"""Many questions at once: a bounded number on their way, fed lazily, stopped cleanly."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from steiner.core import StorageError
from steiner.store import Journal, StoredRecord
from steiner.store.stage import COMMIT_RECORDS, COMMIT_SECONDS
from steiner.synthesis.calls import CallBook, Halted

TICK_SECONDS = 0.02
"""How often it is looked whether there is room for more questions."""
SHOW_SECONDS = 0.25


class Finished(NamedTuple):
    """What is to be stored of one question."""

    bodies: dict[str, bytes]
    """Stage → JSON."""
    failed: bool
    """Whether a call failed for good."""


class Crowd:
    """Works on the questions of a run, as many at once as keep the client busy.

    Results are stored in groups, all records of a question in one transaction. Work ends early when a
    question raises anything but `Halted`, on Ctrl-C, or when the disk is full: no further request is sent,
    those on their way are waited for and stored, and the next command goes on from there.
    """

    def __init__(
        self,
        journal: Journal,
        book: CallBook,
        work: Callable[[StoredRecord], Awaitable[Finished]],
        wanted_calls: Callable[[], int],
        show: Callable[[int], None],
        notice: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            journal: takes the results.
            book: makes the calls.
            work: works on one question.
            wanted_calls: how many calls should be on their way, now.
            show: told the number of questions done, a few times a second.
            notice: told what the user should read.
        """
        self.done = 0
        self.failed = 0
        self.stopped: BaseException | None = None
        """Why work ended early."""
        self._journal = journal
        self._book = book
        self._work = work
        self._wanted_calls = wanted_calls
        self._show = show
        self._notice = notice
        self._tasks: dict[asyncio.Task[Finished], StoredRecord] = {}
        self._finished: list[tuple[StoredRecord, Finished]] = []
        self._changed = asyncio.Event()
        self._interrupted_before = False
        self._committed = self._shown = time.monotonic()

    async def run(self, questions: Iterator[StoredRecord]) -> None:
        """Work on all `questions`; afterwards `stopped` says whether and why there are some left."""
        ticker = asyncio.create_task(self._tick())
        try:
            with self._interrupts():
                for record in questions:
                    await self._room()
                    if self.stopped is not None:
                        break
                    task = asyncio.ensure_future(self._work(record))
                    self._tasks[task] = record
                    task.add_done_callback(self._ended)
                while self._tasks:
                    await self._change()
        except BaseException:
            self._abort()
            raise
        finally:
            ticker.cancel()
            self._commit()
            try:
                self._book.flush()
            except StorageError as error:
                self._stop(error)

    async def _room(self) -> None:
        """Wait until another question is needed to keep the client busy, or work is to end."""
        # A new question asks for its first calls only some turns of the loop later.
        for _ in range(3):
            await asyncio.sleep(0)
        while self.stopped is None and self._is_busy():
            await self._change()

    def _is_busy(self) -> bool:
        wanted = self._wanted_calls()
        return self._book.on_their_way >= wanted or len(self._tasks) >= wanted

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._changed.set()
            now = time.monotonic()
            if self._finished and now - self._committed >= COMMIT_SECONDS:
                self._commit()
            if now - self._shown >= SHOW_SECONDS:
                self._shown = now
                self._show(self.done)

    def _ended(self, task: asyncio.Task[Finished]) -> None:
        record = self._tasks.pop(task)
        self._changed.set()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._finished.append((record, task.result()))
            if len(self._finished) >= COMMIT_RECORDS:
                self._commit()
        elif not isinstance(error, Halted):
            self._stop(error)

    def _commit(self) -> None:
        """Store the finished questions; a full disk ends the work."""
        finished, self._finished = self._finished, []
        self._committed = time.monotonic()
        if not finished:
            return
        records: dict[str, list[StoredRecord]] = {}
        for record, result in finished:
            for stage, body in result.bodies.items():
                records.setdefault(stage, []).append(StoredRecord(record.key, record.ordinal, body))
        try:
            self._journal.put_all(records)
        except StorageError as error:
            self._stop(error)  # their calls are stored, so that nothing is lost
            return
        self.done += len(finished)
        self.failed += sum(result.failed for _, result in finished)

    def _stop(self, reason: BaseException) -> None:
        """Send nothing more; the first reason counts."""
        if self.stopped is None:
            self.stopped = reason
        self._book.halt()
        self._changed.set()

    def _abort(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        self._changed.set()

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Ctrl-C once: wait for what is on its way. Twice: not even that."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        with suppress(NotImplementedError):  # Windows: Ctrl-C then ends the run as it ends any program
            loop.add_signal_handler(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

    def _interrupted(self) -> None:
        if self._interrupted_before:
            self._notice("Stopped at once. Calls that were on their way will be made again.")
            self._abort()
            return
        self._interrupted_before = True
        self._notice(
            f"Stopping: waiting for the replies to {self._book.on_their_way:,} calls, which are paid for. "
            "Press Ctrl-C again to stop at once."
        )
        self._stop(KeyboardInterrupt())
