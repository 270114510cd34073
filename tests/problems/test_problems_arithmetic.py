"""The plain text of pre-training: every line true, and misses near enough to teach what a hit is."""

from __future__ import annotations

import re

import pytest

from steiner.graph.sweep import operands_rank, text_rank
from steiner.problems.arithmetic import NEAR, arithmetic_documents, sweep_documents
from steiner.problems.countdown import Limits, operations

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


def test_one_target_for_a_document():
    documents = list(arithmetic_documents(LARGEST, Limits(max_result=LARGEST), seed=0, same_target=True))
    said = [re.findall(r"target (\d+) , got (\d+) , off by (\d+)", document) for document in documents]
    assert all(len({target for target, _, _ in found}) == 1 for found in said)
    assert {int(found[0][0]) for found in said} == set(range(LARGEST + 1))
    assert all(abs(int(target) - int(got)) == int(off) for found in said for target, got, off in found)
    equations = [line for document in documents for line in document.splitlines() if "=" in line]
    assert sorted(equations) == sorted(line for line in lines() if "=" in line)


@pytest.mark.parametrize(("by_operands", "rank"), [(False, text_rank), (True, operands_rank)])
def test_sweeps_go_round_all_ways_in_the_order_of_sorted_paths(by_operands, rank):
    limits = Limits(max_result=LARGEST)
    states = [(2, 2, 8), (3, 9, 14), (13, 14, 16), (4, 20)]
    documents = list(sweep_documents(states, limits, seed=0, repeats=8, by_operands=by_operands))
    assert len(documents) == 8 * len(states)
    begun = set()
    for document in documents:
        rows = document.splitlines()
        names, equations, summaries = rows[::3], rows[1::3], rows[2::3]
        assert len(set(names)) == 1
        state = tuple(map(int, names[0].removeprefix("From ").split()))
        first = {way.next_state: way for way in reversed(operations(state, limits))}
        ways = {way.equation: way for way in first.values()}
        order = sorted(ways, key=rank)
        begin = order.index(equations[0])
        begun.add((state, begin))
        assert equations == [order[(begin + turn) % len(order)] for turn in range(len(order) + 2)]
        assert summaries == ["left " + " ".join(map(str, ways[one].next_state)) for one in equations]
    assert len(begun) > 2 * len(states)
    assert documents == list(sweep_documents(states, limits, seed=0, repeats=8, by_operands=by_operands))
    assert documents != list(sweep_documents(states, limits, seed=1, repeats=8, by_operands=by_operands))
