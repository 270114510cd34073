"""Continuous batching: completions join and leave between any two tokens.

Rows that write a token each stand first in the cache, rows whose prompt is still being read behind them. A
step writes one token for all of the first, then reads one portion of prompts, so that a long prompt holds
nobody up for longer than `prefill_tokens`.

transformers has a continuous batching of its own (paged attention), for which `steiner.decode.continuous`
holds the step control. It is not used here: seeds and log-probabilities of each request, keys and values of
finished conversations, and rows that leave at once are easier to have in a loop of our own.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import torch

from steiner.core import InputError
from steiner.protocol import ControlIds
from steiner.serve.engines.base import EngineStats, Finish, Generation
from steiner.serve.engines.prefixes import PrefixStore
from steiner.serve.engines.rows import Row, RowControl
from steiner.serve.engines.sampling import draw, logprobs_of, token_logprob
from steiner.serve.engines.slots import SlotCache, Window, mask

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class BatchLimits(NamedTuple):
    """How much is done at once; see `EngineSettings`."""

    rows: int
    cache_tokens: int
    prefix_tokens: int
    prefill_tokens: int


class Batch:
    """A model and the completions that it is writing. Belongs to one thread."""

    def __init__(self, model: PreTrainedModel, ids: ControlIds, limits: BatchLimits) -> None:
        """Take a model over.

        Raises:
            InputError: if its attention is not plain (sliding windows, recurrent layers).
        """
        _check_attention(model)
        self._model = model
        self._limits = limits
        self._cache = SlotCache(model.config.num_hidden_layers)
        self._prefixes = PrefixStore(limits.prefix_tokens)
        self._control = RowControl(ids)
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        """In the order of the cache."""
        self._writing = 0
        """How many of them write; the others' prompts are still being read."""
        self._boolean = model.config._attn_implementation != "eager"
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._prompt_tokens = self._cached_tokens = self._completion_tokens = 0

    def add(self, generation: Generation) -> Row:
        """Queue a completion; set `cancelled` on the row to take it back."""
        row = Row.of(generation)
        self._waiting.append(row)
        return row

    def queue(self, row: Row) -> None:
        """Queue a row that was made elsewhere."""
        self._waiting.append(row)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._rows or self._waiting)

    @property
    def everything(self) -> list[Row]:
        """All rows, running and waiting."""
        return [*self._rows, *self._waiting]

    def stats(self) -> EngineStats:
        """Return counts; may be called from another thread."""
        return EngineStats(
            len(self._rows),
            len(self._waiting),
            self._prompt_tokens,
            self._cached_tokens,
            self._completion_tokens,
        )

    def forget(self) -> None:
        """Drop every row and all memory, after a failure."""
        self._rows.clear()
        self._waiting.clear()
        self._writing = 0
        self._cache.release()
        self._prefixes.clear()

    def step(self) -> list[Row]:
        """Write a token for each row that writes, read a portion of prompts; return the rows with news.

        A row that is finished or was cancelled has left when this returns; cancelled ones are not returned.
        """
        with torch.inference_mode():
            return self._step()

    def _step(self) -> list[Row]:
        late = self._cut(time.monotonic())
        self._remove([row for row in self._rows if row.cancelled or row.finish], keep=False)
        self._admit()
        news = self._rows[: self._writing]
        if news:
            self._forward(news, 0, 1)
        prompts = self._next_prompts()
        if prompts:
            news = news + self._prefill(prompts)
        self._remove([row for row in news if row.finish], keep=True)
        if not self._rows and self._cache.rows * self._cache.length > self._limits.cache_tokens // 4:
            self._cache.release()
        return news + late

    def _cut(self, now: float) -> list[Row]:
        """End the rows whose time is over; return them."""
        late = [row for row in self.everything if row.generation.deadline < now and not row.cancelled]
        for row in late:
            row.finish = Finish.LENGTH
        if late:
            self._waiting = deque(row for row in self._waiting if not row.finish)
        return late

    def _admit(self) -> None:
        """Let rows in while there is room. One whose prompt is just being read for another waits for it."""
        held: list[Row] = []
        while self._waiting and len(self._rows) < self._limits.rows:
            row = self._waiting[0]
            if row.cancelled:
                self._waiting.popleft()
                continue
            longest = max((other.longest for other in self._rows), default=0)
            rows = len(self._rows) + 1
            if self._rows and rows * max(longest, row.longest) > self._limits.cache_tokens:
                break
            self._waiting.popleft()
            reading = self._rows[self._writing :]
            if any(other.generation.prompt is row.generation.prompt for other in reading):
                held.append(row)
            else:
                self._begin(row, rows - 1)
        self._waiting.extendleft(reversed(held))

    def _begin(self, row: Row, place: int) -> None:
        """Give a row its place, and the keys and values of the longest known beginning of its prompt."""
        prompt = row.generation.prompt
        writing = self._rows[: self._writing]
        sibling = next((i for i, other in enumerate(writing) if other.generation.prompt is prompt), None)
        self._rows.append(row)
        self._cache.ensure(len(self._rows), len(row.tokens) + 1)
        found = self._prefixes.find(prompt) if sibling is None else None
        if sibling is not None:
            row.fed = row.cached_tokens = len(prompt) - 1
            self._cache.move(sibling, place, row.fed)
        elif found:
            self._cache.write(place, found.states, found.tokens)
            row.fed = row.cached_tokens = found.tokens
            row.prefix_key = found.key
        self._prompt_tokens += len(prompt)
        self._cached_tokens += row.cached_tokens

    def _next_prompts(self) -> list[tuple[Row, int]]:
        """Return the next rows to read prompts of, with the number of tokens to read of each."""
        portion: list[tuple[Row, int]] = []
        longest = 0
        for row in self._rows[self._writing :]:
            left = len(row.tokens) - row.fed
            longest = max(longest, left)
            if longest * (len(portion) + 1) > self._limits.prefill_tokens:
                return portion or [(row, self._limits.prefill_tokens)]
            portion.append((row, left))
        return portion

    def _prefill(self, portion: list[tuple[Row, int]]) -> list[Row]:
        """Read a portion; return the rows that are through and have their first token."""
        rows = [row for row, _ in portion]
        counts = [count for _, count in portion]
        whole = len(rows) > 1 or rows[0].fed + counts[0] == len(rows[0].tokens)
        self._forward(rows, self._writing, max(counts), counts, draws=whole)
        if not whole:
            return []
        self._writing += len(rows)
        return rows

    def _forward(
        self, rows: list[Row], first: int, width: int, counts: list[int] | None = None, draws: bool = True
    ) -> None:
        """Feed rows that stand together in the cache, and draw a token for each.

        Shorter rows are padded on the right; what padding leaves in the cache is never seen.
        """
        counts = counts or [1] * len(rows)
        starts = [row.fed for row in rows]
        self._cache.ensure(len(self._rows), max(starts) + width)
        device = self._model.device
        ids = [
            row.tokens[row.fed : row.fed + count] + [0] * (width - count)
            for row, count in zip(rows, counts, strict=True)
        ]
        positions = torch.tensor(starts, device=device)[:, None] + torch.arange(width, device=device)
        longest = max(starts) + width
        numbers = torch.arange(first, first + len(rows), device=device)[:, None]
        self._cache.window = Window(first, first + len(rows), numbers, positions, longest)
        places = sorted({count - 1 for count in counts})
        keep = {"logits_to_keep": torch.tensor(places, device=device)} if self._keeps_logits else {}
        logits = self._model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=mask(positions, longest, self._model.dtype, self._boolean),
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            **keep,
        ).logits
        for row, count in zip(rows, counts, strict=True):
            row.fed += count
        if not draws:
            return
        if width > 1:
            at = [places.index(count - 1) if keep else count - 1 for count in counts]
            scores = logits[torch.arange(len(rows), device=device), torch.tensor(at, device=device)]
        else:
            scores = logits[:, -1]
        self._draw(rows, scores)

    def _draw(self, rows: list[Row], scores: Tensor) -> None:
        """Draw a token for each row. Shape of `scores`: (rows, vocabulary); it is changed."""
        asking = [place for place, row in enumerate(rows) if row.generation.top_logprobs is not None]
        tops = [rows[place].generation.top_logprobs or 0 for place in asking]
        thought = logprobs_of(scores[asking], tops) if asking else []
        self._control.apply(scores, rows)
        numbers = draw(
            scores,
            [row.generation.temperature for row in rows],
            [row.generation.top_p for row in rows],
            [row.random.random() for row in rows],
        )
        for place, (every, top) in zip(asking, thought, strict=True):
            rows[place].fresh_logprobs.append(token_logprob(every, top, numbers[place]))
        for row, number in zip(rows, numbers, strict=True):
            self._control.advance(row, number)
        self._completion_tokens += len(rows)

    def _remove(self, leaving: list[Row], keep: bool) -> None:
        """Close the gaps that rows leave; keep what they knew for the next turn, if wanted."""
        for row in leaving:
            place = self._rows.index(row)
            if keep and self._limits.prefix_tokens:
                tokens = min(row.fed, self._limits.prefix_tokens)
                self._prefixes.add(row.tokens[:tokens], self._cache.read(place, tokens), row.prefix_key)
            if place < self._writing:
                self._writing -= 1
                self._fill(place, self._writing)
                place = self._writing
            self._fill(place, len(self._rows) - 1)
            self._rows.pop()

    def _fill(self, place: int, source: int) -> None:
        """Move the row at `source` to `place`."""
        row = self._rows[source]
        self._cache.move(source, place, row.fed)
        self._rows[place] = row


def _check_attention(model: PreTrainedModel) -> None:
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise InputError(
            f"the engine 'transformers' serves models with plain attention only; this one has "
            f"{', '.join(sorted(kinds))}. Serve it with --engine vllm."
        )
