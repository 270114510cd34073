"""Draw distinct routes uniformly: counting and unranking against enumerating with networkx.

    python benchmarks/graph_sampling.py [--layers 8] [--width 4] [--draws 1000] [--rounds 5]

Both draw the same number of distinct routes from the same layered graph, each route as likely as any other,
in the same process and in turns. Both start from the edges of the graph. The last line gives the ratio of the
median times. Before it stand graphs whose routes nobody could enumerate, drawn from by counting.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Callable

import networkx

from steiner.core import NodeKind, Step, StepEdge, StepGraph, StepNode
from steiner.graph import Routes
from steiner.graph.count import shuffled


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


def by_counting(graph: StepGraph, draws: int, rng: random.Random) -> list[list[int]]:
    """Count, then unrank distinct random ranks."""
    routes = Routes(graph.model_copy())  # a copy has no adjacency lists cached
    return [routes.route(rank) for rank in itertools.islice(shuffled(routes.count, rng), draws)]


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


def main() -> None:
    """Run both in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
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
    for layers in (20, 50, 100):
        large = layered(layers, options.width)
        seconds = timed(lambda: by_counting(large, options.draws, random.Random(0)))  # noqa: B023
        print(f"{layers:3} layers, {Routes(large).count:.1e} routes: {seconds * 1e3:,.1f} ms CPU by counting")
    print(f"ratio {statistics.median(theirs) / statistics.median(ours):,.1f}")


if __name__ == "__main__":
    main()
