"""Draw distinct routes uniformly: counting and unranking against enumerating with networkx.

    python benchmarks/graph_sampling.py [--layers 10] [--width 4] [--draws 1000] [--rounds 3]

Both draw the same number of distinct routes from the same layered graph (a million routes unless told), each
route as likely as any other, in the same process and in turns. Both start from the edges of the graph. The
line «ratio» gives the ratio of the median times.

Then come graphs whose routes nobody could enumerate: 2,000 nodes with about 10^20 routes, and with it 10,000
distinct routes by every kind of choice; and how the time for one route grows with its length.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence

import networkx

from steiner.core import NodeKind, Step, StepEdge, StepGraph, StepNode
from steiner.graph import RouteChoice, Routes, SampleSettings
from steiner.graph.count import shuffled
from steiner.graph.weigh import RouteDrawer


def layered(layers: int, width: int) -> StepGraph:
    """Make a graph with `width ** layers` routes: each node of a layer leads to each of the next."""
    nodes = [StepNode(id="question", kind=NodeKind.QUESTION)]
    edges: list[StepEdge] = []
    above = [0]
    for layer in range(layers):
        here = list(range(len(nodes), len(nodes) + width))
        for place in range(width):
            text = f"{layer}-{place}"
            step = Step(name=text, thought=text, summary=text, reflection=text)
            nodes.append(StepNode(id=text, kind=NodeKind.STEP, wordings=(step,)))
        edges += [StepEdge(source=a, target=b, wordings=(0,)) for a in above for b in here]
        above = here
    edges += [StepEdge(source=a, target=len(nodes), wordings=(0,)) for a in above]
    nodes.append(StepNode(id="right", kind=NodeKind.RIGHT, answers=("42",)))
    return StepGraph(problem_id="benchmark", nodes=tuple(nodes), edges=tuple(edges))


def wide(nodes: int, layers: int, degree: int) -> StepGraph:
    """Make a layered graph of about so many nodes with `degree` edges from each node to the next layer."""
    width = nodes // layers
    steps = [StepNode(id="question", kind=NodeKind.QUESTION)]
    edges: list[StepEdge] = []
    for layer in range(layers):
        first = len(steps)
        for place in range(width):
            text = f"{layer}-{place}"
            step = Step(name=text, thought=text, summary=text, reflection=text)
            steps.append(StepNode(id=text, kind=NodeKind.STEP, wordings=(step,)))
        for above in range(width if layer else 1):
            source = first - width + above if layer else 0
            targets = sorted({(above + i * i) % width for i in range(degree)})
            edges += [StepEdge(source=source, target=first + t, wordings=(0,)) for t in targets]
    last = len(steps)
    edges += [StepEdge(source=a, target=last, wordings=(0,)) for a in range(last - width, last)]
    steps.append(StepNode(id="right", kind=NodeKind.RIGHT, answers=("42",)))
    return StepGraph(problem_id="benchmark", nodes=tuple(steps), edges=tuple(edges))


def by_counting(graph: StepGraph, draws: int, rng: random.Random) -> list[list[int]]:
    """Count, then unrank distinct random ranks."""
    routes = Routes(graph.model_copy())  # a copy has no adjacency lists cached
    return [routes.route(rank) for rank in itertools.islice(shuffled(routes.count, rng), draws)]


def by_choice(graph: StepGraph, draws: int, choice: RouteChoice) -> list[list[int]]:
    """Draw routes as `steiner sample --routes` does until so many distinct ones are found."""
    wish = SampleSettings(paths_per_question=1, routes=choice)
    drawer = RouteDrawer(Routes(graph.model_copy()), wish, random.Random(0))
    found: dict[tuple[int, ...], list[int]] = {}
    while len(found) < draws:
        route = drawer.draw()
        drawer.note(route)
        found.setdefault(tuple(route), route)
    return list(found.values())


def by_enumeration(graph: StepGraph, draws: int, rng: random.Random) -> list[list[int]]:
    """List every simple path, then choose among them."""
    oracle = networkx.DiGraph([(edge.source, edge.target) for edge in graph.edges])
    return rng.sample(list(networkx.all_simple_paths(oracle, 0, graph.answer_index)), draws)


def timed(work: Callable[[], list[list[int]]]) -> float:
    """Return the CPU seconds that `work` takes."""
    started = time.process_time()
    drawn = work()
    seconds = time.process_time() - started
    assert len(set(map(tuple, drawn))) == len(drawn)
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    graph = layered(options.layers, options.width)
    count = Routes(graph).count
    size = f"{len(graph.nodes)} nodes, {len(graph.edges)} edges, {count:,} routes"
    print(f"{size}; {options.draws:,} distinct draws")
    ours, theirs = [], []
    for seed in range(options.rounds):
        theirs.append(timed(lambda: by_enumeration(graph, options.draws, random.Random(seed))))  # noqa: B023
        ours.append(timed(lambda: by_counting(graph, options.draws, random.Random(seed))))  # noqa: B023
    for name, times in (("networkx.all_simple_paths", theirs), ("counting and unranking", ours)):
        spread = f"{min(times) * 1e3:,.1f} to {max(times) * 1e3:,.1f}"
        print(f"{name:26} {statistics.median(times) * 1e3:10,.1f} ms CPU ({spread})")
    print(f"ratio {statistics.median(theirs) / statistics.median(ours):,.0f}")
    large = wide(2000, 20, 10)
    size = f"{len(large.nodes):,} nodes, {len(large.edges):,} edges, {Routes(large).count:.1e} routes"
    print(f"{size}; 10,000 distinct draws")
    for choice in RouteChoice:
        times = [timed(lambda: by_choice(large, 10_000, choice)) for _ in range(options.rounds)]  # noqa: B023
        print(f"  by {choice.value:8} {statistics.median(times) * 1e3:8,.0f} ms CPU")
    for layers in (20, 40, 80, 160):
        long = wide(4000, layers, 10)
        routes = Routes(long)
        routes.route(0)  # counted, and its lists made
        ranks = list(itertools.islice(shuffled(routes.count, random.Random(0)), 10_000))
        seconds = timed(lambda: [routes.route(rank) for rank in ranks])  # noqa: B023
        each = seconds / len(ranks) * 1e6
        print(f"  length {layers:4}, {routes.count:.0e} routes: {each:6,.1f} µs CPU a route")


if __name__ == "__main__":
    main()
