"""What step control remembers of a completion: a few numbers, folded over its tokens one by one.

`History` is a value. `advance` returns a new one in constant time (a step's end costs the logarithm of the
number of steps, amortised), so a completion can be forked, rewound or moved to another row by keeping,
dropping or copying the value. Equal tokens give equal histories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from steiner.core import Ramp, StepBudget
from steiner.protocol import CONTROL_TOKENS, ControlToken

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]

NOTHING_YET, EOS_MARK = 0, len(CONTROL_TOKENS) + 1
"""Codes of marks beside 1 to 14, the control tokens in id order."""
UNLIMITED = 2**40
"""Stands for «no limit» in integer arrays."""

_code = {token: code for code, token in enumerate(CONTROL_TOKENS, 1)}
STEP_END_CODE = _code[ControlToken.STEP_END]
STEP_START_CODE = _code[ControlToken.STEP_START]
THOUGHT_START_CODE = _code[ControlToken.THOUGHT_START]
THOUGHT_END_CODE = _code[ControlToken.THOUGHT_END]

_PRIME = 2**127 - 1
_FACTOR = 0x2B1F7C3D9E5A60874C6B21F0D3E98A57
_EMPTY = 1

Closed = tuple[frozenset[int], ...]
"""Fingerprints of the closed thoughts, in sets of falling sizes."""


class History(NamedTuple):
    """A completion so far, as far as step control cares."""

    mark: int = NOTHING_YET
    """Last control token or end of text: 0 none yet, 1 to 14 in id order, 15 end of text."""
    mark_at: int = 0
    """Tokens up to the mark, itself included; 0 if there is none."""
    steps: int = 0
    """STEP_END tokens."""
    step_at: int = 0
    """Tokens before the last STEP_START; 0 if there is none."""
    length: int = 0
    """Tokens."""
    thought: int = _EMPTY
    """Fingerprint of the text since the last THOUGHT_START while that is the mark."""
    closed: Closed = ()
    """Fingerprints of the thoughts that were opened and closed, with only text between."""

    @property
    def repeats(self) -> bool:
        """Whether the open thought is, token by token, one that was closed before."""
        return self.mark == THOUGHT_START_CODE and any(self.thought in group for group in self.closed)


def advance(history: History, code: int, number: int) -> History:
    """Return the history with one token more.

    Args:
        history: the tokens before.
        code: the token's mark, 0 for text.
        number: the token's id.
    """
    mark, mark_at, steps, step_at, length, thought, closed = history
    if not code:
        if mark == THOUGHT_START_CODE:
            # A polynomial over a prime field: two thoughts of n tokens collide once in 2**127 / n.
            thought = (thought * _FACTOR + number + 1) % _PRIME
        return History(mark, mark_at, steps, step_at, length + 1, thought, closed)
    if code == THOUGHT_END_CODE and mark == THOUGHT_START_CODE:
        closed = _with(closed, thought)
    elif code == STEP_START_CODE:
        step_at = length
    return History(code, length + 1, steps + (code == STEP_END_CODE), step_at, length + 1, _EMPTY, closed)


def fold(history_ids: Iterable[int], codes: Mapping[int, int], history: History | None = None) -> History:
    """Read tokens into a history, from the beginning or on from one."""
    history = history or History()
    for number in history_ids:
        history = advance(history, codes.get(number, 0), number)
    return history


def _with(closed: Closed, thought: int) -> Closed:
    """Add to a set that is kept as sets of falling sizes, so that no addition copies it all."""
    group = frozenset((thought,))
    while closed and len(closed[-1]) <= len(group):
        group |= closed[-1]
        closed = closed[:-1]
    return (*closed, group)


_NONE = np.zeros(1, dtype=np.int64)


class Facts(NamedTuple):
    """What step control knows about completions; each array has shape (rows,)."""

    mark: IntArray
    """Last control token or end of text: 0 none yet, 1 to 14 in id order, 15 end of text."""
    trailing: IntArray
    """Tokens after the mark (all tokens where there is none)."""
    steps: IntArray
    """STEP_END tokens so far."""
    length: IntArray
    """Tokens so far."""
    in_step: IntArray = _NONE
    """Tokens since the last STEP_START, itself included (all tokens where there is none); for
    `max_step_tokens` only."""
    repeats: IntArray = _NONE
    """1 where the open thought equals an earlier one; for `ban_repeats` only."""

    @classmethod
    def of(cls, histories: Sequence[History]) -> Facts:
        """Collect the facts of one history per row."""
        numbers = np.array([history[:5] for history in histories], dtype=np.int64).reshape(-1, 5)
        mark, mark_at, steps, step_at, length = numbers.T
        repeats = np.fromiter((h.repeats for h in histories), dtype=np.int64, count=len(histories))
        return cls(mark, length - mark_at, steps, length, length - step_at, repeats)


class Limits(NamedTuple):
    """Budgets as arrays of shape (rows,); `UNLIMITED` or infinity where a budget has no limit."""

    min_steps: Numbers
    max_steps: Numbers
    max_reasoning_tokens: Numbers
    max_step_tokens: Numbers
    max_answer_tokens: Numbers
    ban_repeats: Numbers
    """1 or 0."""
    backtrack_bias: Numbers
    end_start: Numbers
    end_stop: Numbers
    end_steps: Numbers
    end_tokens: Numbers
    end_sharpness: Numbers
    """0 for a linear ramp."""

    @classmethod
    def of(cls, budgets: Sequence[StepBudget]) -> Limits:
        """Collect the limits of one budget per row; answers are not limited by a budget."""
        return cls.of_rows([limit_row(budget) for budget in budgets])

    @classmethod
    def of_rows(cls, rows: Sequence[FloatArray] | FloatArray) -> Limits:
        """Collect rows that `limit_row` made."""
        columns = np.asarray(rows, dtype=np.float64).reshape(-1, len(cls._fields))
        return cls(*columns.T)

    def repeat(self, times: int) -> Limits:
        """Give each row's limits to `times` neighbours."""
        return Limits(*(values.repeat(times) for values in self))

    @property
    def biased(self) -> bool:
        """Whether a row asks for more than what is allowed and what is not."""
        return bool(np.any(self.backtrack_bias) or np.any(self.end_start) or np.any(self.end_stop))


def limit_row(budget: StepBudget, max_answer_tokens: int | None = None) -> FloatArray:
    """Return the limits of one request as an array in the order of `Limits`."""
    b = budget
    whole = (
        b.min_steps,
        limit(b.max_steps),
        limit(b.max_reasoning_tokens),
        limit(b.max_step_tokens),
        limit(max_answer_tokens),
    )
    return np.array([*whole, b.ban_repeats, b.backtrack_bias, *_soft(b)], dtype=np.float64)


def limit(value: int | None) -> int:
    """Return a limit as a number."""
    return UNLIMITED if value is None else value


def _soft(budget: StepBudget) -> tuple[float, float, float, float, float]:
    soft = budget.soft_end
    if soft is None:
        return 0.0, 0.0, np.inf, np.inf, 0.0
    sharpness = soft.sharpness if soft.ramp is Ramp.EXPONENTIAL else 0.0
    return soft.start, soft.stop, soft.steps or np.inf, soft.tokens or np.inf, sharpness
