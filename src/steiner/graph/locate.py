"""Where the steps of a trace lie in the graph that was built from it."""

from __future__ import annotations

from steiner.core import NodeKind, StepGraph, Trace
from steiner.core.trace import FROM_QUESTION


def locate(graph: StepGraph, trace: Trace) -> tuple[int, ...] | None:
    """Return the node index of each step of `trace`; None if the graph does not hold one of its transitions.

    Exact states are looked up. Other steps are followed along the edges by their wording; a step that was
    merged with its own parent stays where it is.
    """
    places: list[int] = []
    # Of a state that had to be split the first node is looked up, the others are found by their wording.
    of_state = {node.state: i for i, node in reversed([*enumerate(graph.nodes)]) if node.state is not None}
    for item in trace.steps:
        above = 0 if item.parent == FROM_QUESTION else places[item.parent]
        place = None if item.state is None else of_state.get(item.state)
        if place is not None and not any(edge.target == place for edge in graph.out_edges[above]):
            place = None
        if place is None:
            place = next(
                (
                    edge.target
                    for edge in graph.out_edges[above]
                    if graph.nodes[edge.target].kind is NodeKind.STEP
                    and any(graph.nodes[edge.target].wordings[w] == item.step for w in edge.wordings)
                ),
                above if item.step in graph.nodes[above].wordings else None,
            )
        if place is None:
            return None
        places.append(place)
    return tuple(places)
