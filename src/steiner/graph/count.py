"""How many routes lead from the question to the right answer, and the n-th of them.

A route is a directed path question → … → right answer. Counting is dynamic programming over the topological
order that a `StepGraph` is stored in, in exact integers; unranking walks down the counts (Knuth, The Art of
Computer Programming 4A, 7.2.1; Wilf, "East side, west side", 1999). Nothing is ever enumerated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from random import Random

from steiner.core import StepGraph


class Routes:
    """The routes of one graph, as a sequence of `count` node lists that are computed on demand."""

    def __init__(self, graph: StepGraph) -> None:
        """Count the routes; O(edges) additions of integers."""
        self.graph = graph
        to_answer = [0] * len(graph.nodes)
        if graph.answer_index is not None:
            to_answer[graph.answer_index] = 1
        for source in reversed(range(len(graph.nodes))):
            if source != graph.answer_index:
                to_answer[source] = sum(to_answer[edge.target] for edge in graph.out_edges[source])
        self.to_answer = tuple(to_answer)
        """Number of ways from each node to the right answer, parallel to `nodes`."""
        self.count = to_answer[0]
        """Number of routes."""

    @cached_property
    def through(self) -> tuple[int, ...]:
        """Number of routes that lead through each node, parallel to `nodes`."""
        from_question = [1] + [0] * (len(self.to_answer) - 1)
        for source, edges in enumerate(self.graph.out_edges):
            for edge in edges:
                from_question[edge.target] += from_question[source]
        return tuple(a * b for a, b in zip(from_question, self.to_answer, strict=True))

    @cached_property
    def onward(self) -> tuple[tuple[int, ...], ...]:
        """Targets of each node's edges from which the answer can be reached, parallel to `nodes`."""
        return tuple(
            tuple(edge.target for edge in edges if self.to_answer[edge.target])
            for edges in self.graph.out_edges
        )

    @cached_property
    def _before(self) -> tuple[list[int], ...]:
        """Number of routes that lead over the earlier ones of a node's `onward`, parallel to it."""
        return tuple([0, *accumulate(self.to_answer[target] for target in row)][:-1] for row in self.onward)

    def route(self, rank: int) -> list[int]:
        """Return route number `rank`, from the question to the answer, both included.

        O(length · log out-degree) operations on integers.

        Raises:
            IndexError: unless 0 ≤ rank < count.
        """
        if not 0 <= rank < self.count:
            raise IndexError(f"route {rank} of {self.count}")
        node, route = 0, [0]
        answer, onward, before = self.graph.answer_index, self.onward, self._before
        while node != answer:
            row = before[node]
            place = bisect_right(row, rank) - 1 if len(row) > 1 else 0
            rank -= row[place]
            node = onward[node][place]
            route.append(node)
        return route

    def draw(self, rng: Random) -> list[int]:
        """Draw a route, each with the same probability.

        Raises:
            IndexError: if there is none.
        """
        return self.route(rng.randrange(self.count) if self.count else 0)


def shuffled(count: int, rng: Random) -> Iterator[int]:
    """Yield the integers 0 … count-1 in uniformly random order, each once, in memory of what was yielded.

    A sparse Fisher-Yates shuffle: `count` may be astronomically large.
    """
    moved: dict[int, int] = {}
    for last in range(count - 1, -1, -1):
        pick = rng.randrange(last + 1)
        yield moved.get(pick, pick)
        moved[pick] = moved.pop(last, last)
