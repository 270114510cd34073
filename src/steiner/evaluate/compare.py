"""Two runs on the same questions: paired interval, exact test, and what so few questions cannot show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from steiner.core import InputError
from steiner.evaluate.intervals import (
    RESAMPLES,
    Estimate,
    Floats,
    mcnemar_exact,
    paired_difference,
    questions_needed,
    smallest_detectable_difference,
)
from steiner.evaluate.records import Comparison, Outcome, SampleResult
from steiner.evaluate.wording import comparison_verdict, steps_allowed

SIGNIFICANCE = 0.05


class PairedResult(NamedTuple):
    """What a paired comparison finds. Differences are fractions, later minus earlier."""

    difference: Estimate
    """With its 95% paired bootstrap interval."""
    gained: int
    """Questions on which the later run does better."""
    lost: int
    """Questions on which it does worse."""
    mcnemar_p: float
    """Exact, two-sided."""
    detectable: float
    """Difference that this many questions would show with 80% power."""
    needed: int | None
    """Questions that would show the observed difference with 80% power; None if it is zero."""
    outcome: Outcome
    warning: str
    """Empty, or what the number of questions does not allow to claim."""


def paired_result(
    before_Q: Floats, after_Q: Floats, seed: int = 0, resamples: int = RESAMPLES
) -> PairedResult:
    """Compare two runs question by question.

    With several completions a question the share of right ones takes the place of 0 and 1: ψ, the share of
    questions that differ, becomes the mean square of the differences, and McNemar's test the sign test.

    Args:
        before_Q: share of right completions of each question, in the run compared with.
        after_Q: of the same questions in the other run.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: if the two are empty or not parallel.
    """
    difference = paired_difference(before_Q, after_Q, seed, resamples=resamples)
    change_Q, n = after_Q - before_Q, len(before_Q)
    gained, lost = int((change_Q > 0).sum()), int((change_Q < 0).sum())
    # One more question that differs and one that does not: without a difference yet, ψ is not known to be 0.
    psi = (float((change_Q**2).sum()) + 1) / (n + 2)
    detectable = smallest_detectable_difference(n, float(before_Q.mean()), discordant=psi)
    needed = questions_needed(difference.value, discordant=psi)
    p = mcnemar_exact(gained, lost)
    outcome = (
        Outcome.BETTER if difference.low > 0 else Outcome.WORSE if difference.high < 0 else Outcome.UNCLEAR
    )
    warning = _warning(outcome, difference.value, n=n, p=p, detectable=detectable, needed=needed)
    return PairedResult(difference, gained, lost, p, detectable, needed, outcome, warning)


def compare(
    before: Iterable[SampleResult],
    after: Iterable[SampleResult],
    *,
    max_steps: int | None,
    titles: tuple[str, str] = ("before", "after"),
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same questions under the same limit, paired by question.

    It is called better or worse only if the 95% interval of the difference excludes zero.

    Args:
        before: samples of the model compared with; those under other limits are left out.
        after: samples of the other model.
        max_steps: the limit.
        titles: of the two models.
        seed: of the bootstrap.

    Raises:
        InputError: if the two did not answer the same questions under that limit.
    """
    solved_old = shares_by_question(s for s in before if s.max_steps == max_steps)
    solved_new = shares_by_question(s for s in after if s.max_steps == max_steps)
    if not solved_old or solved_old.keys() != solved_new.keys():
        raise InputError(
            f"'{titles[0]}' and '{titles[1]}' cannot be compared with {steps_allowed(max_steps)}: they "
            f"answered {len(solved_old)} and {len(solved_new)} questions, "
            f"{len(solved_old.keys() & solved_new.keys())} of them the same. "
            "Evaluate both on the same problems."
        )
    old = np.array(list(solved_old.values()))
    new = np.array([solved_new[problem] for problem in solved_old])
    found, n = paired_result(old, new, seed), len(old)
    difference, low, high = found.difference
    return Comparison(
        before=titles[0],
        after=titles[1],
        max_steps=max_steps,
        n=n,
        before_accuracy=float(old.mean()),
        after_accuracy=float(new.mean()),
        difference=difference,
        low=low,
        high=high,
        gained=found.gained,
        lost=found.lost,
        mcnemar_p=found.mcnemar_p,
        detectable=found.detectable,
        outcome=found.outcome,
        verdict=comparison_verdict(
            found.outcome, difference=difference, low=low, high=high, n=n, detectable=found.detectable
        ),
        warning=found.warning,
    )


def shares_by_question(samples: Iterable[SampleResult]) -> dict[str, float]:
    """Return each question's share of right completions, in the order in which questions first occur."""
    right: dict[str, list[bool]] = {}
    for sample in samples:
        right.setdefault(sample.problem_id, []).append(sample.right)
    return {problem: sum(values) / len(values) for problem, values in right.items()}


def _warning(
    outcome: Outcome, difference: float, *, n: int, p: float, detectable: float, needed: int | None
) -> str:
    """Say what so few questions do not allow to claim; empty if there is nothing to add."""
    shown = f"{100 * abs(difference):.1f} points"
    can = f"{n:,} questions show differences from {100 * detectable:.1f} points on (80% power)"
    if outcome is Outcome.UNCLEAR:
        if needed is None:
            return f"{can}; a smaller one may be there."
        return f"{can}; for a true difference of {shown} about {needed:,} would be needed."
    if p >= SIGNIFICANCE:
        return f"The interval excludes zero but McNemar's exact test does not agree (p = {p:.3f}): {can}."
    if abs(difference) < detectable:
        # Gelman & Carlin 2014: what passes the test where power is low is what noise has enlarged.
        return f"{can}: the true difference is probably smaller than the {shown} seen here."
    return ""
