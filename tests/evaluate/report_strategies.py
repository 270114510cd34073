"""Hypothesis strategies for reports."""

from __future__ import annotations

from hypothesis import strategies as st

from steiner.core import NodeKind, Step, StepEdge, StepGraph, StepNode

WORDS = Step(name="name", thought="thought", summary="summary", reflection="reflection")


@st.composite
def graphs(draw: st.DrawFn, most_nodes: int = 30) -> StepGraph:
    """Acyclic graphs, some with unreachable nodes, with and without a right answer."""
    count = draw(st.integers(1, most_nodes))
    traces = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    steps = [
        StepNode(id=f"n{i}", kind=NodeKind.STEP, wordings=(WORDS,), traces=t) for i, t in enumerate(traces)
    ]
    nodes = [StepNode(id="q", kind=NodeKind.QUESTION), *steps]
    if draw(st.booleans()):
        nodes.append(StepNode(id="right", kind=NodeKind.RIGHT, answers=("1",)))
    if draw(st.booleans()):
        nodes.append(StepNode(id="wrong", kind=NodeKind.WRONG, answers=("2",)))
    pairs = draw(
        st.sets(st.tuples(st.integers(0, count), st.integers(1, len(nodes) - 1)), max_size=3 * count)
    )
    edges = tuple(StepEdge(source=a, target=b, wordings=(0,)) for a, b in sorted(pairs) if a < b)
    return StepGraph(problem_id="p", nodes=tuple(nodes), edges=edges)
