"""Which steps become one node: the labels taken as far as they go without closing a cycle.

Labels say which steps mean the same. Taken at their word they may close a cycle (one trace goes A → B,
another B → A; or one trace comes back to where it was). Then the labels of that cycle, and only those, are
split by depth, and the pieces are joined again one by one wherever that closes no cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """The steps of one label at one depth."""

    label: str
    depth: int
    """Number of labels on the way from the question; a step with its parent's label is no deeper."""


Transition = tuple[Piece, Piece]
"""A step of the first piece is the parent of a step of the second."""


def pieces_of(labels: Sequence[str], parents: Sequence[int]) -> list[Piece]:
    """Return the piece of each step of one trace; `labels` and `parents` are parallel, -1 is the question."""
    pieces: list[Piece] = []
    for label, parent in zip(labels, parents, strict=True):
        if parent < 0:
            pieces.append(Piece(label, 1))
        else:
            above = pieces[parent]
            pieces.append(above if above.label == label else Piece(label, above.depth + 1))
    return pieces


def merge(
    pieces: Iterable[Piece], transitions: Iterable[Transition], order: Mapping[str, object]
) -> dict[Piece, Piece]:
    """Group pieces into nodes so that the transitions between nodes form no cycle.

    Args:
        pieces: all pieces.
        transitions: parent → child, between pieces of different labels; those within one label are ignored.
        order: a sort key per label, by content and not by name: earlier labels are joined first.

    Returns:
        The representative (shallowest piece) of each piece's node. The outcome depends on the sets given,
        never on their order.
    """
    pieces = sorted(set(pieces))
    links = {(a, b) for a, b in transitions if a.label != b.label}
    first: dict[str, Piece] = {}
    for piece in pieces:
        first.setdefault(piece.label, piece)
    node = {piece: first[piece.label] for piece in pieces}
    cyclic = _cyclic(first, links)
    if not cyclic:
        return node
    node.update((piece, piece) for piece in pieces if piece.label in cyclic)
    quotient = _Quotient({(node[a], node[b]) for a, b in links})
    for label in sorted(cyclic, key=lambda name: (order[name], name)):
        heads: list[Piece] = []
        for piece in (p for p in pieces if p.label == label):
            related = quotient.related(piece) if heads else set()
            head = next((h for h in heads if h not in related), None)
            if head is None:
                heads.append(piece)
            else:
                quotient.join(head, piece)
                node[piece] = head
    return node


def keep_depths_apart(pieces: Iterable[Piece]) -> dict[Piece, Piece]:
    """Make every piece a node of its own: depth grows along every transition, so there is no cycle."""
    return {piece: piece for piece in pieces}


def _cyclic(labels: Iterable[str], links: Iterable[Transition]) -> set[str]:
    """Return the labels that lie on a cycle of the label graph."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(labels)
    number = {name: i for i, name in enumerate(names)}
    edges = sorted({(number[a.label], number[b.label]) for a, b in links})
    if not edges:
        return set()
    rows, columns = np.array(edges).T
    shape = (len(names), len(names))
    matrix = coo_array((np.ones(len(edges), dtype=np.int8), (rows, columns)), shape=shape).tocsr()
    _, component = connected_components(matrix, directed=True, connection="strong")
    size = np.bincount(component)
    return {name for name, c in zip(names, component, strict=True) if size[c] > 1}


class _Quotient:
    """The graph of nodes while pieces are being joined."""

    def __init__(self, edges: Iterable[tuple[Piece, Piece]]) -> None:
        self._below: dict[Piece, set[Piece]] = {}
        self._above: dict[Piece, set[Piece]] = {}
        for a, b in edges:
            self._below.setdefault(a, set()).add(b)
            self._above.setdefault(b, set()).add(a)

    def related(self, piece: Piece) -> set[Piece]:
        """Return all ancestors and descendants: joining with one of them would close a cycle."""
        return _reach(piece, self._below) | _reach(piece, self._above)

    def join(self, kept: Piece, gone: Piece) -> None:
        """Make two nodes one."""
        for forward, back in ((self._below, self._above), (self._above, self._below)):
            for other in forward.pop(gone, set()):
                back[other].discard(gone)
                back[other].add(kept)
                forward.setdefault(kept, set()).add(other)


def _reach(start: Piece, links: Mapping[Piece, set[Piece]]) -> set[Piece]:
    seen: set[Piece] = set()
    stack = [start]
    while stack:
        for other in links.get(stack.pop(), ()):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen
