"""Systematic walks: depth-first in a fixed order, with some of the failed branches left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from steiner.core import NodeKind, StepGraph
from steiner.graph.settings import BranchOrder, SampleSettings
from steiner.graph.walk import PATIENCE, SearchSpace, Walk, WalkKey

MOST_STEPS = 10_000
"""A sweep with revisits gives up after so many: where branches meet again, steps double each time."""

TextRank = tuple[tuple[bool, int, str], ...]
Rank = tuple[tuple[int, ...], TextRank]


class Way(NamedTuple):
    """A step that can be taken."""

    target: int
    """Index of the node that it leads to."""
    wordings: tuple[int, ...]
    """Which of the node's wordings it may have."""


def sweeps(
    space: SearchSpace, settings: SampleSettings, rng: Random, taken: set[WalkKey]
) -> Iterator[Walk | None]:
    """Yield draws until the graph is exhausted: a walk not in `taken`, or None where a draw found nothing.

    All are the same sweep to the first right answer in order, with another choice of failed branches kept
    and, with `settings.rotate`, begun at another way on from the question.
    """
    order, revisit = settings.order, settings.revisit
    starts = len(ways_on(space.graph, 0, order, each_thought=revisit)) if settings.rotate else 1
    found_from = [full_sweep(space.graph, start, order, revisit=revisit) for start in range(starts)]
    wholes = [whole for whole in found_from if whole is not None]
    if not wholes:
        return
    lost = 0
    while lost < PATIENCE:
        whole = rng.choice(wholes) if settings.rotate else wholes[0]
        branches = _branches(whole)
        wanted = _wanted(settings.detours, rng)
        kept = set(branches if wanted is None else rng.sample(branches, min(wanted, len(branches))))
        walk = _without(whole, [top for top in branches if top not in kept])
        key = space.key(walk)
        fits = len(walk.nodes) <= settings.max_steps and walk.backtracks >= settings.min_backtracks
        found = walk if fits and key not in taken else None
        if found is not None:
            taken.add(key)
        lost = 0 if found else lost + 1
        yield found


def _wanted(weights: Sequence[float], rng: Random) -> int | None:
    """Draw how many failed branches to keep; None: all."""
    return rng.choices(range(len(weights)), weights)[0] if weights else None


def full_sweep(
    graph: StepGraph, start: int = 0, order: BranchOrder = BranchOrder.SORTED, *, revisit: bool = False
) -> Walk | None:
    """Search depth-first in order until a step leads to the right answer; None if none does.

    With `revisit` also None if none does within `MOST_STEPS` steps.

    Args:
        graph: where to search.
        start: number of the first way on from the question; after the last one come those before it.
        order: of the ways on from a node, a systematic one.
        revisit: take every way, also one that leads to a node that was visited.
    """
    answer = graph.answer_index
    if answer is None:
        return None
    nodes: list[int] = []
    parents: list[int] = []
    wordings: list[tuple[int, ...]] = []
    visited: set[int] = set()
    ways = ways_on(graph, 0, order, each_thought=revisit)
    pending = [(-1, way) for way in reversed(ways[start:] + ways[:start])]
    while pending and (len(nodes) < MOST_STEPS or not revisit):
        parent, way = pending.pop()
        if way.target in visited and not revisit:
            continue
        visited.add(way.target)
        nodes.append(way.target)
        parents.append(parent)
        wordings.append(way.wordings)
        if any(edge.target == answer for edge in graph.out_edges[way.target]):
            return Walk(tuple(nodes), tuple(parents), tuple(wordings))
        here = len(nodes) - 1
        pending += [
            (here, next_way) for next_way in reversed(ways_on(graph, way.target, order, each_thought=revisit))
        ]
    return None


def ways_on(
    graph: StepGraph, source: int, order: BranchOrder = BranchOrder.SORTED, *, each_thought: bool = False
) -> list[Way]:
    """Return the steps that can follow a node, in order of their thoughts.

    Args:
        graph: where the node is.
        source: index of the node.
        order: a systematic one.
        each_thought: a way for each thought (`2 * 2 = 4`, `2 + 2 = 4`), not one for each node it leads to.
    """
    rank = operands_rank if order is BranchOrder.OPERANDS else _by_text
    ranked: list[tuple[Rank, Way]] = []
    for edge in graph.out_edges[source]:
        node = graph.nodes[edge.target]
        if node.kind is not NodeKind.STEP:
            continue
        of_thought: dict[str, list[int]] = {}
        for wording in edge.wordings:
            of_thought.setdefault(node.wordings[wording].thought, []).append(wording)
        if each_thought:
            ranked += [
                (rank(thought), Way(edge.target, tuple(wordings))) for thought, wordings in of_thought.items()
            ]
        else:
            ranked.append((min(map(rank, of_thought)), Way(edge.target, tuple(edge.wordings))))
    return [way for _, way in sorted(ranked)]


def operands_rank(text: str) -> Rank:
    """Return what sorts thoughts by the numbers they start from, then as `text_rank`."""
    return tuple(sorted(map(int, re.findall(r"[0-9]+", text.split("=", 1)[0])))), text_rank(text)


def _by_text(text: str) -> Rank:
    return (), text_rank(text)


def text_rank(text: str) -> TextRank:
    """Return what sorts texts in natural order: `2 + 9` before `2 + 10` before `10 - 2`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def _branches(walk: Walk) -> list[int]:
    """Return the positions where a failed branch begins: steps that leave the route."""
    route = {-1}
    position = len(walk.nodes) - 1
    while position >= 0:
        route.add(position)
        position = walk.parents[position]
    return [i for i, parent in enumerate(walk.parents) if parent in route and i not in route]


def _without(walk: Walk, tops: Sequence[int]) -> Walk:
    """Return the walk without the branches that begin at `tops`."""
    gone = set(tops)
    place = {-1: -1}
    nodes: list[int] = []
    parents: list[int] = []
    wordings: list[tuple[int, ...]] = []
    for i, (node, parent) in enumerate(zip(walk.nodes, walk.parents, strict=True)):
        if i in gone or parent in gone:
            gone.add(i)
            continue
        place[i] = len(nodes)
        nodes.append(node)
        parents.append(place[parent])
        wordings.append(walk.wordings[i])
    return Walk(tuple(nodes), tuple(parents), tuple(wordings))
