"""Step graph → distinct reasoning paths with real backtracking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from hashlib import sha256
from itertools import islice
from random import Random
from typing import NamedTuple

from steiner.core import Move, Problem, ReasoningPath, Step, StepGraph, Trace, Verdict
from steiner.graph.locate import locate
from steiner.graph.settings import SampleSettings
from steiner.graph.sweep import sweeps
from steiner.graph.walk import SearchSpace, Walk, WalkKey, walks
from steiner.graph.writer import PathWriter, TextWriter


class Shortfall(StrEnum):
    """Why a question gave fewer paths than it was asked for."""

    NO_ROUTE = "no trace reached the right answer"
    TOO_LONG = "every route to the answer is longer than max_steps"
    NO_DEAD_END = "no dead ends to leave for"
    EXHAUSTED = "no more distinct paths with the detours asked for"


class Sampled(NamedTuple):
    """Paths of one question, in the order of their slots."""

    paths: tuple[ReasoningPath, ...]
    shortfall: Shortfall | None
    """None where there are as many as were asked for by number."""


class Draft(NamedTuple):
    """A path before it is put into words."""

    walk: Walk
    trace: Trace | None
    """The trace that is taken as it is; None for a sampled walk."""


class PathSampler:
    """The endless but exhaustible list of one question's paths.

    The list consists of slots: first one for each trace that is taken as it is, then one for each draw. A
    slot is empty where the draw came to nothing (see `walk.walks`). It depends on the graph, the settings
    other than the amounts, and the seed alone, so that asking for more never changes what came before.
    """

    def __init__(
        self, problem: Problem, graph: StepGraph, settings: SampleSettings, traces: Sequence[Trace] = ()
    ) -> None:
        """Look at the graph once.

        Args:
            problem: the problem the graph belongs to.
            graph: its step graph.
            settings: what kind of paths.
            traces: the traces the graph was built from; used only with `settings.include_traces`.
        """
        self.problem = problem
        self.space = SearchSpace(graph)
        self.settings = settings
        self._traces = traces if settings.include_traces else ()
        self._seed = f"{settings.seed}:{problem.id}"

    def slots(self) -> Iterator[Draft | None]:
        """Yield each slot's draft, None for an empty slot; ends where the graph is exhausted."""
        taken: set[WalkKey] = set()
        yield from self._own_traces(taken)
        search = sweeps if self.settings.order.is_systematic else walks
        for walk in search(self.space, self.settings, Random(f"{self._seed}:walks"), taken):
            yield None if walk is None else Draft(walk, None)

    def _own_traces(self, taken: set[WalkKey]) -> Iterator[Draft]:
        least = max(1, self.settings.min_backtracks)
        for trace in sorted(self._traces, key=_mixed):
            if (
                trace.verdict is not Verdict.RIGHT
                or not trace.steps
                or len(trace.steps) > self.settings.max_steps
            ):
                continue
            places = locate(self.space.graph, trace)
            if places is None or len(set(places)) < len(places):
                continue
            walk = Walk(places, tuple(item.parent for item in trace.steps))
            key = self.space.key(walk)
            if walk.backtracks >= least and key not in taken:
                taken.add(key)
                yield Draft(walk, trace)

    def write(self, slot: int, draft: Draft, writer: PathWriter) -> ReasoningPath:
        """Put a draft into words; `slot` is its number in `slots`."""
        walk, graph = draft.walk, self.space.graph
        ids = tuple(graph.nodes[i].id for i in walk.nodes)
        if draft.trace is not None:
            return ReasoningPath.from_trace(draft.trace).model_copy(update={"nodes": ids})
        rng = Random(f"{self._seed}:words:{slot}")
        steps = [self._wording(walk, i, rng) for i in range(len(walk.nodes))]
        goes_on = [parent == i - 1 for i, parent in enumerate(walk.parents)]
        on_route: list[int] = []
        i = len(walk.nodes) - 1
        while i >= 0:
            on_route.append(i)
            i = walk.parents[i]
        answer = writer.answer(
            self.problem, [steps[i] for i in reversed(on_route)], self._answers(walk.nodes[-1])
        )
        # The last step goes on to the answer.
        for i, proceeds in enumerate([*goes_on[1:], True]):
            reword = writer.before_proceed if proceeds else writer.before_backtrack
            steps[i] = reword(self.problem, steps[i], graph.facts[walk.nodes[i]])
        return ReasoningPath(
            problem_id=self.problem.id,
            steps=tuple(steps),
            moves=tuple(Move.PROCEED if proceeds else Move.BACKTRACK for proceeds in goes_on[1:]),
            answer=answer,
            parents=walk.parents,
            nodes=ids,
        )

    def _wording(self, walk: Walk, position: int, rng: Random) -> Step:
        """Choose one of the wordings that were used for exactly this transition."""
        parent = walk.parents[position]
        source, target = 0 if parent < 0 else walk.nodes[parent], walk.nodes[position]
        if walk.wordings:
            wordings = walk.wordings[position]
        else:
            edge = next(e for e in self.space.graph.out_edges[source] if e.target == target)
            wordings = edge.wordings
        return self.space.graph.nodes[target].wordings[rng.choice(wordings)]

    def _answers(self, last: int) -> list[str]:
        graph = self.space.graph
        edge = next(e for e in graph.out_edges[last] if e.target == graph.answer_index)
        return [graph.nodes[edge.target].answers[i] for i in edge.wordings]

    def shortfall(self) -> Shortfall:
        """Return why this graph can give no more."""
        graph, settings = self.space.graph, self.settings
        if not self.space.routes.count:
            return Shortfall.NO_ROUTE
        # The question and the answer are nodes of the route but no steps.
        if (graph.facts[0].d_e or 0) - 1 > settings.max_steps:
            return Shortfall.TOO_LONG
        if not any(self.space.dead) and not (settings.longer_ways and any(self.space.live)):
            return Shortfall.NO_DEAD_END
        return Shortfall.EXHAUSTED


def _mixed(trace: Trace) -> bytes:
    """Order traces by their content, alike ones far apart."""
    text = "\0".join(f"{item.parent} {item.step.thought}" for item in trace.steps)
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def sample_paths(
    problem: Problem,
    graph: StepGraph,
    settings: SampleSettings,
    *,
    count: int | None = None,
    slots: int | None = None,
    writer: PathWriter | None = None,
    traces: Sequence[Trace] = (),
) -> Sampled:
    """Sample up to `count` distinct paths of one question.

    The result is a pure function of the arguments. The first k paths are the same for any `count` ≥ k.

    Args:
        problem: the problem the graph belongs to.
        graph: its step graph.
        settings: what kind of paths; `paths` and `paths_per_question` are not looked at.
        count: number of paths wanted; None: as many as there are slots.
        slots: look at this many slots at most (see `PathSampler`); None: until the graph is exhausted.
            With neither `count` nor `slots` a rich graph keeps this busy for good.
        writer: puts answers and reflections into words; `TextWriter` by default.
        traces: traces to take as they are, with `settings.include_traces`.
    """
    sampler = PathSampler(problem, graph, settings, traces)
    writer = writer or TextWriter()
    paths: dict[object, ReasoningPath] = {}
    for slot, draft in enumerate(islice(sampler.slots(), slots)):
        if len(paths) == count:
            break
        if draft is not None:
            path = sampler.write(slot, draft, writer)
            # Keys of walks differ, so texts differ, unless a writer gives two steps the same words.
            paths.setdefault((path.steps, path.moves, path.answer), path)
    return Sampled(
        tuple(paths.values()), None if count is not None and len(paths) >= count else sampler.shortfall()
    )
