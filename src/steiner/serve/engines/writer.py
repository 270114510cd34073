"""A batch, and to whom its completions go: what the engine's thread and the engine's process share."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from steiner.decode.around import TINY
from steiner.protocol import ControlIds
from steiner.serve.engines.base import EngineStats, TokenChunk
from steiner.serve.engines.batch import Batch, BatchLimits
from steiner.serve.engines.rows import Row
from steiner.serve.settings import EngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger("steiner.serve")

Owner = TypeVar("Owner")


class Writer(Generic[Owner]):
    """Writes completions for their owners. Belongs to one thread, but for `stats`."""

    def __init__(self, model: PreTrainedModel, ids: ControlIds, settings: EngineSettings) -> None:
        """Take a model over.

        Raises:
            InputError: for a model that cannot be served.
        """
        limits = BatchLimits(
            settings.batch, settings.cache_tokens, settings.prefix_tokens, settings.prefill_tokens
        )
        self.context = int(getattr(model.config, "max_position_embeddings", None) or settings.cache_tokens)
        self._batch = Batch(model, ids, limits)
        self._flush = settings.flush_seconds
        self._last = 0.0
        self._tiny = model.device.type == "cpu" and model.num_parameters() <= TINY
        self._owners: dict[Row, Owner] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything to write."""
        return self._batch.busy

    def begin(self) -> None:
        """Prepare the thread that calls `step`."""
        if self._tiny:
            torch.set_num_threads(1)

    def add(self, row: Row, owner: Owner) -> None:
        """Queue a completion; set `cancelled` on the row to take it back."""
        self._owners[row] = owner
        self._batch.queue(row)

    def stats(self) -> EngineStats:
        """Return counts; may be called from another thread."""
        return self._batch.stats()

    def step(self) -> list[tuple[Owner, TokenChunk | None]]:
        """Write on; return what is to be handed on now: first and last tokens at once, others when due.

        Where the model fails the log says why, and every owner gets None.
        """
        try:
            news = self._batch.step()
        except Exception:
            log.exception("the model failed; all running completions are given up")
            return self.give_up()
        now = time.monotonic()
        due = now - self._last >= self._flush
        if due:
            self._last = now
        found = self._news([row for row in self._owners if row.fresh_ids or row.finish] if due else news, due)
        if due or not self._batch.busy:
            for row in [row for row in self._owners if row.cancelled]:
                del self._owners[row]
        return found

    def give_up(self) -> list[tuple[Owner, TokenChunk | None]]:
        """Drop all completions; each owner gets None."""
        owners = list(self._owners.values())
        self._owners.clear()
        self._batch.forget()
        return [(owner, None) for owner in owners]

    def _news(self, rows: list[Row], due: bool) -> list[tuple[Owner, TokenChunk | None]]:
        found: list[tuple[Owner, TokenChunk | None]] = []
        for row in rows:
            owner = self._owners.get(row)
            if owner is None or not (due or row.finish or not row.started):
                continue
            row.started = True
            chunk = TokenChunk(tuple(row.fresh_ids), tuple(row.fresh_logprobs), row.finish, row.cached_tokens)
            row.fresh_ids, row.fresh_logprobs = [], []
            found.append((owner, chunk))
            if row.finish:
                del self._owners[row]
        return found
