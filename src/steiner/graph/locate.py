"""Where the steps of a trace lie in the graph that was built from it."""

from __future__ import annotations

from collections import defaultdict

from steiner.core import NodeKind, StepGraph, Trace
from steiner.core.trace import FROM_QUESTION, TraceStep


def locate(graph: StepGraph, trace: Trace) -> tuple[int, ...] | None:
    """Return the node index of each step of `trace`; None if the graph does not hold one of its transitions.

    A step lies at a node of its exact state or of its wording, one edge below its parent; a step that was
    merged with its own parent stays where it is. Where several nodes fit, because one had to be split, it is
    one from which all later steps can be placed too. O(steps · nodes that fit · out-degree).
    """
    below: dict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(trace.steps):
        below[item.parent].append(index)
    fits: list[set[int]] = [set() for _ in trace.steps]
    of_state, of_step = _matches(graph)
    # Later steps first: a node fits a step if its followers have places below that node.
    for index in reversed(range(len(trace.steps))):
        item = trace.steps[index]
        matches = {*of_step.get(item.step, ()), *(of_state.get(item.state, ()) if item.state else ())}
        fits[index] = {
            place
            for place in matches
            if all(
                _below(graph, place, trace.steps[child], fits[child]) is not None for child in below[index]
            )
        }
    places: list[int] = []
    for item, fitting in zip(trace.steps, fits, strict=True):
        above = 0 if item.parent == FROM_QUESTION else places[item.parent]
        place = _below(graph, above, item, fitting)
        if place is None:
            return None
        places.append(place)
    return tuple(places)


def _matches(graph: StepGraph) -> tuple[dict[str, list[int]], dict[object, list[int]]]:
    of_state: dict[str, list[int]] = defaultdict(list)
    of_step: dict[object, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.nodes):
        if node.kind is NodeKind.STEP:
            if node.state is not None:
                of_state[node.state].append(index)
            for step in node.wordings:
                of_step[step].append(index)
    return of_state, of_step


def _below(graph: StepGraph, above: int, item: TraceStep, fitting: set[int]) -> int | None:
    """Return which node of `fitting` holds `item` after `above`: by state, by words, or `above` itself."""
    by_state = by_words = None
    for edge in graph.out_edges[above]:
        if edge.target not in fitting:
            continue
        node = graph.nodes[edge.target]
        if item.state is not None and node.state == item.state:
            by_state = edge.target if by_state is None else by_state
        elif by_words is None and any(node.wordings[w] == item.step for w in edge.wordings):
            by_words = edge.target
    if by_state is not None or by_words is not None:
        return by_words if by_state is None else by_state
    return above if above in fitting and item.step in graph.nodes[above].wordings else None
