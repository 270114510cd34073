"""Steps of different traces are merged where they say the same, and only there."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import Grading, InputError, Problem, Provenance, Step, Trace, TraceStep, Verdict
from steiner.graph.build import build_graph
from steiner.graph.cluster import ClusterSettings, cluster_steps
from steiner.graph.compare import contradicts
from steiner.graph.embed import HashingEmbedder, SentenceEmbedder, normalise
from steiner.graph.text_facts import read_facts, telling_words

PROBLEM = Problem(
    question="Which policy puts one name on all products?",
    answer="B",
    grading=Grading.CHOICE,
    choices=("Corporate branding.", "Family branding.", "Multi-branding."),
)


def trace(
    *thoughts: str,
    teacher: str = "m",
    parents: Sequence[int] | None = None,
    states: Sequence[str | None] = (),
) -> Trace:
    return Trace(
        problem_id=PROBLEM.id,
        steps=tuple(
            TraceStep(
                step=Step(name="n", thought=thought, summary="s", reflection="r"),
                parent=parents[i] if parents else i - 1,
                state=states[i] if states else None,
            )
            for i, thought in enumerate(thoughts)
        ),
        answer="(B)",
        verdict=Verdict.RIGHT,
        provenance=Provenance(teacher=teacher, method="import"),
    )


def merged(a: str, b: str) -> bool:
    labels = cluster_steps(PROBLEM, [trace(a, teacher="a"), trace(b, teacher="b")], ClusterSettings())
    return labels[0] == labels[1]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The annual cost is $40,000 / 5 = $8,000.", "Therefore, the annual cost is ($40,000/5) = $8,000."),
        ("The force is 10 \\times 2 = 20 N.", "So, the force is 10 * 2 = 20.0 N."),
        ("The company's culture is a role culture.", "Thus the company's culture is the role culture."),
        ("One adds the salary and the commission.", "One adds the commission and the salary."),
    ],
)  # fmt: skip
def test_same_meaning_is_merged(a: str, b: str) -> None:
    assert merged(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The book value is $40,000 - $16,000 = $24,000.", "The book value is $40,000 - $16,000 = $26,000."),
        ("The ring is an integral domain.", "The ring is not an integral domain."),
        ("The demand for the good increases with income.", "The demand for the good decreases with income."),
        ("Family branding puts one name on all of them.", "Corporate branding puts one name on all of them."),
        ("(A) covers every case that was asked about.", "(B) covers every case that was asked about."),
        ("Statement 1 is true for all rings.", "Statement 2 is true for all rings."),
        ("The present value is PV = FV / (1 + r)^n here.", "The present value is PV = FV * (1 + r)^n here."),
        ("The rate is found by multiplying cost and time.", "The rate is found by dividing cost and time."),
        ("The court in Smith held the act to be void.", "The court in Jones held the act to be void."),
        ("Aluminium melts easily.", "The statute covers private parties."),
    ],
)  # fmt: skip
def test_different_claims_stay_apart(a: str, b: str) -> None:
    assert not merged(a, b)


def test_vetoes_can_be_switched_off() -> None:
    pair = [
        trace("The book value is 24 in all.", teacher="a"),
        trace("The book value is 26 in all.", teacher="b"),
    ]
    with_vetoes = cluster_steps(PROBLEM, pair, ClusterSettings())
    without = cluster_steps(PROBLEM, pair, ClusterSettings(vetoes=False))
    assert with_vetoes[0] != with_vetoes[1]
    assert without[0] == without[1]


WORDS = (
    "the force is small",
    "the force is small now",
    "a force is big",
    "the mass is 3",
    "the mass is 4",
    "so it ends",
)
TRACES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), min_size=1, max_size=5)


@given(TRACES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_traces_does_not_matter(rows: list[list[str]], rng: random.Random) -> None:
    traces = [trace(*row, teacher=f"m{i}") for i, row in enumerate(rows)]
    order = list(range(len(traces)))
    rng.shuffle(order)
    labels = cluster_steps(PROBLEM, traces, ClusterSettings())
    again = cluster_steps(PROBLEM, [traces[i] for i in order], ClusterSettings())
    assert again == tuple(labels[i] for i in order)


@given(TRACES)
@settings(max_examples=40, deadline=None)
def test_labels_close_no_cycle(rows: list[list[str]]) -> None:
    """Merging by label alone is acyclic, so the graph has exactly one node per label."""
    traces = [trace(*row, teacher=f"m{i}") for i, row in enumerate(rows)]
    labels = cluster_steps(PROBLEM, traces, ClusterSettings())
    for row in labels:
        assert len(set(row)) == len(row)
    graph = build_graph(PROBLEM, traces, labels)
    names = set(itertools.chain.from_iterable(labels))
    assert sum(node.kind == "step" for node in graph.nodes) == len(names)


def test_opposite_orders_of_two_steps_are_not_both_merged() -> None:
    first, second = "The ring has no zero divisors.", "Every ideal of it is principal."
    pair = [trace(first, second, teacher="a"), trace(second, first, teacher="b")]
    labels = cluster_steps(PROBLEM, pair, ClusterSettings())
    assert len({*labels[0], *labels[1]}) == 3


def test_a_label_stays_when_a_trace_comes_that_it_does_not_merge_with() -> None:
    old = [trace("The force is 20 N in all.", teacher="a")]
    new = trace("The statute covers private parties.", teacher="b")
    assert (
        cluster_steps(PROBLEM, [*old, new], ClusterSettings())[0]
        == cluster_steps(PROBLEM, old, ClusterSettings())[0]
    )


def test_states_are_labels() -> None:
    pair = [trace("x", "y", states=["1,2", None]), trace("z", states=["1,2"], teacher="b")]
    labels = cluster_steps(PROBLEM, pair, ClusterSettings())
    assert labels[0][0] == labels[1][0] == "state:1,2"
    assert not labels[0][1].startswith("state:")


def test_no_traces_no_labels() -> None:
    assert cluster_steps(PROBLEM, [], ClusterSettings()) == ()


@given(st.text(max_size=80), st.text(max_size=80))
@settings(deadline=None)
def test_contradiction_is_symmetric_and_never_with_itself(a: str, b: str) -> None:
    one, other = read_facts(a), read_facts(b)
    telling = telling_words(PROBLEM.choices)
    assert contradicts(one, other, telling) == contradicts(other, one, telling)
    assert not contradicts(one, one, telling)


def test_spellings_of_a_number_are_one() -> None:
    a, b = read_facts("It is $1,000.0 in all"), read_facts("It is 1000 in all")
    assert a.numbers == b.numbers == {"1000"}


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(deadline=None)
def test_rows_are_unit_vectors_of_their_text_alone(texts: list[str]) -> None:
    embedder = HashingEmbedder(512)
    rows = embedder.encode(texts)
    assert rows.shape == (len(texts), 512)
    assert rows.dtype == np.float32
    lengths = np.linalg.norm(rows, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-4) | (lengths == 0))
    for row, text in zip(rows, texts, strict=True):
        np.testing.assert_array_equal(row, embedder.encode([text])[0])


def test_normalisation_takes_away_what_says_nothing() -> None:
    assert normalise("Therefore, the Companies' costs are \\mathrm{kg}!") == normalise("company cost kg")


def test_embedding_model_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        SentenceEmbedder(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no embedding model|needs the package"):
        SentenceEmbedder(tmp_path)


def test_embedding_model_from_a_folder_decides_what_is_alike(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "big": 1, "large": 2, "cold": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    vectors = np.array([[0, 0], [1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(tmp_path)
    rows = SentenceEmbedder(tmp_path).encode(["big", "large", "cold"])
    assert rows.shape == (3, 2)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    with_model = ClusterSettings(embedder=str(tmp_path), similarity=0.9)
    labels = cluster_steps(PROBLEM, [trace(t, teacher=t) for t in ("big", "large", "cold")], with_model)
    assert labels[0] == labels[1] != labels[2]
