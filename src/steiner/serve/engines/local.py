"""The embedded engine: one thread owns the model, the event loop hands requests in and takes tokens."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import torch

from steiner.decode.around import TINY
from steiner.decode.load import load_model
from steiner.protocol import ControlIds, ensure_chat_template
from steiner.serve.engines.base import EngineStats, Generation, TokenChunk
from steiner.serve.engines.batch import Batch, BatchLimits
from steiner.serve.engines.rows import Row
from steiner.serve.settings import EngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger("steiner.serve")

Delivery = list[tuple["_Mailbox", TokenChunk | None]]
"""What one step has for each stream; None says that the engine failed."""


class EngineError(Exception):
    """The model failed; the message is for the log, not for clients."""


class _Mailbox:
    """Where a stream finds its tokens. Belongs to the event loop."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.chunks: list[TokenChunk] = []
        self.failed = False
        self.ready = asyncio.Event()

    def take(self) -> TokenChunk:
        """Return all that has come as one chunk."""
        chunks, self.chunks = self.chunks, []
        self.ready.clear()
        if len(chunks) == 1:
            return chunks[0]
        ids = tuple(number for chunk in chunks for number in chunk.ids)
        logprobs = tuple(one for chunk in chunks for one in chunk.logprobs)
        return TokenChunk(ids, logprobs, chunks[-1].finish, chunks[-1].cached_tokens)


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
        self.context = int(getattr(model.config, "max_position_embeddings", None) or settings.cache_tokens)
        limits = BatchLimits(
            settings.batch, settings.cache_tokens, settings.prefix_tokens, settings.prefill_tokens
        )
        self._batch = Batch(model, self.ids, limits)
        self._flush = settings.flush_seconds
        self._tiny = model.device.type == "cpu" and model.num_parameters() <= TINY
        self._inbox: queue.SimpleQueue[_Mailbox | None] = queue.SimpleQueue()
        self._mailboxes: dict[Row, _Mailbox] = {}
        self._queued = 0
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
        found = self._batch.stats()
        return found._replace(waiting=found.waiting + self._inbox.qsize())

    async def stream(self, generation: Generation) -> AsyncGenerator[TokenChunk, None]:
        """Yield the completion as it is written.

        Raises:
            EngineError: if the model fails.
        """
        mailbox = _Mailbox(Row.of(generation))
        self._inbox.put(mailbox)
        try:
            while True:
                await mailbox.ready.wait()
                if mailbox.failed:
                    raise EngineError("the model failed while this completion was written")
                chunk = mailbox.take()
                yield chunk
                if chunk.finish:
                    return
        finally:
            mailbox.row.cancelled = True

    def _work(self) -> None:
        """Be the engine's thread."""
        if self._tiny:
            torch.set_num_threads(1)
        last = 0.0
        while self._receive():
            try:
                news = self._batch.step()
            except Exception:
                log.exception("the model failed; all running completions are given up")
                self._fail_all()
                continue
            now = time.monotonic()
            due = now - last >= self._flush
            if due:
                last = now
            self._send([row for row in self._mailboxes if row.fresh_ids] if due else news, due)
        self._fail_all()

    def _receive(self) -> bool:
        """Take requests in; waits for one when there is nothing else to do. False: it is time to stop."""
        while not (self._inbox.empty() and self._batch.busy):
            mailbox = self._inbox.get()
            if mailbox is None:
                break
            self._mailboxes[mailbox.row] = mailbox
            self._batch.queue(mailbox.row)
        return not self._stopping

    def _send(self, rows: list[Row], due: bool) -> None:
        """Hand tokens to the event loop: first and last ones at once, others when they are due."""
        delivery: Delivery = []
        for row in rows:
            mailbox = self._mailboxes.get(row)
            if mailbox is None or not (due or row.finish or not row.started):
                continue
            row.started = True
            chunk = TokenChunk(tuple(row.fresh_ids), tuple(row.fresh_logprobs), row.finish, row.cached_tokens)
            row.fresh_ids, row.fresh_logprobs = [], []
            delivery.append((mailbox, chunk))
            if row.finish:
                del self._mailboxes[row]
        if due or not self._batch.busy:
            for row in [row for row in self._mailboxes if row.cancelled]:
                del self._mailboxes[row]
        self._post(delivery)

    def _fail_all(self) -> None:
        self._post([(mailbox, None) for mailbox in self._mailboxes.values()])
        self._mailboxes.clear()
        self._batch.forget()

    def _post(self, delivery: Delivery) -> None:
        if delivery and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, delivery)


def _deliver(delivery: Delivery) -> None:
    """Put what came into the mailboxes, in the event loop."""
    for mailbox, chunk in delivery:
        if chunk is None:
            mailbox.failed = True
        else:
            mailbox.chunks.append(chunk)
        mailbox.ready.set()
