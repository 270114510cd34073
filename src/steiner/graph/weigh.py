"""Which route a walk takes: uniformly, or by what is known about the nodes. docs/graphs.md has the formulas.

Weighted draws go from the question down, one node at a time: of the nodes that follow and can still reach the
answer, one is drawn in proportion to its weight.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from steiner.graph.count import Routes, shuffled
from steiner.graph.settings import RouteChoice, SampleSettings

Weights = tuple[tuple[float, ...], ...]
"""Weights of what follows each node, parallel to `Routes.onward`."""


def branch_weights(routes: Routes, choice: RouteChoice, length_factor: float = 1.0) -> Weights:
    """Return the fixed weights of a choice; those of `NOVELTY`, before anything was drawn, are all 1.

    Args:
        routes: the counted graph.
        choice: by what to weigh.
        length_factor: with `LENGTH`, how many times as likely each further step makes a route.
    """
    graph = routes.graph
    if choice is RouteChoice.TRACES:
        traces = [{edge.target: float(edge.traces) for edge in edges} for edges in graph.out_edges]
        return tuple(tuple(traces[i][v] for v in row) for i, row in enumerate(routes.onward))
    if choice is RouteChoice.VALUE:
        value = [(node.right + 1) / (node.traces + 2) for node in graph.nodes]
        return tuple(tuple(value[v] for v in row) for row in routes.onward)
    if choice is RouteChoice.LENGTH:
        return _length_weights(routes, math.log(length_factor))
    if choice is RouteChoice.UNIFORM:
        # Relative to the largest, because counts may exceed what a float can hold.
        most = [max((routes.to_answer[v] for v in row), default=1) for row in routes.onward]
        return tuple(tuple(routes.to_answer[v] / most[i] for v in row) for i, row in enumerate(routes.onward))
    return tuple((1.0,) * len(row) for row in routes.onward)


def _length_weights(routes: Routes, log_factor: float) -> Weights:
    """Sum factor ** length over the ways from each node, in logarithms, from the answer upwards."""
    log_sum = [0.0] * len(routes.to_answer)
    weights: list[tuple[float, ...]] = [()] * len(routes.to_answer)
    for node in reversed(range(len(routes.to_answer))):
        row = routes.onward[node]
        if row:
            most = max(log_sum[v] for v in row)
            weights[node] = tuple(math.exp(log_sum[v] - most) for v in row)
            log_sum[node] = log_factor + most + math.log(sum(weights[node]))
    return tuple(weights)


class RouteDrawer:
    """Draws the routes of one graph, as the settings ask."""

    def __init__(self, routes: Routes, settings: SampleSettings, rng: Random) -> None:
        """Prepare; the draws depend on the three arguments and on what `note` is told, nothing else."""
        self._routes = routes
        self._choice = settings.routes
        self._rng = rng
        self._unused: Iterator[int] = iter(())
        self._uses: Counter[int] = Counter()
        self._weights: Weights = ()
        if settings.routes is not RouteChoice.UNIFORM:
            self._weights = branch_weights(routes, settings.routes, settings.length_factor)

    def draw(self, *, uniform: bool = False) -> list[int]:
        """Return a route from the question to the answer, both included.

        Args:
            uniform: take the next of the routes in uniform order, each once before any again, whatever the
                choice. What weighted draws would hardly ever come to is found in this way.

        Raises:
            IndexError: if there is none.
        """
        if not self._routes.count:
            raise IndexError("the right answer cannot be reached")
        if uniform or self._choice is RouteChoice.UNIFORM:
            rank = next(self._unused, None)
            if rank is None:
                self._unused = shuffled(self._routes.count, self._rng)
                rank = next(self._unused)
            return self._routes.route(rank)
        node, route = 0, [0]
        while node != self._routes.graph.answer_index:
            row = self._routes.onward[node]
            node = self._rng.choices(row, self._row(node, row))[0]
            route.append(node)
        return route

    def note(self, route: Sequence[int]) -> None:
        """Remember the nodes of a route that was used: novelty avoids them."""
        if self._choice is RouteChoice.NOVELTY:
            self._uses.update(route)

    def _row(self, node: int, row: Sequence[int]) -> Sequence[float]:
        if self._choice is RouteChoice.NOVELTY:
            uses = [self._uses[v] for v in row]
            least = min(uses)
            return [0.1 ** (n - least) for n in uses]
        return self._weights[node]
