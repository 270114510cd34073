"""From fits to a verdict, and to how many more requests would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steiner.probe.records import Doubt, Estimate, Fits, Verdict, VerdictKind
from steiner.probe.usage import BLOCKING_SHARE

POWER_BOUNDARY = 0.85
"""A power below is sub-linear, one above linear. Serial servers have 1; a search whose width grows with its
depth has 0.5; effects of load and batches stay above 0.9."""
LENIENT_BOUNDARY = 0.7
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
    if shape == 0 and speed == 1 and power.value > POWER_BOUNDARY and power.low > LENIENT_BOUNDARY:
        shape = 1
    reasons = tuple(_reasons(power, pace))
    if shape < 0:
        text = "Seconds grow more slowly than tokens: parallel work behind the API."
        return Verdict(kind=VerdictKind.SUBLINEAR, text=text, reasons=reasons, pace=pace, more=0)
    if speed is not None and speed < 0:
        text = (
            "Billed tokens take a fraction of the time of a token that can be seen being written: several "
            "are written at the same time, although the points may lie on a straight line."
        )
        return Verdict(kind=VerdictKind.SUBLINEAR, text=text, reasons=reasons, pace=pace, more=0)
    if shape > 0 and (speed is None or speed > 0):
        text = "Seconds grow with tokens as when one token is written after another."
        if power.low > 1.1:
            text += " Late tokens even take longer than early ones."
        if pace is None:
            text += (
                " No text was seen being written, so a fixed number of equally long branches, which gives a "
                "straight line too, is not excluded."
            )
        return Verdict(kind=VerdictKind.LINEAR, text=text, reasons=reasons, pace=pace, more=0)
    open_questions = [] if shape else [(power, POWER_BOUNDARY)]
    if pace is not None and speed == 0:
        open_questions.append((pace, PACE_BOUNDARY))
    counts = [more_requests(fits.n, *question) for question in open_questions]
    more = None if None in counts else max(count or 0 for count in counts)
    wanted = f"about {more} more requests would settle it" if more else "more requests would not settle it"
    text = f"The intervals hold both possibilities; {wanted}."
    return Verdict(kind=VerdictKind.INCONCLUSIVE, text=text, reasons=reasons, pace=pace, more=more)


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
