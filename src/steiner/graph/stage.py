"""Stage `graphs`: traces → one step graph per question."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from statistics import median_low

from steiner.core import NoProgress, Problem, Progress, Record, Settings, Trace, Verdict
from steiner.graph.build import (
    AnswerKey,
    Labels,
    Merging,
    answer_key,
    build_graph,
    grouped_answers,
    has_states,
    state_labels,
)
from steiner.graph.cluster import ClusterSettings, cluster_steps
from steiner.graph.join import parse_graph, parse_traces, read_problem
from steiner.graph.statistics import GraphStatistics, statistics
from steiner.store import Beside, RunDir, Stage, StoredRecord, Workers, map_bounded, run_stage
from steiner.store.stage import stage_digest

Equivalent = Callable[[Problem, str, str], bool]
"""Whether two answers to a problem say the same. A module-level function: it travels to the workers."""


class Clustering(StrEnum):
    """What makes two steps one node."""

    AUTO = "auto"
    """Exact states where every step of a question has one, text elsewhere."""
    STATE = "state"
    TEXT = "text"


class GraphSettings(Settings):
    """How graphs are built."""

    cluster: Clustering = Clustering.AUTO
    text: ClusterSettings = ClusterSettings()
    merging: Merging = Merging.ACYCLIC


class GraphsSummary(Record):
    """All graphs of a run in numbers."""

    graphs: int
    answered: int
    """Graphs with a trace that ended right."""
    traces: int
    nodes: int
    edges: int
    shared: int
    """Nodes that more than one trace passes through."""
    dead_ends: int
    with_dead_ends: int
    """Answered graphs that also hold a dead end: those that can give paths with backtracking."""
    wrong_answers: int
    routes_median: str
    """Median over the answered graphs of the number of routes; text, because it may exceed 64 bits."""
    routes_max: str


def label_steps(problem: Problem, traces: list[Trace], settings: GraphSettings) -> Labels:
    """Say which steps of a question's traces are the same, in the way the settings ask for."""
    exact = settings.cluster is Clustering.STATE
    if exact or (settings.cluster is Clustering.AUTO and has_states(traces)):
        return state_labels(traces)
    return cluster_steps(problem, traces, settings.text)


def make_graphs(
    run: RunDir,
    settings: GraphSettings,
    *,
    equivalent: Equivalent | None = None,
    workers: Workers = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> GraphsSummary:
    """Build the graphs of all questions of a run, or go on where this was interrupted.

    Args:
        run: run directory, held for writing, with finished stages `problems` and `traces`.
        settings: how to tell equal steps.
        equivalent: which wrong answers are one node; None: those that differ in spelling only.
        workers: processes, or an engine; the outcome does not depend on it.
        force: discard graphs that were made with other settings or from other traces.
        progress: is told how far the work is.

    Raises:
        InputError: if the traces are missing or unfinished, or lack states that the settings ask for.
        ResumeError: if there are graphs of other settings or inputs and `force` is not set.
    """
    inputs = {"traces": stage_digest(run, "traces")}
    stage = Stage(run, "graphs", settings, inputs, force=force)
    if not stage.is_complete:
        run_stage(
            stage, "traces", _Build(settings, equivalent), workers=workers,
            beside=Beside(run.journal.path, ("problems",)), progress=progress,
        )  # fmt: skip
        stage.finish(_summarise(run, workers, progress or NoProgress()).model_dump(mode="json"))
    return GraphsSummary.model_validate(stage.summary)


class _Build:
    """Picklable work of the stage."""

    def __init__(self, settings: GraphSettings, equivalent: Equivalent | None) -> None:
        self._settings = settings
        self._equivalent = equivalent

    def __call__(self, record: StoredRecord) -> bytes:
        problem, traces = read_problem(record.key), parse_traces(record.body)
        key: AnswerKey = answer_key
        equivalent = self._equivalent
        if equivalent is not None:
            wrong = [trace.answer for trace in traces if trace.verdict is Verdict.WRONG]
            key = grouped_answers(wrong, lambda a, b: equivalent(problem, a, b))
        labels = label_steps(problem, traces, self._settings)
        graph = build_graph(problem, traces, labels, key, self._settings.merging)
        return graph.model_dump_json().encode()


def _measure(record: StoredRecord) -> GraphStatistics:
    return statistics(parse_graph(record.key, record.body))


def _summarise(run: RunDir, workers: Workers, progress: Progress) -> GraphsSummary:
    progress.start("graph statistics", run.journal.count("graphs"))
    graphs = answered = with_dead_ends = traces = nodes = edges = shared = dead_ends = wrong = 0
    routes: list[int] = []
    for facts in map_bounded(_measure, run.journal.records("graphs"), workers):
        graphs += 1
        traces += facts.traces
        nodes += facts.nodes
        edges += facts.edges
        shared += facts.shared
        dead_ends += facts.dead_ends
        wrong += facts.wrong_answers
        if facts.answered:
            answered += 1
            with_dead_ends += facts.dead_ends > 0
            routes.append(facts.routes)
        progress.update(graphs)
    progress.finish()
    return GraphsSummary(
        graphs=graphs,
        answered=answered,
        traces=traces,
        nodes=nodes,
        edges=edges,
        shared=shared,
        dead_ends=dead_ends,
        with_dead_ends=with_dead_ends,
        wrong_answers=wrong,
        routes_median=str(median_low(routes) if routes else 0),
        routes_max=str(max(routes, default=0)),
    )
