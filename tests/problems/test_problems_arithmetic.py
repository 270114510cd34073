"""The plain text of pre-training: every line true, and misses near enough to teach what a hit is."""

from __future__ import annotations

import re

import pytest

from steiner.problems.arithmetic import NEAR, arithmetic_documents
from steiner.problems.countdown import Limits

LARGEST = 30


def lines(seed: int = 0) -> list[str]:
    limits = Limits(max_result=LARGEST)
    return [line for text in arithmetic_documents(LARGEST, limits, seed=seed) for line in text.splitlines()]


def comparisons() -> list[tuple[int, int, int]]:
    found = [re.fullmatch(r"target (\d+) , got (\d+) , off by (\d+)", line) for line in lines()]
    return [tuple(map(int, match.groups())) for match in found if match]  # type: ignore[misc]


def test_every_line_is_true():
    equations = [line for line in lines() if "=" in line]
    assert len(equations) + len(comparisons()) == len(lines())
    for line in equations:
        left, right = line.split("=")
        assert eval(left) == int(right)
    assert all(off == abs(target - got) for target, got, off in comparisons())


@pytest.mark.parametrize(
    ("kind", "share"),
    [(lambda off: off == 0, 0.26), (lambda off: 0 < off <= NEAR, 0.56), (lambda off: off > NEAR, 0.18)],
    ids=["hits", "near misses", "others"],
)
def test_comparisons_are_of_all_kinds(kind, share):
    off = [off for _, _, off in comparisons()]
    assert sum(map(kind, off)) / len(off) == pytest.approx(share, abs=0.03)


def test_the_seed_decides():
    assert lines(1) == lines(1)
    assert lines(1) != lines(2)
