"""Paired comparisons of arrays: by hand, against simulation, and what they warn of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.evaluate import Outcome
from steiner.evaluate.compare import paired_result
from steiner.evaluate.intervals import paired_difference, questions_needed, smallest_detectable_difference


def table(gained: int, lost: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return results before and after of n questions, half of the others right in both."""
    same = np.arange(n - gained - lost) % 2
    before = np.concatenate([np.zeros(gained), np.ones(lost), same])
    return before, np.concatenate([np.ones(gained), np.zeros(lost), same])


def test_a_comparison_by_hand() -> None:
    found = paired_result(*table(9, 1, 100))
    assert found.difference.value == pytest.approx(0.08)
    assert (found.gained, found.lost) == (9, 1)
    assert found.mcnemar_p == pytest.approx(22 / 1024)
    # ψ = (9 + 1 + 1) / 102; (1.96 + 0.84) √(ψ / n)
    assert found.detectable == pytest.approx(2.8016 * (11 / 102 / 100) ** 0.5, abs=1e-4)
    assert found.needed == 133  # ψ (2.8016 / 0.08)²
    assert found.outcome is Outcome.BETTER
    assert found.warning == (
        "100 questions show differences from 9.2 points on (80% power): the true difference is probably "
        "smaller than the 8.0 points seen here."
    )


def test_thirty_questions_carry_no_small_claim() -> None:
    found = paired_result(*table(4, 2, 30))
    assert found.outcome is Outcome.UNCLEAR
    assert found.warning.startswith("30 questions show differences from 23.9 points on (80% power)")
    assert found.warning.endswith("for a true difference of 6.7 points about 387 would be needed.")
    none = paired_result(*table(2, 2, 30))
    assert none.needed is None
    assert none.warning.endswith("a smaller one may be there.")


def test_a_clear_difference_needs_no_warning() -> None:
    found = paired_result(*table(60, 10, 500))
    assert (found.outcome, found.warning) == (Outcome.BETTER, "")


def test_interval_and_exact_test_may_disagree_and_that_is_said() -> None:
    disagreeing = [
        found
        for lost in range(0, 12)
        for gained in range(lost, lost + 16)
        if (found := paired_result(*table(gained, lost, 60), resamples=2000)).outcome is Outcome.BETTER
        and found.mcnemar_p >= 0.05
    ]
    assert disagreeing
    assert all("McNemar's exact test does not agree" in found.warning for found in disagreeing)


def test_shares_of_several_completions_count_less_than_whole_questions() -> None:
    whole = paired_result(np.zeros(50), np.repeat([1.0, 0.0], 25))
    half = paired_result(np.zeros(50), np.repeat([0.5, 0.0], 25))
    assert half.detectable < whole.detectable
    assert (half.gained, half.mcnemar_p) == (whole.gained, whole.mcnemar_p)


@given(st.floats(0.01, 1.0), st.floats(0.01, 0.5))
def test_questions_needed_inverts_the_detectable_difference(psi: float, difference: float) -> None:
    needed = questions_needed(difference, discordant=psi)
    assert needed is not None
    assert smallest_detectable_difference(needed, 0.5, discordant=psi) <= difference + 1e-9
    if needed > 1:
        assert smallest_detectable_difference(needed - 1, 0.5, discordant=psi) > difference - 1e-9


def test_questions_needed_refuses_what_is_no_share() -> None:
    assert questions_needed(0.0, discordant=0.2) is None
    with pytest.raises(ValueError, match="no share"):
        questions_needed(0.1, discordant=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 400])
@pytest.mark.parametrize(("up", "down"), [(0.02, 0.02), (0.10, 0.10), (0.30, 0.10)])
def test_paired_intervals_cover_at_the_nominal_rate(n: int, up: float, down: float) -> None:
    generator = np.random.default_rng([n, round(100 * up)])
    trials, covered = 600, 0
    for seed in range(trials):
        gained, lost, _ = generator.multinomial(n, [up, down, 1 - up - down])
        _, low, high = paired_difference(*table(gained, lost, n), seed, resamples=1000)
        covered += low <= up - down <= high
    # Nominal 95%; 600 trials scatter by 0.9 points.
    assert covered / trials >= 0.925
