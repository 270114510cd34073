"""Results in words. One place decides what may be called a difference, so that page and JSON say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from steiner.evaluate.records import Comparison, CurvePoint, ModelResult, Outcome

MINUS = "\N{MINUS SIGN}"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that HTML forbids or that would turn the direction of the text around them."""


def without_controls(text: str) -> str:
    """Return text with control characters replaced; line ends and tabs stay."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def percent(share: float, digits: int = 1) -> str:
    """Return a share as percent: 0.742 becomes `74.2%`."""
    return f"{100 * share:.{digits}f}%"


def points(difference: float) -> str:
    """Return a difference in percentage points with its sign: 0.012 becomes `+1.2`."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def interval(low: float, high: float) -> str:
    """Return an interval of shares: `70.1–77.9%`."""
    return f"{100 * low:.1f}–{100 * high:.1f}%"


def steps_allowed(max_steps: int | None) -> str:
    """Return a limit in words: `8 steps`, `no limit`."""
    if max_steps is None:
        return "no limit"
    return f"{max_steps} step" if max_steps == 1 else f"{max_steps} steps"


def steps_used(max_steps: int) -> str:
    """Say that a limit of steps was reached: `all 8 steps were used`."""
    return f"all {max_steps} steps were used" if max_steps > 1 else "the one step was used"


def comparison_verdict(
    outcome: Outcome, *, difference: float, low: float, high: float, n: int, detectable: float
) -> str:
    """Say what a comparison shows and, where it shows nothing, what it could have missed.

    For example `no difference beyond noise: +1.2 points, 95% interval −1.8…+4.1, n=500; differences under 4.2
    points could be missed`.
    """
    numbers = f"{points(difference)} points, 95% interval {points(low)}…{points(high)}, n={n:,}"
    if outcome is Outcome.UNCLEAR:
        missed = f"differences under {100 * detectable:.1f} points could be missed"
        return f"no difference beyond noise: {numbers}; {missed}"
    return f"{outcome.value}: {numbers}"


def summary_sentence(models: Sequence[ModelResult], comparisons: Sequence[Comparison]) -> str:
    """Return the page's verdict: what the last model solves, what search is worth, what the last stage added.

    Args:
        models: in the order of training; the last one is the outcome.
        comparisons: the last one is the last stage against the stage before it.
    """
    if not models:
        return "No model has been evaluated yet."
    last = models[-1]
    sentence = f"The final model ({last.title}) {_searching(last.final, last.minimum)}."
    if comparisons:
        added = comparisons[-1]
        sentence += f" From {added.before} to {added.after}: {added.verdict}."
    return sentence


def _searching(final: CurvePoint, minimum: CurvePoint) -> str:
    solved = f"solves {percent(final.accuracy)} of {final.n:,} problems with {_limit(final.max_steps)}"
    if final.max_steps == minimum.max_steps:
        return solved
    few = f"{percent(minimum.accuracy)} when it may take only {steps_allowed(minimum.max_steps)}"
    if final.low > minimum.high:
        ratio = f", {final.accuracy / minimum.accuracy:.1f} times as many" if minimum.accuracy > 0 else ""
        return f"{solved}, against {few}{ratio}"
    if final.high < minimum.low:
        return f"{solved}, fewer than the {few}"
    return f"{solved}; more steps do not clearly help, it solves {few}"


def _limit(max_steps: int | None) -> str:
    return "no limit of steps" if max_steps is None else f"up to {steps_allowed(max_steps)}"
