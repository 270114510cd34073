"""The engine in this process: one thread owns the model, the event loop hands requests in and takes tokens.

Thread and event loop share one interpreter lock, so the loop's work is taken from the engine's time;
`steiner.serve.engines.process` has the same engine in a process of its own.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple

from steiner.decode.load import load_model
from steiner.protocol import ControlIds, ensure_chat_template
from steiner.serve.engines.base import EngineError, EngineState, EngineStats, Generation, TokenChunk
from steiner.serve.engines.mailbox import Mailbox
from steiner.serve.engines.rows import Row
from steiner.serve.engines.writer import Writer
from steiner.serve.settings import EngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class _Asked(NamedTuple):
    row: Row
    mailbox: Mailbox


class LocalEngine:
    """Continuous batching with transformers in this process."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: EngineSettings
    ) -> None:
        """Take a model over; `start` begins the work.

        Raises:
            InputError: for a model or tokenizer that cannot be served.
        """
        ensure_chat_template(tokenizer)
        self.tokenizer = tokenizer
        self.ids = ControlIds.from_tokenizer(tokenizer)
        self._writer: Writer[Mailbox] = Writer(model, self.ids, settings)
        self.context = self._writer.context
        self._inbox: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stopping = False

    @classmethod
    def load(cls, place: str, settings: EngineSettings) -> LocalEngine:
        """Load a model folder or hub id, safetensors only.

        Raises:
            InputError: if it cannot be loaded or lacks the control tokens.
        """
        model, tokenizer = load_model(place, settings.device)
        return cls(model, tokenizer, settings)

    @property
    def state(self) -> EngineState:
        """Tell whether its thread works."""
        if self._thread is None:
            return EngineState.STARTING
        return EngineState.READY if self._thread.is_alive() else EngineState.FAILED

    async def start(self) -> None:
        """Begin to work."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="steiner-engine", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Stop after the token that is being written."""
        self._stopping = True
        self._inbox.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 60)

    def stats(self) -> EngineStats:
        """Return counts."""
        found = self._writer.stats()
        return found._replace(waiting=found.waiting + self._inbox.qsize())

    async def stream(self, generation: Generation) -> AsyncGenerator[TokenChunk, None]:
        """Yield the completion as it is written.

        Raises:
            EngineError: if the model fails, or the engine's thread has ended.
        """
        if self.state is not EngineState.READY:
            raise EngineError("the engine's thread does not run")
        asked = _Asked(Row.of(generation), Mailbox())
        self._inbox.put(asked)
        try:
            while True:
                chunk = await asked.mailbox.take()
                yield chunk
                if chunk.finish:
                    return
        finally:
            asked.row.cancelled = True

    def _work(self) -> None:
        """Be the engine's thread."""
        self._writer.begin()
        try:
            while self._receive():
                self._post(self._writer.step())
        finally:
            self._post(self._writer.give_up())

    def _receive(self) -> bool:
        """Take requests in; waits for one when there is nothing else to do. False: it is time to stop."""
        while not (self._inbox.empty() and self._writer.busy):
            asked = self._inbox.get()
            if asked is None:
                break
            self._writer.add(*asked)
        return not self._stopping

    def _post(self, delivery: list[tuple[Mailbox, TokenChunk | None]]) -> None:
        if delivery and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, delivery)


def _deliver(delivery: list[tuple[Mailbox, TokenChunk | None]]) -> None:
    """Put what came into the mailboxes, in the event loop."""
    for mailbox, chunk in delivery:
        mailbox.put(chunk)
