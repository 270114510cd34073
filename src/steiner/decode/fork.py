"""What a model would have answered after fewer steps: forks over the keys and values of one completion.

A completion that is broken off after k steps and the one that goes on share everything up to a STEP_END. When
a row ends, END and an answer are written behind each wanted step boundary, those of all rows that end with it
in the same forward passes. The forks of a row are a tree, as in SpecInfer (Miao et al. 2023,
arXiv:2305.09781): each sees the row's keys and values up to its boundary and its own tokens, so nothing is
computed twice and nothing is copied per fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from steiner.core import StepBudget
from steiner.decode.columns import Columns
from steiner.decode.control import Facts, History, Limits, StepControl
from steiner.decode.draw import draw, uniforms
from steiner.decode.writing import Leaving, Request, Sampler
from steiner.protocol import ControlIds, ControlToken

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Cache, PreTrainedModel

LARGEST = 2**24
"""Rows × forks × columns of one forward pass: bytes of its mask."""


class Fork(NamedTuple):
    """A completion that is broken off at a step boundary."""

    number: int
    """Place of its request among all."""
    limit: int
    """The step limit that breaks it off."""
    request: Request
    kept: tuple[int, ...]
    """The completion up to a STEP_END."""
    steps: int
    """STEP_END tokens in it."""
    place: int
    """Its row in the cache."""
    begin: int
    """First column of the cache that holds its text."""

    @property
    def budget(self) -> StepBudget:
        """Its limits."""
        return self.request.budget.model_copy(update={"max_steps": self.limit})

    @property
    def length(self) -> int:
        """Tokens of the text, prompt included."""
        return len(self.request.prompt) + len(self.kept)


def forks_of(row: Leaving, ids: ControlIds, limits: Sequence[int]) -> Iterator[Fork]:
    """Yield a fork for each step limit under which the row would have ended otherwise.

    Under a limit of k steps END is forced at the first STEP_END that has k steps up to it. There is no fork
    where the row was allowed no more, or had ended by itself.
    """
    written = row.request.prefix + row.written
    step_end, end = ids[ControlToken.STEP_END], ids[ControlToken.END]
    bounds = [place for place, number in enumerate(written, 1) if number == step_end]
    most = row.request.budget.max_steps or len(bounds) + 1
    for limit in limits:
        for steps, bound in enumerate(bounds[limit - 1 :] if limit < most else (), limit):
            if bound < len(written) and written[bound] != end:
                yield Fork(row.number, limit, row.request, written[:bound], steps, row.place, row.padding)
                break


class Forks:
    """Answers the forks of rows as they leave a batch (`steiner.decode.writing.OnLeave`)."""

    def __init__(
        self, model: PreTrainedModel, control: StepControl, sampler: Sampler, limits: Sequence[int]
    ) -> None:
        """Break completions off at these step limits."""
        self._model = model
        self._control = control
        self._sampler = sampler
        self._limits = sorted(set(limits))
        self._columns: Columns | None = None
        self.answered: list[tuple[Fork, tuple[int, ...]]] = []
        """Each fork and its whole completion."""
        self.unanswered: list[Fork] = []
        """Forks of models that keep something else than keys and values, or attend in ways of their own."""

    def __call__(self, cache: Cache, leaving: Sequence[Leaving]) -> None:
        """Answer the forks of rows that end."""
        forks = [fork for row in leaving for fork in forks_of(row, self._control.ids, self._limits)]
        if not _plain(self._model, cache):
            self.unanswered += forks
            return
        for group in _groups(forks):
            written = self._write(_Tree(self._model, cache, group), group)
            self.answered += zip(group, written, strict=True)

    def _write(self, tree: _Tree, forks: Sequence[Fork]) -> list[tuple[int, ...]]:
        """Write END and the answers, one token for all forks at a time."""
        control, end = self._control, self._control.ids[ControlToken.END]
        limits = Limits.of([fork.budget for fork in forks])
        written = [[*fork.kept, end] for fork in forks]
        histories = [
            History(control.codes[end], len(row), fork.steps, length=len(row))
            for fork, row in zip(forks, written, strict=True)
        ]
        active = list(range(len(forks)))
        for _ in range((control.max_answer_tokens or 0) + 1):
            if not active:
                break
            scores = tree.feed(active, [written[index][-1] for index in active])
            if self._columns is None or not self._columns.fits(scores):
                self._columns = Columns(control.ids, control.sets, scores)
            facts = Facts.of([histories[index] for index in active])
            chosen = control.decide(facts, Limits(*(values[active] for values in limits)))
            numbers = self._draw(
                self._columns.apply(scores, chosen),
                [forks[index].request.seed for index in active],
                [len(written[index]) for index in active],
            )
            for index, number in zip(active, numbers, strict=True):
                written[index].append(number)
                histories[index] = control.advance(histories[index], number)
            active = [i for i, n in zip(active, numbers, strict=True) if n != control.ids.eos]
        return [tuple(row) for row in written]

    def _draw(self, scores: Tensor, seeds: Sequence[int | None], places: Sequence[int]) -> list[int]:
        """Take a token for each fork: the one that a row with its seed takes at its place."""
        if not self._sampler.draws:
            found: list[int] = scores.argmax(dim=-1).tolist()
            return found
        numbers = uniforms(np.array(seeds, dtype=np.uint64), np.array(places, dtype=np.int64))
        drawn: list[int] = draw(scores, numbers, self._sampler.temperature, self._sampler.top_p).tolist()
        return drawn


class _Tree:
    """Keys and values of some rows, with tokens of many forks behind them."""

    def __init__(self, model: PreTrainedModel, cache: DynamicCache, forks: Sequence[Fork]) -> None:
        """Copy the columns that the forks see."""
        self._model = model
        device = model.device
        places = sorted({fork.place for fork in forks})
        begin = min(fork.begin for fork in forks)
        stop = max(fork.begin + fork.length for fork in forks)
        self._cache = DynamicCache(config=model.config)
        rows = torch.tensor(places, device=device)
        for number, layer in enumerate(cache.layers):
            keys, values = (states[:, :, begin:stop][rows] for states in (layer.keys, layer.values))
            self._cache.update(keys, values, number)
        columns = torch.arange(begin, stop, device=device)
        first = torch.tensor([fork.begin for fork in forks], device=device)[:, None]
        self._lengths = torch.tensor([fork.length for fork in forks], device=device)
        self._seen = (columns >= first) & (columns < first + self._lengths[:, None])
        """Columns of the completion that each fork sees; shape (forks, columns)."""
        self._rows = [places.index(fork.place) for fork in forks]
        self._owners = torch.empty((len(places), 0), dtype=torch.long, device=device)
        """Fork of each column behind the completions, -1 for none; shape (rows, new columns)."""
        self._fed = 0
        self._boolean = model.config._attn_implementation != "eager"

    def feed(self, forks: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Give each of some forks a token; no fork may come back that was left out once.

        Returns:
            Scores of the next token, float32; shape (forks, vocabulary).
        """
        self._select(sorted({self._rows[fork] for fork in forks}))
        device, count = self._model.device, len(self._owners)
        filled = [0] * count
        places = []
        for fork in forks:
            row = self._rows[fork]
            places.append((row, filled[row]))
            filled[row] += 1
        at = tuple(torch.tensor(places, device=device).T)
        owners = torch.full((count, max(filled)), -1, device=device)
        owners[at] = torch.tensor(forks, device=device)
        inputs = torch.zeros_like(owners)
        inputs[at] = torch.tensor(tokens, device=device)
        known = owners.clamp(min=0)
        self._owners = torch.cat((self._owners, owners), dim=1)
        # What fills a row up belongs to fork -1 and sees itself: no query may see nothing.
        own = self._owners[:, None, :] == owners[:, :, None]
        seen = torch.cat((self._seen[known], own), dim=2)[:, None]
        logits = self._model(
            input_ids=inputs,
            attention_mask=seen if self._boolean else self._additive(seen),
            position_ids=self._lengths[known] + self._fed,
            past_key_values=self._cache,
            use_cache=True,
        ).logits
        self._fed += 1
        return logits[at].float()

    def _select(self, rows: Sequence[int]) -> None:
        """Drop all rows but these."""
        if len(rows) == len(self._owners):
            return
        kept = torch.tensor(rows, device=self._owners.device)
        self._cache.batch_select_indices(kept)
        self._owners = self._owners[kept]
        places = {row: place for place, row in enumerate(rows)}
        self._rows = [places.get(row, -1) for row in self._rows]

    def _additive(self, seen: Tensor) -> Tensor:
        dtype = self._model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(
            ~seen, torch.finfo(dtype).min
        )


def _plain(model: PreTrainedModel, cache: Cache) -> bool:
    """Tell whether all layers keep all keys and values and take a mask for each query."""
    attention = getattr(model.config, "_attn_implementation", None)
    return attention in ("sdpa", "eager") and all(type(layer) is DynamicLayer for layer in cache.layers)


def _groups(forks: Sequence[Fork]) -> Iterator[list[Fork]]:
    """Cut forks, all of a row together, into groups whose masks are not too large."""
    group: list[Fork] = []
    rows = most = longest = 0
    for _, same in groupby(forks, key=lambda fork: fork.place):
        one = list(same)
        most, rows = max(most, len(one)), rows + 1
        longest = max(longest, *(fork.begin + fork.length for fork in one))
        if group and rows * most * longest > LARGEST:
            yield group
            group, rows, most = [], 1, len(one)
            longest = max(fork.begin + fork.length for fork in one)
        group += one
    if group:
        yield group
