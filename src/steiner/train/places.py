"""The graphs of a training's problems, indexed when they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steiner.core import StepGraph
from steiner.graph.cluster import ClusterSettings
from steiner.train.locate_steps import Places, StatePlaces, StepReader, by_states
from steiner.train.locate_text import TextPlaces

if TYPE_CHECKING:
    from steiner.train.rollout import RlProblem

KEPT = 256
"""Indexed graphs in memory; vectors of some hundred wordings take a megabyte."""


class PlaceFinder:
    """Finds the places of steps by a problem's number."""

    def __init__(
        self, problems: Sequence[RlProblem], reader: StepReader | None, clustering: ClusterSettings
    ) -> None:
        """Index nothing yet; see `RolloutWriter` for the arguments."""
        self._problems = problems
        self._reader = reader
        self._clustering = clustering
        self._kept: OrderedDict[int, Places] = OrderedDict()

    def __getitem__(self, number: int) -> Places:
        """Return what finds steps in the graph of problem `number`."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        item = self._problems[number]
        graph = StepGraph.model_validate_json(item.graph)
        places: Places
        if self._reader is not None and by_states(graph):
            places = StatePlaces(item.problem, graph, self._reader)
        else:
            places = TextPlaces(item.problem, graph, self._clustering)
        self._kept[number] = places
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return places
