"""Which steps of one question's traces say the same thing.

Greedy agglomeration, most similar pair first. Two clusters are joined only if every pair of their steps is
similar enough (complete linkage: no chains) and contradicts in no checkable fact, and if neither leads to the
other in any trace: the quotient graph stays acyclic by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg.blas import ssyrk
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from steiner.core import Problem, Settings, Trace, digest
from steiner.graph.compare import FactTable
from steiner.graph.embed import Embedder, HashingEmbedder, SentenceEmbedder, Vectors
from steiner.graph.linkage import SURE, link
from steiner.graph.text_facts import Facts, read_facts, telling_words

Labels = tuple[tuple[str, ...], ...]
"""Label of each step, parallel to traces and their steps. Equal labels are the same node."""


class ClusterSettings(Settings):
    """When two steps are the same."""

    similarity: float = Field(default=0.6, ge=0, le=1)
    """Least cosine similarity between any two steps of a cluster."""
    same_result: float = Field(default=0.3, ge=0, le=1)
    """Least similarity where two steps claim the same number that is not in the question."""
    same_computed: float = Field(default=0.0, ge=0, le=1)
    """Least similarity where two steps reach the same number by a true equation."""
    same_state: float = Field(default=0.0, ge=0, le=1)
    """Least similarity where two steps say that the same numbers are left."""
    vetoes: bool = True
    """Whether checkable facts count: different numbers, polarity, options or names keep steps apart, the same
    number reached brings them together."""
    embedder: str = ""
    """A sentence-transformers or model2vec model: its folder, or the name of an installed package with a
    folder `model`; empty: the built-in lexical embedder."""
    rules: Literal[2] = 2
    """Version of the facts and of the linkage: a graph made by other rules is another graph."""


def cluster_steps(problem: Problem, traces: Sequence[Trace], settings: ClusterSettings) -> Labels:
    """Label the steps of all traces of one question.

    The outcome does not depend on the order of `traces`. A step with a search state is labelled by it. The
    label of a cluster is the hash of its smallest member's text, so it stays when more traces come.

    Args:
        problem: the question; its choices say which words tell answers apart.
        traces: attempts at it.
        settings: when two steps are the same.

    Raises:
        InputError: if the embedding model of the settings cannot be loaded.
    """
    places = sorted(
        (
            (t, s)
            for t, trace in enumerate(traces)
            for s in range(len(trace.steps))
            if trace.steps[s].state is None
        ),
        key=lambda place: (traces[place[0]].steps[place[1]].step.thought, traces[place[0]].id, place[1]),
    )
    texts = [traces[t].steps[s].step.thought for t, s in places]
    names = _name_clusters(texts, _link(texts, problem, settings, _ancestors(traces, places)))
    labels = [[f"state:{item.state}" for item in trace.steps] for trace in traces]
    for (t, s), name in zip(places, names, strict=True):
        labels[t][s] = name
    return tuple(tuple(row) for row in labels)


def _link(
    texts: Sequence[str], problem: Problem, settings: ClusterSettings, ancestors: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    if not texts:
        return np.zeros(0, dtype=np.int64)
    vectors = embedder_for(settings.embedder).encode(texts)
    facts = [read_facts(text) for text in texts] if settings.vetoes else None
    return cluster_read(texts, vectors, facts, problem, settings, ancestors)


def cluster_read(
    texts: Sequence[str],
    vectors: Vectors,
    facts: Sequence[Facts] | None,
    problem: Problem,
    settings: ClusterSettings,
    ancestors: Sequence[Sequence[int]],
) -> NDArray[np.int64]:
    """Cluster steps whose texts have been read: exact, over all pairs.

    Args:
        texts: thoughts of the steps, in canonical order.
        vectors: their embeddings.
        facts: their facts; None: likeness of the vectors alone counts.
        problem: the question.
        settings: when two steps are the same.
        ancestors: for each step, the steps before it on its route.

    Returns:
        For each step the smallest index of its cluster.
    """
    allowed, scores = compare_steps(texts, vectors, facts, problem, settings)
    return link(allowed, scores, ancestors)


def compare_steps(
    texts: Sequence[str],
    vectors: Vectors,
    facts: Sequence[Facts] | None,
    problem: Problem,
    settings: ClusterSettings,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which pairs of steps may be one node, and how surely they are: shape (steps, steps).

    Scores are given above the diagonal only.
    """
    with _threads().limit(limits=1, user_api="blas"):  # waking threads costs more than a small product
        # Half of a product with itself is enough: rows below the diagonal stay 0.
        scores: NDArray[np.float32] = ssyrk(1.0, vectors.T, trans=1, lower=1).T
    np.maximum(scores, 0, out=scores)
    same = _equal(texts)
    scores[same] = 1.0
    if facts is None:
        alike = np.triu(scores >= settings.similarity)
        return alike | alike.T | same, scores
    table = FactTable(facts, read_facts(problem.question).numbers, telling_words(problem.choices))
    least = min(settings.similarity, settings.same_result, settings.same_computed, settings.same_state)
    i, j = np.nonzero(np.triu(table.compatible() & (scores >= least) & ~same, k=1))
    similarity = scores[i, j]
    state, computed = table.same_state(i, j), table.same_computed(i, j)
    alike = similarity >= settings.similarity
    alike |= (similarity >= settings.same_result) & table.same_claim(i, j)
    alike |= (similarity >= settings.same_computed) & computed
    alike |= (similarity >= settings.same_state) & state
    i, j, reached = i[alike], j[alike], (state | computed)[alike]
    merge = ~table.contradict(i, j)
    i, j, reached = i[merge], j[merge], reached[merge]
    scores[i[reached], j[reached]] = SURE
    allowed = same
    allowed[i, j] = allowed[j, i] = True
    return allowed, scores


def _ancestors(traces: Sequence[Trace], places: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each step, the numbers of the steps before it on its route."""
    index = {place: i for i, place in enumerate(places)}
    return [[index[t, s] for s in traces[t].route(step)[:-1] if (t, s) in index] for t, step in places]


def _equal(texts: Sequence[str]) -> NDArray[np.bool_]:
    _, ids = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    equal: NDArray[np.bool_] = ids[:, None] == ids[None, :]
    return equal


def _name_clusters(texts: Sequence[str], owner: NDArray[np.int64]) -> list[str]:
    """Label clusters by their smallest member's text; equal texts that had to stay apart are counted."""
    taken: dict[str, int] = {}
    label: dict[int, str] = {}
    for index in sorted(set(owner.tolist())):
        base = digest(texts[index])
        taken[base] = taken.get(base, 0) + 1
        label[index] = base if taken[base] == 1 else f"{base}#{taken[base]}"
    return [label[int(index)] for index in owner]


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


@lru_cache(maxsize=2)
def embedder_for(folder: str) -> Embedder:
    """Return the built-in embedder for an empty name, else the model in that folder, loaded once."""
    return SentenceEmbedder(folder) if folder else HashingEmbedder()
