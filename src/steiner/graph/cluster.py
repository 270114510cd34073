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

from steiner.core import Problem, Settings, Step, Trace, digest
from steiner.graph.embed import Embedder, HashingEmbedder, SentenceEmbedder, Vectors
from steiner.graph.text_facts import contradicts, read_facts

Labels = tuple[tuple[str, ...], ...]
"""Label of each step, parallel to traces and their steps. Equal labels are the same node."""


class ClusterSettings(Settings):
    """When two steps are the same."""

    similarity: float = Field(default=0.6, gt=0, le=1)
    """Least cosine similarity between any two steps of a cluster."""
    vetoes: bool = True
    """Whether different numbers, polarity, options or names keep steps apart."""
    embedder: str = ""
    """Folder of a sentence-transformers or model2vec model; empty: the built-in lexical embedder."""


def cluster_steps(problem: Problem, traces: Sequence[Trace], settings: ClusterSettings) -> Labels:
    """Label the steps of all traces of one question.

    The outcome does not depend on the order of `traces`. A step with a search state is labelled by it. The
    label of a cluster is the hash of its smallest member's text, so it stays when more traces come.

    Args:
        problem: the question. Its own numbers commit a step to nothing.
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
    steps = [traces[t].steps[s].step for t, s in places]
    names = _name_clusters(steps, _agglomerate(steps, _precedence(traces, places), settings))
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


def _agglomerate(
    steps: Sequence[Step], before: NDArray[np.bool_], settings: ClusterSettings
) -> NDArray[np.int64]:
    """Return the cluster number of each step, the smallest index of its members."""
    owner = np.arange(len(steps))
    if len(steps) < 2:
        return owner
    texts = [step.thought for step in steps]
    allowed = _allowed(texts, embedder_for(settings.embedder).encode(texts), settings)
    rows, columns = np.nonzero(np.triu(allowed > 0, k=1))
    # Rounding makes ties of what differs only by the order of additions; then the canonical order decides.
    order = np.lexsort((columns, rows, -np.round(allowed[rows, columns], 5)))
    members = {i: [i] for i in range(len(steps))}
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


def _allowed(texts: Sequence[str], vectors: Vectors, settings: ClusterSettings) -> NDArray[np.float32]:
    """Matrix (steps, steps): the similarity of each pair that may be merged, 0 for all others."""
    similarity = vectors @ vectors.T
    same = _equal(texts)
    similarity[same] = 1.0
    allowed: NDArray[np.float32] = np.where(similarity >= settings.similarity, similarity, 0).astype(
        np.float32
    )
    if settings.vetoes:
        facts = [read_facts(text) for text in texts]
        for i, j in zip(*np.nonzero(np.triu((allowed > 0) & ~same, k=1)), strict=True):
            if contradicts(facts[i], facts[j]):
                allowed[i, j] = allowed[j, i] = 0
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


def _name_clusters(steps: Sequence[Step], owner: NDArray[np.int64]) -> list[str]:
    """Label clusters by their smallest member's text; equal texts that had to stay apart are counted."""
    taken: dict[str, int] = {}
    label: dict[int, str] = {}
    for index in sorted(set(owner.tolist())):
        base = digest(steps[index].thought)
        taken[base] = taken.get(base, 0) + 1
        label[index] = base if taken[base] == 1 else f"{base}#{taken[base]}"
    return [label[int(index)] for index in owner]


@lru_cache(maxsize=2)
def embedder_for(folder: str) -> Embedder:
    """Return the built-in embedder for an empty name, else the model in that folder, loaded once."""
    return SentenceEmbedder(folder) if folder else HashingEmbedder()
