"""Histories of many rows as tensors, folded on the device without asking it for anything.

The same numbers as `History`, except that the fingerprint of a thought has 62 bits instead of 127 and that
only the last `REMEMBERED` closed thoughts of a completion are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from steiner.decode.history import (
    STEP_END_CODE,
    STEP_START_CODE,
    THOUGHT_END_CODE,
    THOUGHT_START_CODE,
    Facts,
)

REMEMBERED = 256
"""Closed thoughts that are remembered."""

# Two polynomials over prime fields below 2**31, so that products stay below 2**62.
_PRIMES = (2**31 - 1, 2**31 - 19)
_FACTORS = (1_103_515_245, 1_664_525_011)


class Folded(NamedTuple):
    """What was written in each row; tensors of shape (rows,) unless said otherwise."""

    mark: Tensor
    mark_at: Tensor
    steps: Tensor
    step_at: Tensor
    length: Tensor
    prints: Tensor
    """Fingerprint of the text since the last mark; shape (rows, 2)."""
    closed: Tensor
    """Fingerprints of closed thoughts, in a ring; shape (rows, REMEMBERED, 2)."""
    thoughts: Tensor
    """How many were closed."""

    @classmethod
    def empty(cls, rows: int, device: torch.device | str | None = None) -> Folded:
        """Return rows in which nothing was written."""
        zero, *zeros = (torch.zeros(rows, dtype=torch.int64, device=device) for _ in range(6))
        return cls(
            mark=zero,
            mark_at=zeros[0],
            steps=zeros[1],
            step_at=zeros[2],
            length=zeros[3],
            prints=torch.ones(rows, 2, dtype=torch.int64, device=device),
            closed=torch.zeros(rows, REMEMBERED, 2, dtype=torch.int64, device=device),
            thoughts=zeros[4],
        )

    def take(self, rows: Tensor) -> Folded:
        """Return a copy of some rows."""
        return Folded(*(values[rows] for values in self))

    def put(self, rows: Tensor, folded: Folded) -> None:
        """Overwrite some rows."""
        for values, new in zip(self, folded, strict=True):
            values[rows] = new

    def facts(self) -> Facts:
        """Return what the rules ask for, as tensors."""
        known = torch.arange(REMEMBERED, device=self.mark.device) < self.thoughts[:, None]
        same = (self.closed == self.prints[:, None]).all(dim=2) & known
        repeats = same.any(dim=1) & (self.mark == THOUGHT_START_CODE)
        return Facts(
            self.mark,
            self.length - self.mark_at,
            self.steps,
            self.length,
            self.length - self.step_at,
            repeats.long(),
        )


def fold_rows(rows: Folded, codes: Tensor, numbers: Tensor, active: Tensor) -> Folded:
    """Return the rows with one token more where `active`.

    Args:
        rows: the tokens before.
        codes: the tokens' marks, 0 for text; shape (rows,).
        numbers: their ids.
        active: which rows have one.
    """
    marks = active & (codes > 0)
    thinking = rows.mark == THOUGHT_START_CODE
    grown = _grow(rows.prints, numbers)
    prints = torch.where((active & (codes == 0) & thinking)[:, None], grown, rows.prints)
    closes = marks & (codes == THOUGHT_END_CODE) & thinking
    every = torch.arange(len(codes), device=codes.device)
    place = rows.thoughts % REMEMBERED
    closed = rows.closed.clone()
    closed[every, place] = torch.where(closes[:, None], rows.prints, closed[every, place])
    return Folded(
        mark=torch.where(marks, codes, rows.mark),
        mark_at=torch.where(marks, rows.length + 1, rows.mark_at),
        steps=rows.steps + (marks & (codes == STEP_END_CODE)),
        step_at=torch.where(marks & (codes == STEP_START_CODE), rows.length, rows.step_at),
        length=rows.length + active,
        prints=torch.where(marks[:, None], 1, prints),
        closed=closed,
        thoughts=rows.thoughts + closes,
    )


def fold_tokens(tokens: Sequence[int], codes: Mapping[int, int]) -> Folded:
    """Read a completion on the host, into one row."""
    mark = mark_at = steps = step_at = length = 0
    prints = (1, 1)
    thoughts: list[tuple[int, int]] = []
    for number in tokens:
        code = codes.get(number, 0)
        length += 1
        if not code:
            if mark == THOUGHT_START_CODE:
                one, other = (
                    (p * f + number + 1) % m for p, f, m in zip(prints, _FACTORS, _PRIMES, strict=True)
                )
                prints = (one, other)
            continue
        if code == THOUGHT_END_CODE and mark == THOUGHT_START_CODE:
            thoughts.append(prints)
        if code == STEP_START_CODE:
            step_at = length - 1
        steps += code == STEP_END_CODE
        mark, mark_at, prints = code, length, (1, 1)
    closed = torch.zeros(1, REMEMBERED, 2, dtype=torch.int64)
    for count, thought in enumerate(thoughts):
        closed[0, count % REMEMBERED] = torch.tensor(thought)
    return Folded(
        mark=torch.tensor([mark]),
        mark_at=torch.tensor([mark_at]),
        steps=torch.tensor([steps]),
        step_at=torch.tensor([step_at]),
        length=torch.tensor([length]),
        prints=torch.tensor([prints]),
        closed=closed,
        thoughts=torch.tensor([len(thoughts)]),
    )


def _grow(prints: Tensor, numbers: Tensor) -> Tensor:
    lanes = zip(prints.unbind(dim=1), _FACTORS, _PRIMES, strict=True)
    return torch.stack([(lane * factor + numbers + 1) % prime for lane, factor, prime in lanes], dim=1)
