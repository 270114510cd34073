"""From fits to a verdict, and to how many more requests would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steiner.probe.records import Doubt, Estimate, Fits, Verdict, VerdictKind
from steiner.probe.usage import BLOCKING_SHARE

POWER_BOUNDARY = 0.86
"""A power below is sub-linear, one above linear. Serial servers have 1; a search whose width grows with its
depth has 0.5; effects of load and batches stay above 0.9."""
LENIENT_BOUNDARY = 0.65
"""The same where billed tokens take as long as those that are seen being written: evidence of its own."""
PACE_BOUNDARY = 0.65
"""A billed token in less than this share of the time of a shown one is taken for parallel work. Two even
branches have 0.5."""
LEAST_REQUESTS = 12
LEAST_DECADES = 0.7
CLOSE = 0.02
"""An estimate this close to a boundary is never told from it."""
MOST_MORE = 2000
POWERED = ((1.645 + 0.842) / 1.645) ** 2
"""For a one-sided test at 5% that is to succeed in 80% of the cases."""


def decide(fits: Fits | None, pace: Estimate | None, doubts: Sequence[Doubt]) -> Verdict:
    """Return the verdict.

    Args:
        fits: None where there were too few replies to fit.
        pace: seconds of a billed token by those of one that is seen being written; None where none is seen.
        doubts: about the usage.
    """
    obstacle = _obstacle(fits, pace, doubts)
    if fits is None or obstacle is not None:
        text, more = obstacle or ("There are too few replies.", LEAST_REQUESTS)
        return Verdict(kind=VerdictKind.INCONCLUSIVE, text=text, pace=pace, more=more)
    power = fits.power_limits
    speed = None if pace is None else _side(pace, PACE_BOUNDARY)
    shape = _side(power, POWER_BOUNDARY)
    if shape == 0 and speed == 1 and power.low > LENIENT_BOUNDARY:
        shape = 1
    reasons = tuple(_reasons(power, pace))
    kind = _kind(shape, speed)
    if kind is not VerdictKind.INCONCLUSIVE:
        return Verdict(kind=kind, text=_explanation(shape, speed, power), reasons=reasons, pace=pace, more=0)
    text, more = _open(fits, pace, shape, speed)
    return Verdict(kind=kind, text=text, reasons=reasons, pace=pace, more=more)


def _kind(shape: int, speed: int | None) -> VerdictKind:
    """Join both sides, each 1 for one sequence, -1 for several, 0 for open; a speed of None was not seen."""
    if (shape < 0 and speed != 1) or speed == -1:
        return VerdictKind.SUBLINEAR
    if shape > 0 and speed in (None, 1):
        return VerdictKind.LINEAR
    return VerdictKind.INCONCLUSIVE


def _explanation(shape: int, speed: int | None, power: Estimate) -> str:
    if shape < 0:
        return "Seconds grow more slowly than tokens: parallel work behind the API."
    if speed == -1:
        return (
            "Billed tokens take a fraction of the time of a token that can be seen being written: several "
            "are written at the same time, although the points may lie on a straight line."
        )
    text = "Seconds grow with tokens as when one token is written after another."
    if power.low > 1.1:
        text += " Late tokens even take longer than early ones."
    if speed is None:
        text += (
            " No text was seen being written, so a fixed number of equally long branches, which gives a "
            "straight line too, is not excluded."
        )
    return text


def _open(fits: Fits, pace: Estimate | None, shape: int, speed: int | None) -> tuple[str, int | None]:
    """Return why nothing is settled, and how many more requests would settle it."""
    if shape < 0:
        return (
            "Seconds grow more slowly than tokens, but billed tokens take as long as those that can be seen "
            f"being written: the two disagree. {fits.n} more requests would tell whether that is chance.",
            fits.n,
        )
    counts = [] if shape else [more_requests(fits.n, fits.power_limits, POWER_BOUNDARY)]
    if pace is not None and speed == 0:
        counts.append(more_requests(fits.n, pace, PACE_BOUNDARY))
    more = None if None in counts else max(count or 0 for count in counts)
    wanted = f"about {more} more requests would settle it" if more else "more requests would not settle it"
    return f"The intervals hold both possibilities; {wanted}.", more


def more_requests(n: int, estimate: Estimate, boundary: float) -> int | None:
    """Return how many more requests would probably move the interval off the boundary.

    An interval's width falls with the square root of the number of requests. As many are added as settle it
    in four cases of five if the estimate is true. None: too close, or too many.
    """
    distance = abs(estimate.value - boundary)
    if distance < CLOSE:
        return None
    half = estimate.value - estimate.low if estimate.value > boundary else estimate.high - estimate.value
    more = n * (half / distance) ** 2 * POWERED - n
    rounded = max(5, 5 * math.ceil(more / 5))
    return rounded if rounded <= MOST_MORE else None


def _side(estimate: Estimate, boundary: float) -> int:
    """Return 1 if the interval lies above the boundary, -1 below, 0 if it holds it."""
    return int(estimate.low > boundary) - int(estimate.high < boundary)


def _obstacle(
    fits: Fits | None, pace: Estimate | None, doubts: Sequence[Doubt]
) -> tuple[str, int | None] | None:
    """Return what stands in the way of any verdict, and how many more requests would help."""
    strong = {doubt.kind: doubt for doubt in doubts if doubt.share >= BLOCKING_SHARE}
    for kind in ("missing", "fewer", "constant", "reasoning"):
        if kind in strong:
            share = f"{100 * strong[kind].share:.0f}%"
            return f"The usage cannot be relied on: in {share} of the replies {strong[kind].text}.", None
    if fits is None or fits.n < LEAST_REQUESTS:
        n = 0 if fits is None else fits.n
        return f"There are too few replies ({n}) for a verdict.", LEAST_REQUESTS - n
    if fits.decades < LEAST_DECADES:
        spread = 10**fits.decades
        return (
            f"The longest replies have only {spread:.1f} times the tokens of the shortest, too little to see "
            "a shape: widen the lengths (--shortest, --longest), or ask for other prompts (--prompts).",
            None,
        )
    if pace is None and fits.power_limits.low > POWER_BOUNDARY:
        for kind in ("undeclared", "over_limit"):
            if kind in strong:
                return (
                    f"The points lie on a straight line, but {strong[kind].text}, and no text was seen being "
                    "written whose speed would tell whether that is done at the same time.",
                    None,
                )
    return None


def _reasons(power: Estimate, pace: Estimate | None) -> list[str]:
    side = _side(power, POWER_BOUNDARY)
    words = {1: "above", -1: "below", 0: "around"}
    reasons = [
        f"seconds = a + b·tokens^p with p = {power.value:.2f} (90% interval {power.low:.2f} to "
        f"{power.high:.2f}): {words[side]} the boundary of {POWER_BOUNDARY}"
    ]
    if pace is not None:
        reasons.append(
            f"a billed token takes {pace.value:.2f} ({pace.low:.2f} to {pace.high:.2f}) of the time of a "
            f"shown one: {words[_side(pace, PACE_BOUNDARY)]} the boundary of {PACE_BOUNDARY}"
        )
    return reasons
