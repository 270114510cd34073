"""pass@k, maj@k and best-of-k against hand-computed values and against counting all choices."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import InputError
from steiner.evaluate import SampleResult
from steiner.evaluate.intervals import bootstrap_share
from steiner.evaluate.passes import (
    Metric,
    best_of_k,
    majority_at_k,
    measure,
    measure_all,
    pass_at_k,
    question_values,
)

answers = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=7)
RIGHT = {"a": True, "b": False, "c": True, "d": False, "": False}


def one(right: int, n: int, k: int) -> float:
    return float(pass_at_k(np.array([right]), np.array([n]), k)[0])


def samples(*questions: str, score: float | None = None) -> list[SampleResult]:
    """One sample for each letter of each word; «a» is right, «_» no answer."""
    return [
        SampleResult(
            problem_id=f"p{number}", max_steps=4, right=letter == "a", well_formed=True, steps=1,
            backtracks=0, reasoning_tokens=5, answer=letter.strip("_"), score=score,
        )
        for number, word in enumerate(questions)
        for letter in word
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("right", "n", "k", "value"),
    [
        (1, 4, 1, 1 / 4),
        (1, 4, 2, 1 / 2),  # 1 − C(3,2)/C(4,2)
        (2, 5, 2, 1 - 3 / 10),
        (3, 5, 3, 1.0),  # only two wrong ones: three cannot all be wrong
        (0, 5, 5, 0.0),
        (5, 5, 1, 1.0),
    ],
)
def test_pass_at_k_by_hand(right: int, n: int, k: int, value: float) -> None:
    assert one(right, n, k) == pytest.approx(value)


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_choices_with_a_right_one(case: tuple[int, int, int]) -> None:
    right, n, k = case
    grades = [True] * right + [False] * (n - right)
    choices = list(combinations(grades, k))
    assert one(right, n, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 2999))
def test_pass_at_k_of_many_samples_is_a_share_that_grows_with_k(right: int, wrong: int, k: int) -> None:
    n = right + wrong
    if n <= k:
        with pytest.raises(ValueError, match="at least"):
            one(right, n, n + 1)
        return
    assert 0 <= one(right, n, k) <= one(right, n, k + 1) + 1e-9 <= 1 + 2e-9
    assert one(right, n, 1) == pytest.approx(right / n, abs=1e-9)


def test_pass_at_k_is_unbiased() -> None:
    generator = np.random.default_rng(0)
    right = generator.binomial(10, 0.3, size=100_000)
    mean = pass_at_k(right, np.full_like(right, 10), 4).mean()
    assert mean == pytest.approx(1 - 0.7**4, abs=0.003)


@pytest.mark.parametrize(
    ("word", "k", "value"),
    [
        ("aab", 3, 1.0),
        ("ab", 2, 1 / 2),  # a tie
        ("aabbc", 5, 1 / 2),  # a and b tie; c is right too but has fewer votes
        ("abb", 1, 1 / 3),
        ("abb", 2, (1 / 2 + 1 / 2 + 0) / 3),
        ("a__", 3, 1.0),  # who says nothing does not vote
        ("___", 2, 0.0),
        ("a__", 2, 2 / 3),
    ],
)
def test_majority_by_hand(word: str, k: int, value: float) -> None:
    said = [letter.strip("_") for letter in word]
    assert majority_at_k(said, [RIGHT[s] for s in said], k) == pytest.approx(value)


@settings(max_examples=150)
@given(answers, st.data())
def test_majority_is_the_mean_over_all_votes(said: list[str], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(said)))
    votes = []
    for chosen in combinations(said, k):
        counts = {answer: chosen.count(answer) for answer in chosen if answer}
        top = [answer for answer, count in counts.items() if count == max(counts.values())]
        votes.append(sum(RIGHT[answer] for answer in top) / len(top) if top else 0.0)
    assert majority_at_k(said, [RIGHT[s] for s in said], k) == pytest.approx(sum(votes) / len(votes))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=7), st.data())
def test_best_of_k_is_the_mean_over_all_choices(scored: list[tuple[int, bool]], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(scored)))
    values = []
    for chosen in combinations(scored, k):
        top = [right for score, right in chosen if score == max(score for score, _ in chosen)]
        values.append(sum(top) / len(top))
    got = best_of_k([s for s, _ in scored], [r for _, r in scored], k)
    # Among equals of one choice each is as likely; over all choices that is the share of the whole level.
    assert got == pytest.approx(sum(values) / len(values))


def test_a_perfect_verifier_makes_best_of_k_pass_at_k() -> None:
    right = [True, True, False, False, False]
    assert best_of_k([float(r) for r in right], right, 2) == pytest.approx(one(2, 5, 2))


def test_all_metrics_of_a_run() -> None:
    found = {m.name: m for m in measure_all(samples("aaab", "abbb", "aabb", "_cbb"))}
    assert list(found) == ["pass@1", "avg@4", "pass@2", "pass@4", "maj@2", "maj@4"]
    assert found["pass@1"].estimate == found["avg@4"].estimate
    assert found["avg@4"].estimate.value == pytest.approx((3 + 1 + 2 + 0) / 16)
    assert found["pass@4"].estimate.value == pytest.approx(3 / 4)
    assert found["maj@4"].estimate.value == pytest.approx((1 + 0 + 1 / 2 + 0) / 4)
    assert all(m.questions == 4 and m.estimate.low < m.estimate.high for m in found.values())
    assert [m.name for m in measure_all(samples("a", "b"))] == ["pass@1"]


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="one has only 2"):
        measure(samples("aaa", "ab"), Metric.PASS, 3)
    with pytest.raises(InputError, match="verifier's score"):
        question_values(samples("aaa"), Metric.BEST, 2)
    assert question_values(samples("ab", score=1.0), Metric.BEST, 2) == {"p0": 0.5}
    with pytest.raises(InputError, match="no samples"):
        measure_all([])


def test_no_success_still_leaves_an_interval() -> None:
    value, low, high = bootstrap_share([0.0] * 20)
    assert (value, low) == (0.0, 0.0)
    assert 0.05 < high < 0.17  # Wilson's ends at 0.161
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_share([0.2, 1.2])


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
@pytest.mark.parametrize(("metric", "k"), [(Metric.AVERAGE, 4), (Metric.PASS, 2), (Metric.MAJORITY, 3)])
def test_intervals_cover_at_the_nominal_rate(n: int, p: float, metric: Metric, k: int) -> None:
    """Questions differ in difficulty (beta), four samples each; the truth is the mean over questions."""
    generator = np.random.default_rng(n)

    def values(questions: int) -> np.ndarray:
        right = generator.binomial(4, generator.beta(2 * p, 2 * (1 - p), size=questions))
        tables = {
            Metric.AVERAGE: np.arange(5) / 4,
            Metric.PASS: pass_at_k(np.arange(5), np.full(5, 4), k),
            Metric.MAJORITY: np.array([
                majority_at_k("a" * c + "b" * (4 - c), [True] * c + [False] * (4 - c), k) for c in range(5)
            ]),
        }  # fmt: skip
        return tables[metric][right]

    truth = values(1_000_000).mean()
    trials, covered = 400, 0
    for seed in range(trials):
        _, low, high = bootstrap_share(values(n), seed, resamples=1000)
        covered += low <= truth <= high
    # Nominal 95%; 400 trials scatter by 1.1 points, and few questions with rare successes are worth up to 3
    # less.
    assert covered / trials >= 0.91
