"""Step control for the `generate` of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from steiner.core import InputError, StepBudget
from steiner.decode.control import EOS_MARK, Facts, Limits, Mode, Rest, StepControl
from steiner.protocol import CONTROL_TOKENS, ControlToken

if TYPE_CHECKING:
    from torch import Tensor

STEP_END_CODE = 1 + CONTROL_TOKENS.index(ControlToken.STEP_END)


class StepControlLogitsProcessor:
    """A logits processor that lets only allowed tokens through.

    What may follow is derived anew from `input_ids` in each call: no state is kept for a row, so beams and
    several sequences per prompt work. Only the columns of control and special tokens are touched, and whole
    rows only where a control token is forced.
    """

    def __init__(
        self,
        control: StepControl,
        budgets: Sequence[StepBudget],
        prompt_length: int | Sequence[int],
        in_place: bool = False,
    ) -> None:
        """Set the limits of a batch.

        Args:
            control: what may follow what.
            budgets: one per prompt, in any mix. If a call has k times as many rows (beams, several sequences
                per prompt), each k neighbours share a budget, as `generate` lays them out.
            prompt_length: columns of `input_ids` that are no completion, padding included; one number, or one
                per prompt where completions are continued.
            in_place: change the scores that are handed in, which saves a copy of rows × vocabulary. Not for
                `output_logits=True`, which would then return the changed scores.

        Raises:
            InputError: if a budget cannot be kept.
        """
        for budget in set(budgets):
            control.check(budget)
        self._control = control
        self._limits = Limits.of(budgets)
        starts = [prompt_length] * len(budgets) if isinstance(prompt_length, int) else list(prompt_length)
        if len(starts) != len(budgets):
            raise InputError(
                f"{len(starts)} prompt lengths for {len(budgets)} budgets; give one of each per prompt"
            )
        self._starts = np.array(starts, dtype=np.int64)
        self._in_place = in_place
        self._tables: _Tables | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores with every disallowed token at minus infinity.

        Args:
            input_ids: shape (rows, columns), prompts left-padded.
            scores: shape (rows, vocabulary).
        """
        if self._control.mode is Mode.OFF:
            return scores
        tables = self._tables
        if tables is None or not tables.fits(scores):
            tables = self._tables = _Tables(self._control, scores)
        repeat, odd = divmod(len(input_ids), len(self._starts))
        if odd or not repeat:
            raise InputError(f"{len(input_ids)} rows do not fit {len(self._starts)} budgets")
        starts = self._starts.repeat(repeat)
        limits = Limits(*(limit.repeat(repeat) for limit in self._limits))
        chosen = self._control.decide(_facts(input_ids, starts, tables.codes), limits)
        return tables.apply(scores if self._in_place else scores.clone(), chosen)


class _Tables:
    """The allowed sets as addends for a few columns, on the device of the scores."""

    def __init__(self, control: StepControl, scores: Tensor) -> None:
        ids = control.ids
        vocabulary = scores.shape[1]
        self._like = (scores.device, scores.dtype, vocabulary)
        self._tail = min(ids.size, vocabulary)
        named = {*ids.control, ids.eos, *ids.special}
        columns = sorted(number for number in named if number < self._tail)
        self._columns = torch.tensor(columns, device=scores.device)
        self._addends = torch.tensor(
            [[0.0 if one.allows(number, ids) else -torch.inf for number in columns] for one in control.sets],
            device=scores.device,
            dtype=scores.dtype,
        )
        """Shape (allowed sets, columns)."""
        self._rest = np.array([list(Rest).index(one.rest) for one in control.sets])
        codes = torch.zeros(max(vocabulary, ids.size), dtype=torch.uint8)
        for number, code in control.codes.items():
            codes[number] = code
        self.codes = codes.to(scores.device)
        """Token id → code as in `Facts.mark`, 0 for text; shape (vocabulary,)."""

    def fits(self, scores: Tensor) -> bool:
        """Tell whether the tables were made for such scores."""
        return self._like == (scores.device, scores.dtype, scores.shape[1])

    def apply(self, scores: Tensor, chosen: np.ndarray) -> Tensor:
        """Change `scores` in place and return it."""
        rest = self._rest[chosen]
        for kind in (Rest.NOTHING, Rest.TEXT):
            (rows,) = np.nonzero(rest == list(Rest).index(kind))
            if not len(rows):
                continue
            where = torch.from_numpy(rows).to(scores.device)
            cells = (where[:, None], self._columns)
            kept = scores[cells] + self._addends[torch.from_numpy(chosen[rows]).to(scores.device)]
            if kind is Rest.NOTHING:
                scores.index_fill_(0, where, -torch.inf)
            elif self._tail < scores.shape[1]:
                scores[where, self._tail :] = -torch.inf
            scores[cells] = kept
        return scores


def _facts(input_ids: Tensor, starts: np.ndarray, codes: Tensor) -> Facts:
    """Read the facts of a batch. Args: shapes (rows, columns), (rows,), (vocabulary,)."""
    first = int(starts.min())
    rows, columns = input_ids.shape
    length = columns - starts
    if first == columns:
        zero = np.zeros(rows, dtype=np.int64)
        return Facts(zero, zero, zero, length)
    code = codes[input_ids[:, first:]]
    if first != starts.max():
        begin = torch.from_numpy(starts - first).to(code.device)
        code *= torch.arange(columns - first, device=code.device) >= begin[:, None]
    # The last mark is the largest of place × 16 + code: one reduction finds both.
    place = torch.arange(1, columns - first + 1, device=code.device, dtype=torch.int32) * (EOS_MARK + 1)
    last = ((place + code) * (code > 0)).amax(dim=1)
    steps = (code == STEP_END_CODE).sum(dim=1)
    found = torch.stack((last, steps.to(last.dtype))).cpu().numpy().astype(np.int64)
    mark = found[0] % (EOS_MARK + 1)
    end = found[0] // (EOS_MARK + 1)
    trailing = np.where(mark > 0, columns - first - end, length)
    return Facts(mark, trailing, found[1], length)
