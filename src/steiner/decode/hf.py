"""Step control for the `generate` of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from steiner.core import InputError, StepBudget
from steiner.decode.columns import Columns
from steiner.decode.control import EOS_MARK, Facts, History, Limits, Mode, StepControl
from steiner.decode.history import STEP_END_CODE, STEP_START_CODE, THOUGHT_START_CODE

if TYPE_CHECKING:
    from torch import Tensor


class StepControlLogitsProcessor:
    """A logits processor that lets only allowed tokens through.

    What may follow is derived anew from `input_ids` in each call: no state is kept for a row, so beams and
    several sequences per prompt work. With `rows_stay` the histories of the last call are folded on by the
    new column, in the same time at any length. Only the columns of control and special tokens are touched,
    and whole rows only where a control token is forced.
    """

    def __init__(
        self,
        control: StepControl,
        budgets: Sequence[StepBudget],
        prompt_length: int | Sequence[int],
        in_place: bool = False,
        rows_stay: bool = False,
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
            rows_stay: promise that each call brings the rows of the call before, in their order and with one
                token more, as greedy search and sampling do and beam search does not. Where the number of
                rows or columns or the last token does not fit, everything is read anew.

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
        self._follower = _Follower(control) if rows_stay else None
        self._biased = self._limits.biased
        self._columns: Columns | None = None
        self._codes: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores with every disallowed token at minus infinity.

        Args:
            input_ids: shape (rows, columns), prompts left-padded.
            scores: shape (rows, vocabulary).
        """
        if self._control.mode is Mode.OFF:
            return scores
        columns = self._columns
        if columns is None or self._codes is None or not columns.fits(scores):
            columns = self._columns = Columns(self._control.ids, self._control.sets, scores)
            self._codes = _codes(self._control, scores)
        repeat, odd = divmod(len(input_ids), len(self._starts))
        if odd or not repeat:
            raise InputError(f"{len(input_ids)} rows do not fit {len(self._starts)} budgets")
        starts, limits = self._starts, self._limits
        if repeat > 1:
            starts, limits = starts.repeat(repeat), limits.repeat(repeat)
        if self._follower is not None:
            facts = self._follower.facts(input_ids, starts)
        else:
            facts = _facts(input_ids, starts, self._codes)
            if limits.ban_repeats.any():
                facts = facts._replace(repeats=_repeats(self._control, input_ids, starts, facts, limits))
        chosen = self._control.decide(facts, limits)
        changed = columns.apply(scores if self._in_place else scores.clone(), chosen)
        return columns.add(changed, self._control.biases(facts, limits)) if self._biased else changed

    def select(self, rows: Sequence[int]) -> None:
        """Go on with some prompts of the batch only: those at `rows`, in this order."""
        places = np.array(rows, dtype=np.int64)
        self._limits = Limits(*(values[places] for values in self._limits))
        self._starts = self._starts[places]
        self._biased = self._limits.biased
        if self._follower is not None:
            self._follower.select(rows)


class _Follower:
    """Histories of a batch whose rows keep their places."""

    def __init__(self, control: StepControl) -> None:
        self._control = control
        self._histories: list[History] = []
        self._columns = -1
        self._last: list[int] = []

    def select(self, rows: Sequence[int]) -> None:
        """Forget all rows but these. What then does not fit (several sequences per prompt) is read anew."""
        known = len(self._last) > max(rows, default=-1)
        self._histories = [self._histories[row] for row in rows] if known else []
        self._last = [self._last[row] for row in rows] if known else []

    def facts(self, input_ids: Tensor, starts: np.ndarray) -> Facts:
        """Read the new column, or all if the rows are not those of the last call."""
        rows, columns = input_ids.shape
        known = columns == self._columns + 1 and rows == len(self._last) and columns >= 2
        pair = input_ids[:, -2:].tolist() if known else []
        if known and [before for before, _ in pair] == self._last:
            self._last = [number for _, number in pair]
            step = self._control.advance
            self._histories = [step(h, n) for h, n in zip(self._histories, self._last, strict=True)]
        else:
            texts = input_ids.tolist()
            self._histories = [
                self._control.fold(row[start:]) for row, start in zip(texts, starts.tolist(), strict=True)
            ]
            self._last = [row[-1] for row in texts] if columns else []
        self._columns = columns
        return Facts.of(self._histories)


def _codes(control: StepControl, scores: Tensor) -> Tensor:
    """Return token id → code as in `Facts.mark`, 0 for text; shape (vocabulary,)."""
    codes = torch.zeros(max(scores.shape[1], control.ids.size), dtype=torch.uint8)
    for number, code in control.codes.items():
        codes[number] = code
    return codes.to(scores.device)


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
    begun = (place * (code == STEP_START_CODE)).amax(dim=1)
    found = torch.stack((last, steps.to(last.dtype), begun)).cpu().numpy().astype(np.int64)
    mark = found[0] % (EOS_MARK + 1)
    end = found[0] // (EOS_MARK + 1)
    trailing = np.where(mark > 0, columns - first - end, length)
    step_at = found[2] // (EOS_MARK + 1) - 1
    in_step = np.where(step_at >= 0, columns - first - step_at, length)
    return Facts(mark, trailing, found[1], length, in_step)


def _repeats(
    control: StepControl, input_ids: Tensor, starts: np.ndarray, facts: Facts, limits: Limits
) -> np.ndarray:
    """Tell which open thoughts repeat an earlier one; reads the rows that may, token by token."""
    repeats = np.zeros(len(starts), dtype=np.int64)
    for row in np.nonzero((limits.ban_repeats > 0) & (facts.mark == THOUGHT_START_CODE))[0]:
        repeats[row] = control.fold(input_ids[row, starts[row] :].tolist()).repeats
    return repeats
