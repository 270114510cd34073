"""How a run's graphs are distributed: nodes, merges, depth, dead ends, routes.

Few graphs are in memory at a time. A distribution is kept as a table of counts that does not grow with the
number of questions: whole numbers below 10,000 are exact, larger ones keep their first four digits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from steiner.core import NodeKind, NoProgress, Progress, Record, StepGraph
from steiner.graph.count import Routes
from steiner.graph.join import parse_graph
from steiner.store import RunDir, StoredRecord, map_bounded
from steiner.store.stage import stage_digest

DIGITS = 4
"""Leading digits that are kept of a number that has more."""
EXACT_IN_JSON = 2**53
"""Larger whole numbers are written as text: many readers of JSON would round them."""
THOUSANDTHS = 1000
"""Shares are counted in thousandths."""

Number: TypeAlias = int | float | str

QUESTION_TITLES = {
    "traces": "traces",
    "right_share": "traces that ended right",
    "nodes": "steps (nodes)",
    "merged": "steps merged away",
    "merged_share": "  of all steps",
    "shared": "nodes of several traces",
    "edges": "edges",
    "depth": "depth",
    "shortest": "steps of the shortest route",
    "dead_ends": "dead ends",
    "dead_share": "  of all nodes",
    "wrong_answers": "distinct wrong answers",
    "routes": "routes to the right answer",
}
"""What is counted once for each question, in the order of the table."""
NODE_TITLES = {
    "traces": "traces through",
    "value": "  that went on to right",
    "wordings": "wordings",
    "e_i": "e_i, edges in",
    "e_o": "e_o, edges out",
    "d_s": "d_s, from the question",
    "d_e": "d_e, to the right answer",
}
"""What is counted once for each step node."""
SHARES = {"right_share", "merged_share", "dead_share", "value"}


class SpreadSummary(Record):
    """A distribution in numbers. A percentile is the smallest value that so many of all values do not exceed.

    All but `count` are None where there is no value. Whole numbers above 2^53 are text.
    """

    count: int
    mean: Number | None = None
    min: Number | None = None
    p5: Number | None = None
    p25: Number | None = None
    p50: Number | None = None
    """The median."""
    p75: Number | None = None
    p95: Number | None = None
    max: Number | None = None


class Distributions(Record):
    """All graphs of a run."""

    questions: int
    answered: int
    """Questions with a trace that ended right."""
    with_dead_ends: int
    """Answered questions whose graph also has a dead end: those that can give paths with backtracking."""
    without_steps: int
    """Questions of which no trace has a step."""
    unreachable: int
    """Step nodes that cannot be reached from their question; 0 unless the graphs were made elsewhere."""
    per_question: dict[str, SpreadSummary]
    """`QUESTION_TITLES`; shares from 0 to 1. Routes and the shortest route: answered questions only."""
    per_node: dict[str, SpreadSummary]
    """`NODE_TITLES`, over the step nodes of all questions; distances only where they are finite."""


class Spread:
    """Counts values, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._sum = 0
        self._least: int | None = None
        self._most: int | None = None

    def add(self, values: Iterable[int]) -> None:
        """Count whole numbers ≥ 0."""
        for value in values:
            self._counts[leading(value)] += 1
            self._sum += value
            self._least = value if self._least is None else min(self._least, value)
            self._most = value if self._most is None else max(self._most, value)

    def summary(self, scale: int = 1) -> SpreadSummary:
        """Return mean and percentiles, divided by `scale`."""
        count = self._counts.total()
        if self._least is None or self._most is None:
            return SpreadSummary(count=0)
        cuts = dict(zip(("p5", "p25", "p50", "p75", "p95"), self._percentiles(count), strict=True))
        return SpreadSummary(
            count=count,
            mean=_ratio(self._sum, count * scale),
            min=_plain(self._least, scale),
            max=_plain(self._most, scale),
            **{name: _plain(min(max(cut, self._least), self._most), scale) for name, cut in cuts.items()},
        )

    def _percentiles(self, count: int) -> Iterator[int]:
        values = sorted(self._counts.items())
        for percent in (5, 25, 50, 75, 95):
            wanted, seen = -(-count * percent // 100), 0
            for value, times in values:
                seen += times
                if seen >= wanted:
                    yield value
                    break


class GraphValues(NamedTuple):
    """What one graph adds; keys as in `QUESTION_TITLES` and `NODE_TITLES`, shares in thousandths."""

    answered: bool
    unreachable: int
    per_question: dict[str, int]
    per_node: dict[str, list[int]]


def graph_values(graph: StepGraph) -> GraphValues:
    """Measure a graph; O(nodes + edges)."""
    steps = [
        (node, fact)
        for node, fact in zip(graph.nodes, graph.facts, strict=True)
        if node.kind is NodeKind.STEP
    ]
    visits = sum(node.traces for node, _ in steps)
    dead = sum(fact.d_e is None for _, fact in steps)
    question = graph.nodes[0]
    one = {
        "traces": question.traces,
        "nodes": len(steps),
        "merged": visits - len(steps),
        "shared": sum(node.traces > 1 for node, _ in steps),
        "edges": len(graph.edges),
        "depth": max((fact.d_s for _, fact in steps if fact.d_s is not None), default=0),
        "dead_ends": dead,
        "wrong_answers": sum(node.kind is NodeKind.WRONG for node in graph.nodes),
    }
    if question.traces:
        one["right_share"] = _thousandths(question.right, question.traces)
    if visits:
        one["merged_share"] = _thousandths(visits - len(steps), visits)
    if steps:
        one["dead_share"] = _thousandths(dead, len(steps))
    nearest = graph.facts[0].d_e
    if nearest is not None:
        one["shortest"] = nearest - 1
        one["routes"] = Routes(graph).count
    return GraphValues(
        graph.answer_index is not None,
        sum(fact.d_s is None for _, fact in steps),
        one,
        {
            "traces": [node.traces for node, _ in steps],
            "value": [_thousandths(node.right, node.traces) for node, _ in steps if node.traces],
            "wordings": [len(node.wordings) for node, _ in steps],
            "e_i": [fact.e_i for _, fact in steps],
            "e_o": [fact.e_o for _, fact in steps],
            "d_s": [fact.d_s for _, fact in steps if fact.d_s is not None],
            "d_e": [fact.d_e for _, fact in steps if fact.d_e is not None],
        },
    )


def distributions(run: RunDir, *, workers: int = 1, progress: Progress | None = None) -> Distributions:
    """Measure all graphs of a run, holding a few of them at a time.

    Raises:
        InputError: if the graphs are missing or unfinished.
    """
    stage_digest(run, "graphs")
    progress = progress or NoProgress()
    progress.start("graph statistics", run.journal.count("graphs"))

    def measured() -> Iterator[GraphValues]:
        rows = map_bounded(_values, run.journal.records("graphs"), workers)
        for done, row in enumerate(rows, start=1):
            yield row
            progress.update(done)

    found = combine(measured())
    progress.finish()
    return found


def combine(rows: Iterable[GraphValues]) -> Distributions:
    """Put the values of any number of graphs together."""
    questions = {name: Spread() for name in QUESTION_TITLES}
    nodes = {name: Spread() for name in NODE_TITLES}
    counts: Counter[str] = Counter()
    for row in rows:
        counts["questions"] += 1
        counts["answered"] += row.answered
        counts["with_dead_ends"] += row.answered and row.per_question["dead_ends"] > 0
        counts["without_steps"] += row.per_question["nodes"] == 0
        counts["unreachable"] += row.unreachable
        for name, value in row.per_question.items():
            questions[name].add([value])
        for name, values in row.per_node.items():
            nodes[name].add(values)
    fields = ("questions", "answered", "with_dead_ends", "without_steps", "unreachable")
    return Distributions(
        **{name: counts[name] for name in fields},
        per_question=_summaries(questions),
        per_node=_summaries(nodes),
    )


def leading(value: int) -> int:
    """Return a whole number with all but its first `DIGITS` digits set to zero."""
    front, exponent = _cut(value)
    return int(front * 10**exponent)


def scientific(value: int) -> str:
    """Return a whole number in its first four digits; no number is too long.

    >>> scientific(123456789)
    '1.234e+08'
    """
    front, exponent = _cut(value)
    digits = str(front)
    return f"{digits[0]}.{digits[1:].ljust(DIGITS - 1, '0')}e+{exponent + len(digits) - 1:02d}"


def _cut(value: int) -> tuple[int, int]:
    """Return the first digits and how many are cut off. Python refuses `str()` of very long numbers."""
    least_digits = int((value.bit_length() - 1) * math.log10(2)) + 1 if value else 1
    exponent = max(0, least_digits - DIGITS)
    front = value // 10**exponent
    return (front // 10, exponent + 1) if front >= 10**DIGITS else (front, exponent)


def _summaries(spreads: dict[str, Spread]) -> dict[str, SpreadSummary]:
    return {name: spread.summary(THOUSANDTHS if name in SHARES else 1) for name, spread in spreads.items()}


def _values(record: StoredRecord) -> GraphValues:
    return graph_values(parse_graph(record.key, record.body))


def _thousandths(part: int, whole: int) -> int:
    return round(THOUSANDTHS * part / whole)


def _ratio(total: int, count: int) -> Number:
    return total / count if total < EXACT_IN_JSON * count else _plain(total // count, 1)


def _plain(value: int, scale: int) -> Number:
    if scale != 1:
        return value / scale
    return value if value <= EXACT_IN_JSON else scientific(value)
