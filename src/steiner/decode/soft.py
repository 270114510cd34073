"""Soft control: addends to the logits of END and BACKTRACK, where hard limits would allow or forbid.

The formula stands in `steiner.core.SoftEnd`. The addends are meant for the model's own logits, so a
temperature divides them too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from steiner.decode.history import Facts, FloatArray, Limits


class Biases(NamedTuple):
    """Addends to logits; each array has shape (rows,)."""

    end: FloatArray
    backtrack: FloatArray


def biases(facts: Facts, limits: Limits, deciding: Any, xp: Any = np) -> Biases:
    """Return the addends of each row, zero where no move is decided.

    Args:
        facts: what was written.
        limits: what is asked for.
        deciding: shape (rows,), True where PROCEED, BACKTRACK or END comes next.
        xp: numpy, or torch for tensors.
    """
    used = xp.maximum(facts.steps / limits.end_steps, facts.length / limits.end_tokens)
    grown = ramp(used.clip(None, 1.0), limits.end_sharpness, xp)
    end = limits.end_start + (limits.end_stop - limits.end_start) * grown
    return Biases(xp.where(deciding, end, 0.0), xp.where(deciding, limits.backtrack_bias, 0.0))


def ramp(use: FloatArray, sharpness: FloatArray, xp: Any = np) -> FloatArray:
    """Return r(u), from 0 at u = 0 to 1 at u = 1; linear where `sharpness` is 0."""
    steep = xp.where(sharpness > 0, sharpness, 1.0)
    grown: FloatArray = xp.where(sharpness > 0, xp.expm1(steep * use) / xp.expm1(steep), use)
    return grown
