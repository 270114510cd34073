"""Traces and graphs that the graph tests share."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from steiner.core import (
    NodeKind,
    Problem,
    Provenance,
    Step,
    StepEdge,
    StepGraph,
    StepNode,
    Trace,
    TraceStep,
    Verdict,
)

PROBLEM = Problem(question="What is six times seven?", answer="42")
PROVENANCE = Provenance(teacher="test", method="test")
ENDINGS = {"r": (Verdict.RIGHT, "42"), "w": (Verdict.WRONG, "41"), "u": (Verdict.UNFINISHED, "")}


def say(text: str) -> Step:
    """Return a step that says `text`."""
    return Step(name=text, thought=f"think {text}", summary=f"so {text}", reflection="go on")


def trace(steps: str, end: str = "r", answer: str | None = None, problem: Problem = PROBLEM) -> Trace:
    """Make a trace from words such as `a b c<0`: each a step named so, `<i` continuing step i (-1: question).

    The state of each step is its name.
    """
    items = []
    for index, word in enumerate(steps.split()):
        name, _, parent = word.partition("<")
        items.append(TraceStep(step=say(name), parent=int(parent) if parent else index - 1, state=name))
    verdict, usual = ENDINGS[end]
    return Trace(
        problem_id=problem.id,
        steps=tuple(items),
        answer=usual if answer is None else answer,
        verdict=verdict,
        provenance=PROVENANCE,
    )


@st.composite
def traces_and_labels(draw: st.DrawFn) -> tuple[list[Trace], list[list[str]]]:
    """Any traces with any labels, cycles and repetitions included."""
    names = st.sampled_from("abcdef")
    rows: list[Trace] = []
    labels: list[list[str]] = []
    for _ in range(draw(st.integers(0, 6))):
        count = draw(st.integers(0, 7))
        words = draw(st.lists(names, min_size=count, max_size=count))
        parents = [draw(st.one_of(st.just(i - 1), st.integers(-1, i - 1))) for i in range(count)]
        text = " ".join(f"{word}<{parent}" for word, parent in zip(words, parents, strict=True))
        end = draw(st.sampled_from("rwu"))
        rows.append(trace(text, end, draw(st.sampled_from(["41", "40"])) if end == "w" else None))
        labels.append(draw(st.lists(st.sampled_from("xyzw"), min_size=count, max_size=count)))
    return rows, labels


def random_graph(
    layers: int, width: int, seed: int = 0, *, density: float = 0.5, leaves: int = 2
) -> StepGraph:
    """Make a layered graph with `leaves` dead-end leaves below each node of the layers."""
    rng = random.Random(seed)
    nodes = [StepNode(id="q", kind=NodeKind.QUESTION)]
    edges: list[StepEdge] = []
    above = [0]
    places: list[int] = []
    for layer in range(layers):
        here = list(range(len(nodes), len(nodes) + width))
        nodes += [
            StepNode(id=f"n{layer}-{i}", kind=NodeKind.STEP, wordings=(say(f"n{layer}-{i}"),))
            for i in range(width)
        ]
        for target in here:
            sources = [a for a in above if rng.random() < density] or [rng.choice(above)]
            edges += [StepEdge(source=a, target=target, wordings=(0,)) for a in sources]
        places += here
        above = here
    for place in places:
        for i in range(leaves):
            name = f"leaf{place}-{i}"
            edges.append(StepEdge(source=place, target=len(nodes), wordings=(0,)))
            nodes.append(StepNode(id=name, kind=NodeKind.STEP, wordings=(say(name),)))
    edges += [StepEdge(source=a, target=len(nodes), wordings=(0,)) for a in above]
    nodes.append(StepNode(id="answer", kind=NodeKind.RIGHT, answers=("42",)))
    return StepGraph(problem_id=PROBLEM.id, nodes=tuple(nodes), edges=tuple(edges))
