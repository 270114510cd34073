"""Step control for vLLM's V1 model runner.

    vllm serve MODEL --logits-processors steiner.decode.vllm_v1:StepControlLogitsProcessor

Limits come with each request: `extra_body={"vllm_xargs": {"min_steps": 2, "max_steps": 8}}` of the `openai`
package, `SamplingParams(extra_args={"min_steps": 2})` in Python. See `docs/decoding.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from steiner.decode.columns import Columns
from steiner.decode.control import Rulebook
from steiner.decode.live import Asked, Live
from steiner.decode.rules import Mode
from steiner.decode.vllm_setup import Setup, validate

if TYPE_CHECKING:
    from torch import Tensor

    from steiner.decode.history import IntArray

try:
    from vllm.v1.sample.logits_processor import LogitsProcessor
except ImportError:  # importable without vLLM, for tests of the class itself
    LogitsProcessor = object


class _Row(NamedTuple):
    """A request in the batch."""

    live: Live
    tokens: list[int]
    """vLLM's own list of the completion, which grows."""


class StepControlLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """Lets only allowed tokens through, each request by its own limits.

    vLLM tells which request sits in which row; the history belongs to the request and moves with it.
    """

    needs_output_token_ids = True

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse limits that cannot be kept.

        Raises:
            ValueError: names what is wrong.
        """
        validate(sampling_params)

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        """Read the model's ids.

        Raises:
            InputError: if its tokenizer lacks the control tokens.
        """
        self._setup = Setup.read(vllm_config)
        self._book = Rulebook(self._setup.ids)
        self._rows: dict[int, _Row] = {}
        self._columns: Columns | None = None
        self._asked: Asked | None = None
        self._where: IntArray | None = None
        """Rows that are controlled; None for the first ones, which is all as a rule."""

    def is_argmax_invariant(self) -> bool:
        """Say that greedy decoding is changed too."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Learn which request is in which row now."""
        if batch_update is None:
            return
        self._asked = None
        rows = self._rows
        for index in batch_update.removed:
            rows.pop(index, None)
        for index, params, prompt, output in batch_update.added:
            rows.pop(index, None)
            request = self._setup.request(params, None if prompt is None else len(prompt))
            if request.control is not Mode.OFF:
                rows[index] = _Row(Live(request), output)
        for source, target, direction in batch_update.moved:
            moved, replaced = rows.pop(source, None), rows.pop(target, None)
            if moved is not None:
                rows[target] = moved
            if replaced is not None and direction.name == "SWAP":
                rows[source] = replaced

    def apply(self, logits: Tensor) -> Tensor:
        """Change the logits in place and return them; shape (rows, vocabulary)."""
        if not self._rows:
            return logits
        if self._asked is None:
            self._rows = dict(sorted(self._rows.items()))
        batch = [row.live for row in self._rows.values()]
        if self._asked is None:
            self._asked = Asked.of(batch)
            where = np.fromiter(self._rows, dtype=np.int64, count=len(batch))
            self._where = where if where[-1] >= len(batch) else None
        if self._columns is None or not self._columns.fits(logits):
            self._columns = Columns(self._book.ids, self._book.sets, logits)
        for live, tokens in self._rows.values():
            live.follow(tokens, self._book)
        verdict = self._asked.judge(batch, self._book)
        self._columns.apply(logits, verdict.chosen, self._where)
        if verdict.biases is not None:
            self._columns.add(logits, verdict.biases, self._where)
        return logits
