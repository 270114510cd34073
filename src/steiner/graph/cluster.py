"""Which steps of one question's traces say the same thing.

Greedy agglomeration, most similar pair first. Two clusters are joined only if every pair of their steps is
similar enough (complete linkage: no chains) and contradicts in no checkable fact, and if neither leads to the
other in any trace: the quotient graph stays acyclic by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from steiner.core import Problem, Settings, Trace, digest
from steiner.graph.embed import Embedder, HashingEmbedder, SentenceEmbedder
from steiner.graph.text_facts import contradicts, read_facts, same_result, telling_words

Labels = tuple[tuple[str, ...], ...]
"""Label of each step, parallel to traces and their steps. Equal labels are the same node."""


class ClusterSettings(Settings):
    """When two steps are the same."""

    similarity: float = Field(default=0.6, gt=0, le=1)
    """Least cosine similarity between any two steps of a cluster."""
    same_result: float = Field(default=0.3, gt=0, le=1)
    """Least similarity where two steps come to the same number that is not in the question."""
    vetoes: bool = True
    """Whether different numbers, polarity, options or names keep steps apart."""
    embedder: str = ""
    """Folder of a sentence-transformers or model2vec model; empty: the built-in lexical embedder."""


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
    allowed = _allowed(texts, problem, settings)
    names = _name_clusters(texts, _agglomerate(allowed, _precedence(traces, places)))
    labels = [[f"state:{item.state}" for item in trace.steps] for trace in traces]
    for (t, s), name in zip(places, names, strict=True):
        labels[t][s] = name
    return tuple(tuple(row) for row in labels)


def _precedence(traces: Sequence[Trace], places: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Matrix (steps, steps): whether the row's step comes before the column's on a route of their trace."""
    index = {place: i for i, place in enumerate(places)}
    before = np.zeros((len(places), len(places)), dtype=np.bool_)
    for (t, s), i in index.items():
        for ancestor in traces[t].route(s)[:-1]:
            j = index.get((t, ancestor))
            if j is not None:
                before[j, i] = True
    return before


def _agglomerate(allowed: NDArray[np.float32], before: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the cluster number of each step, the smallest index of its members.

    Args:
        allowed: similarity of each pair that may be merged, else 0; shape (steps, steps).
        before: which step leads to which; same shape. It is closed over the merges in place.
    """
    owner = np.arange(len(allowed))
    rows, columns = np.nonzero(np.triu(allowed > 0, k=1))
    # Rounding makes ties of what differs only by the order of additions; then the canonical order decides.
    order = np.lexsort((columns, rows, -np.round(allowed[rows, columns], 5)))
    members = {i: [i] for i in range(len(allowed))}
    for a, b in zip(rows[order], columns[order], strict=True):
        a, b = sorted((int(owner[a]), int(owner[b])))
        if a == b or before[a, b] or before[b, a]:
            continue
        if not np.all(allowed[np.ix_(members[a], members[b])] > 0):
            continue
        members[a] += members.pop(b)
        owner[members[a]] = a
        _merge_precedence(before, a, b)
    return owner


def _allowed(texts: Sequence[str], problem: Problem, settings: ClusterSettings) -> NDArray[np.float32]:
    """Matrix (steps, steps): the similarity of each pair that may be merged, 0 for all others."""
    if not texts:
        return np.zeros((0, 0), dtype=np.float32)
    vectors = embedder_for(settings.embedder).encode(texts)
    with _threads().limit(limits=1, user_api="blas"):  # waking threads costs more than a small product
        similarity = vectors @ vectors.T
    same = _equal(texts)
    similarity[same] = 1.0
    allowed: NDArray[np.float32] = np.where(similarity >= settings.similarity, similarity, 0)
    if settings.vetoes:
        facts = [read_facts(text) for text in texts]
        known = read_facts(problem.question).numbers
        telling = telling_words(problem.choices)
        least = min(settings.similarity, settings.same_result)
        for i, j in zip(*np.nonzero(np.triu((similarity >= least) & ~same, k=1)), strict=True):
            alike = allowed[i, j] > 0 or (
                similarity[i, j] >= settings.same_result and same_result(facts[i], facts[j], known)
            )
            merge = alike and not contradicts(facts[i], facts[j], telling)
            allowed[i, j] = allowed[j, i] = similarity[i, j] if merge else 0
    return allowed


def _equal(texts: Sequence[str]) -> NDArray[np.bool_]:
    _, ids = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    equal: NDArray[np.bool_] = ids[:, None] == ids[None, :]
    return equal


def _merge_precedence(before: NDArray[np.bool_], a: int, b: int) -> None:
    """Let `a` stand for both and close the relation: what leads to one leads to what follows either."""
    leads = before[:, a] | before[:, b]
    follows = before[a] | before[b]
    leads_or_self, follows_or_self = leads.copy(), follows.copy()
    leads_or_self[[a, b]] = True
    follows_or_self[[a, b]] = True
    before |= np.outer(leads, follows_or_self) | np.outer(leads_or_self, follows)


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
