"""Walks over a step graph: a route to the right answer, left now and then for a detour.

A walk never visits a node twice, never reaches the answer from a detour, and ends a detour only where the
search is stuck (a node that no trace continued with a step) or at a depth that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from steiner.core import NodeKind, StepGraph
from steiner.graph.count import Routes
from steiner.graph.settings import SampleSettings
from steiner.graph.weigh import RouteDrawer

ATTEMPTS = 8
"""Routes tried for one number of detours before it counts as not to be had."""
WEIGHTED_ATTEMPTS = 6
"""Of these, the number that follow the weights; the others look for routes that weighted draws miss."""
PATIENCE = 64
"""Draws in a row without a new walk after which a graph counts as exhausted."""


class Walk(NamedTuple):
    """Step nodes in the order they are visited."""

    nodes: tuple[int, ...]
    """Indices into the graph's nodes, question and answer left out."""
    parents: tuple[int, ...]
    """Position in `nodes` that each one continues; -1: the question."""
    wordings: tuple[tuple[int, ...], ...] = ()
    """Wordings that each step may have, parallel to `nodes`; empty: all that the traces used there."""

    @property
    def backtracks(self) -> int:
        """Number of moves that do not continue the step before."""
        return sum(parent != i - 1 for i, parent in enumerate(self.parents))


WalkKey = tuple[tuple[int, bool], ...]
"""What a reader sees of a walk: walks with different keys cannot read the same."""


class SearchSpace:
    """What walks need to know about a graph, computed once."""

    def __init__(self, graph: StepGraph) -> None:
        self.graph = graph
        self.routes = Routes(graph)
        kinds = [node.kind for node in graph.nodes]
        facts = graph.facts
        steps = [[e.target for e in edges if kinds[e.target] is NodeKind.STEP] for edges in graph.out_edges]
        self.is_end = tuple(not children for children in steps)
        """Whether no trace continued the node with a step."""
        self.dead = tuple(tuple(v for v in row if facts[v].d_e is None) for row in steps)
        """Children of each node from which the right answer cannot be reached."""
        self.live = tuple(tuple(v for v in row if (facts[v].d_e or 0) > 1) for row in steps)
        """Children from which it can, except those that would give it next: giving those up is absurd."""
        on_way = [i for i, fact in enumerate(facts) if fact.d_e is not None]
        self.most_detours = sum(len(self.dead[i]) for i in on_way)
        """No walk can leave for more dead ends than these: each is entered once."""
        self.most_with_longer_ways = self.most_detours + sum(len(self.live[i]) for i in on_way)
        self.group = _groups(graph)
        """Number shared by nodes that have a wording in common."""

    def key(self, walk: Walk) -> WalkKey:
        """Return what decides whether two walks may read the same."""
        return tuple(
            (self.group[node], parent == i - 1)
            for i, (node, parent) in enumerate(zip(walk.nodes, walk.parents, strict=True))
        )


def _groups(graph: StepGraph) -> tuple[int, ...]:
    """Unite nodes that share a wording; in graphs of exact states each node is alone."""
    head = list(range(len(graph.nodes)))

    def find(i: int) -> int:
        while head[i] != i:
            head[i] = head[head[i]]
            i = head[i]
        return i

    owner: dict[tuple[str, ...], int] = {}
    for i, node in enumerate(graph.nodes):
        for step in node.wordings:
            other = owner.setdefault((step.name, step.thought, step.summary, step.reflection), i)
            a, b = sorted((find(i), find(other)))
            head[b] = a
    return tuple(find(i) for i in range(len(head)))


def walks(
    space: SearchSpace, settings: SampleSettings, rng: Random, taken: set[WalkKey]
) -> Iterator[Walk | None]:
    """Yield draws until the graph is exhausted: a walk not in `taken`, or None where a draw found nothing.

    Each draw first decides on a number of detours and then looks for a walk with exactly that many, so the
    walks keep to the distribution asked for even where a graph has little to offer. The sequence depends on
    graph, settings and the state of `rng` alone: whoever takes more gets the same ones first.
    """
    lost = 0
    drawer = RouteDrawer(space.routes, settings, rng)
    most = space.most_with_longer_ways if settings.longer_ways else space.most_detours
    while space.routes.count and lost < PATIENCE:
        detours = _weighted(settings.detours, rng)
        found: Walk | None = None
        for attempt in range(ATTEMPTS if detours <= most else 0):
            route = drawer.draw(uniform=attempt >= WEIGHTED_ATTEMPTS)
            walk = _Walker(space, settings, rng, route[1:-1]).walk(detours)
            if walk is None or walk.backtracks < settings.min_backtracks:
                continue
            key = space.key(walk)
            if key not in taken:
                taken.add(key)
                drawer.note(route)
                found = walk
                break
        lost = 0 if found else lost + 1
        yield found


def _weighted(weights: Sequence[float], rng: Random) -> int:
    return rng.choices(range(len(weights)), weights)[0]


class _Walker:
    """One walk while it is being made."""

    def __init__(
        self, space: SearchSpace, settings: SampleSettings, rng: Random, route: Sequence[int]
    ) -> None:
        self._space = space
        self._settings = settings
        self._rng = rng
        self._route = route
        self._nodes: list[int] = []
        self._parents: list[int] = []
        self._visited = {space.group[node] for node in route}

    def walk(self, detours: int) -> Walk | None:
        """Return a walk along the route with exactly `detours` detours; None where that cannot be had."""
        if not 1 <= len(self._route) <= self._settings.max_steps:
            return None
        # A detour may leave from the question or any step but the last: after it the route must go on.
        above = [0, *self._route[:-1]]
        open_places = {i: n for i, node in enumerate(above) if (n := self._entries(node))} if detours else {}
        chosen = self._leaves(open_places, detours)
        if chosen is None:
            return None
        pending = made = 0
        at = -1
        for i, node in enumerate(self._route):
            pending += chosen.count(i)
            while pending and self._detour(above[i], at, room=self._room(i)):
                pending -= 1
                made += 1
            self._nodes.append(node)
            self._parents.append(at)
            at = len(self._nodes) - 1
        return Walk(tuple(self._nodes), tuple(self._parents)) if made == detours else None

    def _room(self, position: int) -> int:
        return self._settings.max_steps - len(self._nodes) - (len(self._route) - position)

    def _entries(self, node: int) -> int:
        """Return how many ways there are to leave from a node."""
        live = self._space.live[node] if self._settings.longer_ways else ()
        return len(self._space.dead[node]) + len(live)

    def _leaves(self, places: Mapping[int, int], detours: int) -> list[int] | None:
        """Choose where each detour leaves, uniformly among places with a way left; None if there are too few.

        Args:
            places: the number of ways to leave, by position on the route.
            detours: how many.
        """
        if sum(places.values()) < detours:
            return None
        chosen = self._rng.choices(list(places), k=detours) if detours else []
        left = dict(places)
        for i, place in enumerate(chosen):
            if not left[place]:
                chosen[i] = place = self._rng.choice([other for other, ways in left.items() if ways])
            left[place] -= 1
        return chosen

    def _detour(self, node: int, at: int, room: int) -> bool:
        """Leave `node`, written at position `at`, and explore; False if there is nothing that fits."""
        settings, rng = self._settings, self._rng
        live = bool(settings.longer_ways) and rng.random() < settings.longer_ways
        depth = _weighted(settings.depths, rng) + 1 if settings.depths else len(self._space.graph.nodes)
        descents = _weighted(settings.descents, rng) + 1
        found = self._descend(node, depth, live)
        if not found or len(found) > room:
            return False
        trail = [(at, node)]
        while found:
            self._append(found, trail)
            room -= len(found)
            descents -= 1
            found = []
            for level in reversed(range(1, len(trail) - 1)) if descents else ():
                found = self._descend(trail[level][1], depth - level, live)
                if found and len(found) <= room:
                    del trail[level + 1 :]
                    break
                found = []
        return True

    def _append(self, found: Sequence[int], trail: list[tuple[int, int]]) -> None:
        for node in found:
            self._parents.append(trail[-1][0])
            self._nodes.append(node)
            self._visited.add(self._space.group[node])
            trail.append((len(self._nodes) - 1, node))

    def _descend(self, node: int, depth: int, live: bool) -> list[int]:
        """Return unvisited nodes from a child of `node` down to where the search is stuck; empty if none."""
        space = self._space
        tried = set(self._visited)
        trail: list[int] = []
        pending = [self._children(node, live)]
        while pending:
            child = next((c for c in pending[-1] if space.group[c] not in tried), None)
            if child is None:
                pending.pop()
                if trail:
                    trail.pop()
                continue
            tried.add(space.group[child])
            trail.append(child)
            if space.is_end[child] or len(trail) == depth:
                return trail
            pending.append(self._children(child, live))
        return []

    def _children(self, node: int, live: bool) -> Iterator[int]:
        children = self._space.dead[node] + (self._space.live[node] if live else ())
        return iter(self._rng.sample(children, len(children)))
