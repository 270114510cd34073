"""The engine in a process of its own, which has a core and an interpreter lock to itself.

The event loop's work (prompts, streams, samples) no longer takes turns with the engine's. Messages go through
a socket, many tokens in each. A process that ends by itself fails what it was writing and is started again
once, and again after each time that it has finished a completion.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from steiner.core import errors
from steiner.decode.load import check_place
from steiner.decode.shipped import find_model
from steiner.protocol import ControlIds, ensure_chat_template
from steiner.serve.engines.base import EngineError, EngineState, EngineStats, Generation, TokenChunk
from steiner.serve.engines.frames import Frames, Job, Order, Ready, Refused, frame, receive, unpack_news
from steiner.serve.engines.mailbox import Mailbox
from steiner.serve.engines.started import Started
from steiner.serve.settings import EngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger("steiner.serve")

NOTHING = EngineStats(0, 0, 0, 0, 0)


class ProcessEngine:
    """Continuous batching with transformers in a process of its own."""

    def __init__(self, started: Started, ready: Ready, tokenizer: PreTrainedTokenizerBase, job: Job) -> None:
        """Take over a process that has loaded its model.

        Raises:
            InputError: for a tokenizer that cannot be served.
        """
        ensure_chat_template(tokenizer)
        self.tokenizer = tokenizer
        self.ids = ControlIds.from_tokenizer(tokenizer)
        self.context = ready.context
        self.state = EngineState.STARTING
        self._job = job
        self._started = started
        self._link: asyncio.Transport | None = None
        self._mailboxes: dict[int, Mailbox] = {}
        self._keys = itertools.count()
        self._outbox: list[Order] = []
        self._stats = self._stats_before = NOTHING
        self._has_finished = True
        """Whether this process has finished a completion; the first one is started again in any case."""
        self._closing = False
        self._settled = asyncio.Event()
        """Set but while the process is being started."""
        self._restart: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Number of the engine's process."""
        return self._started.pid

    @classmethod
    def load(cls, place: str, settings: EngineSettings) -> ProcessEngine:
        """Start a process that loads a model folder or hub id, safetensors only.

        Raises:
            InputError: if it cannot be loaded or lacks the control tokens, or its process ends.
        """
        import torch
        from transformers import AutoTokenizer

        found = find_model(place)
        check_place(found)
        job = Job(place=place, settings=settings, threads=torch.get_num_threads())
        started = Started(job)
        try:
            try:
                tokenizer = AutoTokenizer.from_pretrained(found)  # while the other loads the model
            except (OSError, ValueError):
                tokenizer = None
            try:
                answer = receive(started.socket)
            except (EOFError, ConnectionError):
                raise errors.InputError(_ended(place, started.end())) from None
            if isinstance(answer, Refused):
                raise _error(answer)
            if tokenizer is None:
                tokenizer = AutoTokenizer.from_pretrained(found)
            return cls(started, answer, tokenizer, job)
        except BaseException:
            started.end()
            raise

    async def start(self) -> None:
        """Begin to work."""
        await self._connect()
        self._settle(EngineState.READY)

    async def close(self) -> None:
        """Stop at once; returns when the process is gone."""
        self._closing = True
        self._settle(EngineState.FAILED)
        if self._link is not None:
            self._link.abort()
        if self._restart is not None:
            self._restart.cancel()
        self._fail_all()
        await asyncio.to_thread(self._started.end)

    def stats(self) -> EngineStats:
        """Return counts: those that the process told last."""
        now, before = self._stats, self._stats_before
        waiting = max(0, len(self._mailboxes) - now.running)
        return EngineStats(now.running, waiting, *_totals(now, before))

    async def stream(self, generation: Generation) -> AsyncGenerator[TokenChunk, None]:
        """Yield the completion as it is written. Waits for a process that is being started.

        Raises:
            EngineError: if the model fails, or the engine's process has ended.
        """
        await self._settled.wait()
        if self.state is not EngineState.READY:
            raise EngineError("the engine's process does not run")
        key, mailbox = next(self._keys), Mailbox()
        self._mailboxes[key] = mailbox
        self._send(Order(key, generation))
        try:
            while True:
                chunk = await mailbox.take()
                yield chunk
                if chunk.finish:
                    return
        finally:
            if self._mailboxes.pop(key, None) is not None:
                self._send(Order(key, None))

    def _send(self, order: Order) -> None:
        """Send what one turn of the loop brings in one message, so that a prompt is sent and read once."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(order)

    def _flush(self) -> None:
        orders, self._outbox = self._outbox, []
        if self._link is not None and orders:
            self._link.write(frame(orders))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._link, _ = await loop.create_unix_connection(lambda: _Wire(self), sock=self._started.socket)

    def arrived(self, message: Any) -> None:
        """Take a message of the process."""
        if isinstance(message, Ready):
            log.warning("the engine's process runs again")
            self._settle(EngineState.READY)
            return
        if isinstance(message, Refused):
            log.error("the engine cannot be started again: %s", message.message)
            return
        self._stats, chunks = unpack_news(message)
        for key, chunk in chunks:
            over = chunk is None or chunk.finish is not None
            mailbox = self._mailboxes.pop(key, None) if over else self._mailboxes.get(key)
            if mailbox is not None:
                mailbox.put(chunk)
            self._has_finished = self._has_finished or (over and chunk is not None)

    def lost(self) -> None:
        """Take note that the process is gone."""
        self._link = None
        self._fail_all()
        self._stats_before = EngineStats(0, 0, *_totals(self._stats, self._stats_before))
        self._stats = NOTHING
        if self._closing:
            return
        self._settle(EngineState.STARTING if self._has_finished else EngineState.FAILED)
        self._restart = asyncio.get_running_loop().create_task(self._bury(self._has_finished))

    async def _bury(self, again: bool) -> None:
        """Wait for the end of the process, say how it ended, and start another one."""
        status = await asyncio.to_thread(self._started.end)
        log.error("%s", _ended(self._job.place, status))
        if not again:
            log.error("the engine ended again before it had finished anything: it is not started any more")
            return
        self._has_finished = False
        try:
            self._started = Started(self._job)
            await self._connect()
        except OSError:
            log.exception("the engine cannot be started again")
            self._settle(EngineState.FAILED)

    def _settle(self, state: EngineState) -> None:
        self.state = state
        if state is EngineState.STARTING:
            self._settled.clear()
        else:
            self._settled.set()

    def _fail_all(self) -> None:
        self._outbox.clear()
        for mailbox in self._mailboxes.values():
            mailbox.put(None)
        self._mailboxes.clear()


class _Wire(asyncio.Protocol):
    """Hands what comes from the process to the engine."""

    def __init__(self, engine: ProcessEngine) -> None:
        self._engine = engine
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        for message in self._frames.feed(data):
            self._engine.arrived(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note."""
        self._engine.lost()


def _totals(now: EngineStats, before: EngineStats) -> list[int]:
    return [one + other for one, other in zip(now[2:], before[2:], strict=True)]


def _ended(place: str, status: int) -> str:
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return (
        f"the engine's process for '{place}' has ended ({how}). What it printed says why; signal 9 often "
        "means that memory ran out."
    )


def _error(refused: Refused) -> errors.SteinerError:
    kind = getattr(errors, refused.kind, errors.InputError)
    made: errors.SteinerError = kind(refused.message)
    return made
