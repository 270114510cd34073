"""The clustering rules that are compared: linkage × with or without checkable facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from clustering_sets.case import Case
from steiner.graph.cluster import ClusterSettings, compare_steps
from steiner.graph.embed import Embedder, Vectors
from steiner.graph.linkage import link
from steiner.graph.text_facts import Facts, read_facts


class ReadCase(NamedTuple):
    """A case with all that does not depend on the rule."""

    case: Case
    texts: list[str]
    """All steps, sorted as the clustering sorts them."""
    trace: NDArray[np.int64]
    """Number of the trace of each step."""
    truth: list[str | None]
    ancestors: list[list[int]]
    vectors: Vectors
    facts: list[Facts]


def read_case(case: Case, embedder: Embedder) -> ReadCase:
    """Embed the steps of a case and read their facts."""
    places = sorted(
        ((t, s) for t, trace in enumerate(case.traces) for s in range(len(trace.steps))),
        key=lambda p: (case.traces[p[0]].steps[p[1]].step.thought, p),
    )
    texts = [case.traces[t].steps[s].step.thought for t, s in places]
    index = {place: i for i, place in enumerate(places)}
    return ReadCase(
        case=case,
        texts=texts,
        trace=np.array([t for t, _ in places], dtype=np.int64),
        truth=[case.truth[t][s] for t, s in places],
        ancestors=[[index[t, above] for above in range(s)] for t, s in places],
        vectors=embedder.encode(texts),
        facts=[read_facts(text) for text in texts],
    )


class Rule(NamedTuple):
    """A way to cluster, with its settings."""

    name: str
    link: Callable[
        [NDArray[np.bool_], NDArray[np.float32], Sequence[Sequence[int]], float], NDArray[np.int64]
    ]
    grid: tuple[ClusterSettings, ...]
    """What is tried on the half for tuning."""

    def cluster(self, read: ReadCase, settings: ClusterSettings) -> NDArray[np.int64]:
        """Return the cluster of each step."""
        facts = read.facts if settings.vetoes else None
        if len(read.texts) < 2:
            return np.zeros(len(read.texts), dtype=np.int64)
        allowed, scores = compare_steps(read.texts, read.vectors, facts, read.case.problem, settings)
        return self.link(allowed, scores, read.ancestors, settings.similarity)


def _complete(
    allowed: NDArray[np.bool_], scores: NDArray[np.float32], ancestors: Sequence[Sequence[int]], _: float
) -> NDArray[np.int64]:
    return link(allowed, scores, ancestors)


def _components(
    allowed: NDArray[np.bool_], _scores: NDArray[np.float32], _above: Sequence[Sequence[int]], _: float
) -> NDArray[np.int64]:
    return np.asarray(connected_components(csr_array(allowed), directed=False)[1], dtype=np.int64)


def _average(
    allowed: NDArray[np.bool_], scores: NDArray[np.float32], _: Sequence[Sequence[int]], least: float
) -> NDArray[np.int64]:
    """Mean likeness over all pairs of two clusters, where a pair that may not be one node counts as 0."""
    likeness = np.triu(np.where(allowed, scores, 0), k=1)
    likeness[likeness > 1] = 1  # the same was reached
    distance = 1 - likeness - likeness.T
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average")
    return np.asarray(fcluster(tree, 1 - least, criterion="distance"), dtype=np.int64)


def rules() -> list[Rule]:
    """Return all rules that are tried."""
    thresholds = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    plain = tuple(ClusterSettings(similarity=t, vetoes=False) for t in thresholds)
    vetoed = tuple(ClusterSettings(similarity=t, same_computed=1, same_state=1) for t in thresholds)
    reached = tuple(
        ClusterSettings(similarity=t, same_computed=c, same_state=c)
        for t in (0.5, 0.6, 0.7, 0.8, 0.9)
        for c in (0.0, 0.1, 0.2, 0.3)
    )
    found = []
    for name, way in (("components", _components), ("average", _average), ("complete", _complete)):
        found.append(Rule(f"{name}, embedding alone", way, plain))
        found.append(Rule(f"{name}, facts as vetoes", way, vetoed))
        found.append(Rule(f"{name}, facts both ways", way, reached))
    return found
