"""Metrics of questions that were answered several times: avg@k, pass@k, maj@k, best-of-k. Pure functions.

Each is the exact expectation over all ways to choose k of a question's n completions without replacement, so
no sampling noise is added and every completion counts. Arrays: `_Q` one entry per question, `_N` per
completion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from steiner.core import InputError
from steiner.evaluate.intervals import RESAMPLES, Estimate, Floats, bootstrap_share
from steiner.evaluate.records import SampleResult


class Metric(StrEnum):
    """How the completions of a question become one number."""

    AVERAGE = "avg"
    """Mean over the completions. With k = 1 it is pass@1."""
    PASS = "pass"
    """Whether one of k is right (Chen et al. 2021)."""
    MAJORITY = "maj"
    """Whether the most frequent answer of k is right (Wang et al. 2022)."""
    BEST = "best"
    """Whether the answer that a verifier likes best among k is right."""


class Measured(NamedTuple):
    """A metric over all questions."""

    metric: Metric
    k: int
    estimate: Estimate
    """With its 95% bootstrap interval, clustered by question."""
    questions: int

    @property
    def name(self) -> str:
        """For example `pass@4`."""
        return f"{self.metric.value}@{self.k}"


def pass_at_k(right_Q: NDArray[np.int64], samples_Q: NDArray[np.int64], k: int) -> Floats:
    """Return for each question the probability that one of k completions is right.

    1 − C(n − c, k) / C(n, k), unbiased (Chen et al. 2021, «Evaluating large language models trained on
    code»).

    Args:
        right_Q: c, right completions of each question.
        samples_Q: n, completions of each question.
        k: completions that may be tried.

    Raises:
        ValueError: unless 0 ≤ c ≤ n and 1 ≤ k ≤ n for every question.
    """
    c, n = np.asarray(right_Q, dtype=np.float64), np.asarray(samples_Q, dtype=np.float64)
    if c.shape != n.shape or k < 1 or np.any((c < 0) | (c > n) | (n < k)):
        raise ValueError(f"pass@{k} needs 0 ≤ right ≤ samples and at least {k} samples of each question")
    wrong = n - c
    possible = wrong >= k
    safe = np.where(possible, wrong, k)
    # C(w, k) / C(n, k) = w! (n − k)! / ((w − k)! n!)
    log = gammaln(safe + 1) + gammaln(n - k + 1) - gammaln(safe - k + 1) - gammaln(n + 1)
    # Rounded, because gammaln is good to about 1e-13 and equal questions should be equal.
    return np.where(possible, np.clip(np.round(-np.expm1(log), 12), 0.0, 1.0), 1.0)


def majority_at_k(answers_N: Sequence[str], right_N: Sequence[bool], k: int) -> float:
    """Return the probability that a vote of k of a question's completions is right.

    Where answers tie, each of them is taken with equal probability. An empty answer does not vote; where
    nobody votes the answer is wrong. Answers are compared as they stand: normalise them before.

    Args:
        answers_N: answer of each completion.
        right_N: parallel to it.
        k: voters.

    Raises:
        ValueError: unless the two are parallel and 1 ≤ k ≤ n.
    """
    n = len(answers_N)
    if len(right_N) != n or not 1 <= k <= n:
        raise ValueError(f"maj@{k} needs at least {k} answers and as many grades: {n} and {len(right_N)}")
    votes: dict[str, int] = {}
    rights: dict[str, int] = {}
    for answer, right in zip(answers_N, right_N, strict=True):
        votes[answer] = votes.get(answer, 0) + 1
        rights[answer] = rights.get(answer, 0) + right
    blank = votes.pop("", 0)
    pattern = tuple(sorted((count, rights[answer] / count) for answer, count in votes.items()))
    return _vote(pattern, blank, k)


@lru_cache(maxsize=65_536)
def _vote(pattern: tuple[tuple[int, float], ...], blank: int, k: int) -> float:
    """Return the probability of a right vote, given (votes, share right) of each answer.

    For each possible top count j: count the ways to choose k completions of which no answer has more than j,
    by how many answers have exactly j (t) and how right those are together; a right one wins with 1 / t.
    """
    n = sum(count for count, _ in pattern) + blank
    total, expected = math.comb(n, k), 0.0
    for j in range(1, min(k, max((count for count, _ in pattern), default=0)) + 1):
        ways, right = _ways_with_top(pattern, blank, k, j)
        expected += sum(right[t] / t for t in range(1, len(ways)))
    return min(1.0, expected / total)


def _ways_with_top(
    pattern: tuple[tuple[int, float], ...], blank: int, k: int, j: int
) -> tuple[list[float], list[float]]:
    """Return, by the number t of answers with j votes: ways to choose k, and those times right answers."""
    most = k // j
    ways = np.zeros((most + 1, k + 1))
    right = np.zeros((most + 1, k + 1))
    for chosen in range(min(blank, k) + 1):
        ways[0, chosen] = math.comb(blank, chosen)
    for count, share in pattern:
        new_ways, new_right = np.zeros_like(ways), np.zeros_like(right)
        for chosen in range(min(count, j) + 1):
            times = float(math.comb(count, chosen))
            if chosen < j:
                new_ways[:, chosen:] += times * ways[:, : k + 1 - chosen]
                new_right[:, chosen:] += times * right[:, : k + 1 - chosen]
            else:
                new_ways[1:, j:] += times * ways[:-1, : k + 1 - j]
                new_right[1:, j:] += times * (right[:-1, : k + 1 - j] + share * ways[:-1, : k + 1 - j])
        ways, right = new_ways, new_right
    return ways[:, k].tolist(), right[:, k].tolist()


def best_of_k(scores_N: Sequence[float], right_N: Sequence[bool], k: int) -> float:
    """Return the probability that the best scored of k completions is right.

    Completions of equal score share their ranks. With the grade itself as score this is pass@k.

    Args:
        scores_N: the verifier's score of each completion, higher is better.
        right_N: parallel to it.
        k: completions to choose from.

    Raises:
        ValueError: unless the two are parallel, 1 ≤ k ≤ n and no score is NaN.
    """
    scores, right = np.asarray(scores_N, dtype=np.float64), np.asarray(right_N, dtype=np.float64)
    n = scores.size
    if right.size != n or not 1 <= k <= n or np.isnan(scores).any():
        raise ValueError(f"best@{k} needs at least {k} scored completions and as many grades, got {n}")
    levels, inverse = np.unique(-scores, return_inverse=True)
    sizes = np.bincount(inverse, minlength=len(levels))
    share = np.bincount(inverse, weights=right, minlength=len(levels)) / sizes
    # The best of k is at level i or better unless all k are worse than it.
    worse = n - np.cumsum(sizes)
    reached = np.array([1 - math.comb(int(w), k) / math.comb(n, k) for w in worse])
    return min(1.0, float(np.dot(np.diff(reached, prepend=0.0), share)))


def question_values(samples: Iterable[SampleResult], metric: Metric, k: int) -> dict[str, float]:
    """Return a metric for each question, in the order in which questions first occur.

    Raises:
        InputError: if a question has fewer than k samples, or lacks the scores that best-of-k needs.
    """
    groups: dict[str, list[SampleResult]] = {}
    for sample in samples:
        groups.setdefault(sample.problem_id, []).append(sample)
    fewest = min(map(len, groups.values()), default=0)
    if fewest < k:
        raise InputError(
            f"{metric.value}@{k} needs {k} samples of each question; one has only {fewest}. "
            "Evaluate with more samples per question, or ask for a smaller k."
        )
    if metric is Metric.BEST and any(s.score is None for group in groups.values() for s in group):
        raise InputError("best-of-k needs a verifier's score of every sample; these have none.")
    return {problem: _value(group, metric, k) for problem, group in groups.items()}


def _value(group: list[SampleResult], metric: Metric, k: int) -> float:
    right = [sample.right for sample in group]
    if metric is Metric.AVERAGE:
        return sum(right) / len(right)
    if metric is Metric.PASS:
        return float(pass_at_k(np.array([sum(right)]), np.array([len(right)]), k)[0])
    if metric is Metric.MAJORITY:
        return majority_at_k([sample.answer for sample in group], right, k)
    return best_of_k([sample.score or 0.0 for sample in group], right, k)


def measure(
    samples: Iterable[SampleResult], metric: Metric, k: int, seed: int = 0, resamples: int = RESAMPLES
) -> Measured:
    """Return a metric over all questions, each counted once, with its interval.

    Raises:
        InputError: as `question_values`.
    """
    values = list(question_values(samples, metric, k).values())
    return Measured(metric, k, bootstrap_share(values, seed, resamples=resamples), len(values))


def measure_all(samples: Sequence[SampleResult], seed: int = 0) -> list[Measured]:
    """Return pass@1, and with n samples of each question avg@n and pass@k and maj@k for k = 2, 4, 8… up to n.

    Raises:
        InputError: if there are no samples.
    """
    if not samples:
        raise InputError("There are no samples to measure.")
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.problem_id] = counts.get(sample.problem_id, 0) + 1
    n = min(counts.values())
    ks = sorted({k for k in (*(2**i for i in range(1, 20)), n) if 1 < k <= n})
    wanted = [(Metric.PASS, 1)] + [(Metric.AVERAGE, n)] * (n > 1)
    wanted += [(metric, k) for metric in (Metric.PASS, Metric.MAJORITY) for k in ks]
    return [measure(samples, metric, k, seed) for metric, k in wanted]
