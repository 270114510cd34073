"""Traces of one problem → its step graph."""

from __future__ import annotations

import heapq
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from steiner.core import InputError, NodeKind, Problem, StepEdge, StepGraph, StepNode, Trace, Verdict, digest
from steiner.core.step import Step
from steiner.core.trace import FROM_QUESTION
from steiner.graph.merge import Piece, keep_depths_apart, merge, pieces_of

Labels = tuple[tuple[str, ...], ...]
"""One label per step, parallel to the traces and their steps: equal labels mean the same step."""

AnswerKey = Callable[[str], str]
"""Texts of wrong answers with equal keys are one node."""


class Merging(StrEnum):
    """How far equal labels are merged."""

    ACYCLIC = "acyclic"
    """As far as no cycle closes. A trace that closes a cycle may regroup the nodes on that cycle."""
    DEPTH = "depth"
    """Only at equal depth. A trace changes the ids of nothing but the nodes it merges with, ever."""


def state_labels(traces: Sequence[Trace]) -> Labels:
    """Label each step by its exact search state.

    Raises:
        InputError: if a step has none.
    """
    for trace in traces:
        if any(item.state is None for item in trace.steps):
            raise InputError(
                f"A trace of problem {trace.problem_id} by {trace.provenance.teacher} has steps without an "
                "exact search state: cluster its steps by their text (--cluster text)."
            )
    return tuple(tuple(str(item.state) for item in trace.steps) for trace in traces)


def has_states(traces: Sequence[Trace]) -> bool:
    """Return whether every step of every trace names its exact search state."""
    return all(item.state is not None for trace in traces for item in trace.steps)


def answer_key(text: str) -> str:
    """Return what equal answers share: compatibility forms, case, blanks, outer punctuation are ignored."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(" .,;:!?()[]{}*$'\"。，；：！？") or folded


def grouped_answers(answers: Iterable[str], same: Callable[[str, str], bool]) -> AnswerKey:
    """Return the key of answers that `same` calls equivalent, chains of equivalents included.

    A group is named by the smallest `answer_key` in it, so its name changes only when an answer joins it.

    Args:
        answers: all texts that the key will be asked for, in any order.
        same: symmetric; asked about texts with different `answer_key` only.
    """
    of_key: dict[str, str] = {}
    for answer in sorted(answers):
        of_key.setdefault(answer_key(answer), answer)
    group: dict[str, str] = {}
    for key, answer in sorted(of_key.items()):
        equal = {group[other] for other in group if same(of_key[other], answer)}
        head = min({key, *equal})
        group = {other: head if old in equal else old for other, old in group.items()}
        group[key] = head
    return lambda text: group[answer_key(text)]


def question_node_id(problem_id: str) -> str:
    """Return the id of the source node of a problem's graph."""
    return digest([problem_id, "question"])


def right_node_id(problem_id: str) -> str:
    """Return the id of the node of the correct answer."""
    return digest([problem_id, "right"])


def state_node_id(problem_id: str, state: str) -> str:
    """Return the id of the node of an exact search state; of the shallowest one if it had to be split."""
    return digest([problem_id, "state", state])


def build_graph(
    problem: Problem,
    traces: Sequence[Trace],
    labels: Labels,
    key: AnswerKey = answer_key,
    merging: Merging = Merging.ACYCLIC,
) -> StepGraph:
    """Build a problem's step graph: acyclic whatever the labels, the same whatever the order of the traces.

    An edge leads from the node of a step's parent to the node of the step. A step whose parent lies in the
    same node adds no edge. The last step written leads to the answer. Traces without steps are passed over.
    `right` of a node counts the traces whose way to the right answer leads through it: a branch that was
    given up on the way to a right answer does not count as having led there.

    Args:
        problem: the problem all traces belong to.
        traces: attempts, in any order.
        labels: parallel to `traces` and their steps.
        key: equivalence of wrong answers.
        merging: how far equal labels are merged.

    Raises:
        ValueError: if the labels are not parallel to the steps or a trace belongs to another problem.
    """
    if len(labels) != len(traces):
        raise ValueError(f"{len(traces)} traces need as many rows of labels, got {len(labels)}")
    tally = _Tally(problem.id, merging)
    rows: list[tuple[Trace, list[Piece]]] = []
    for trace, names in zip(traces, labels, strict=True):
        if trace.problem_id != problem.id:
            raise ValueError(f"trace {trace.id} belongs to problem {trace.problem_id}, not {problem.id}")
        if trace.steps:
            rows.append((trace, pieces_of(names, [item.parent for item in trace.steps])))
    node_of = _merged(rows, merging)
    for trace, pieces in rows:
        tally.add(trace, [node_of[piece] for piece in pieces], key)
    return tally.graph()


def _merged(rows: Sequence[tuple[Trace, list[Piece]]], merging: Merging) -> dict[Piece, Piece]:
    if merging is Merging.DEPTH:
        return keep_depths_apart(piece for _, pieces in rows for piece in pieces)
    texts: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    links: set[tuple[Piece, Piece]] = set()
    for trace, pieces in rows:
        for item, piece in zip(trace.steps, pieces, strict=True):
            texts[piece.label].add(_text(item.step))
            if item.parent != FROM_QUESTION and pieces[item.parent] != piece:
                links.add((pieces[item.parent], piece))
    order = {label: (-len(found), sorted(found)) for label, found in texts.items()}
    return merge((piece for _, pieces in rows for piece in pieces), links, order)


class _Answer(NamedTuple):
    kind: NodeKind
    key: str


_Place = Piece | _Answer | None
"""A node while it is being built: a cluster, an answer, or None for the question."""


class _Tally:
    """Collects what each node and edge saw, then lays the graph out."""

    def __init__(self, problem_id: str, merging: Merging) -> None:
        self._problem_id = problem_id
        self._merging = merging
        self._traces: dict[_Place, int] = defaultdict(int)
        self._right: dict[_Place, int] = defaultdict(int)
        self._steps: dict[Piece, dict[tuple[str, ...], Step]] = defaultdict(dict)
        self._states: dict[Piece, set[str | None]] = defaultdict(set)
        self._answers: dict[_Answer, set[str]] = defaultdict(set)
        self._edges: dict[tuple[_Place, _Place], set[tuple[str, ...]]] = defaultdict(set)
        self._edge_traces: dict[tuple[_Place, _Place], int] = defaultdict(int)

    def add(self, trace: Trace, places: Sequence[Piece], key: AnswerKey) -> None:
        """Count one trace with at least one step; `places` is parallel to its steps."""
        used: set[tuple[_Place, _Place]] = set()
        for item, place in zip(trace.steps, places, strict=True):
            self._steps[place].setdefault(_text(item.step), item.step)
            self._states[place].add(item.state)
            above: _Place = None if item.parent == FROM_QUESTION else places[item.parent]
            if above != place:
                self._edges[above, place].add(_text(item.step))
                used.add((above, place))
        seen: set[_Place] = {None, *places}
        way: set[_Place] = {None, *(places[i] for i in trace.route(len(places) - 1))}
        if trace.verdict is not Verdict.UNFINISHED:
            right = trace.verdict is Verdict.RIGHT
            answer = _Answer(NodeKind.RIGHT, "") if right else _Answer(NodeKind.WRONG, key(trace.answer))
            self._answers[answer].add(trace.answer)
            self._edges[places[-1], answer].add((trace.answer,))
            used.add((places[-1], answer))
            seen.add(answer)
            way.add(answer)
        for touched in seen:
            self._traces[touched] += 1
        if trace.verdict is Verdict.RIGHT:
            for touched in way:
                self._right[touched] += 1
        for edge in used:
            self._edge_traces[edge] += 1

    def graph(self) -> StepGraph:
        """Return the graph of everything added so far."""
        ids = self._ids()
        order = self._order(ids)
        number = {place: i for i, place in enumerate(order)}
        texts = {place: self._texts(place) for place in order}
        index = {place: {text: i for i, text in enumerate(texts[place])} for place in order}
        edges = [
            StepEdge(
                source=number[a],
                target=number[b],
                wordings=tuple(sorted(index[b][text] for text in used)),
                traces=self._edge_traces[a, b],
            )
            for (a, b), used in self._edges.items()
        ]
        return StepGraph(
            problem_id=self._problem_id,
            nodes=tuple(self._node(place, ids[place], texts[place]) for place in order),
            edges=tuple(sorted(edges, key=lambda e: (e.source, e.target))),
        )

    def _texts(self, place: _Place) -> list[tuple[str, ...]]:
        if isinstance(place, _Answer):
            return [(text,) for text in sorted(self._answers[place])]
        return sorted(self._steps[place]) if place is not None else []

    def _node(self, place: _Place, node_id: str, texts: Sequence[tuple[str, ...]]) -> StepNode:
        counts = {"traces": self._traces[place], "right": self._right[place]}
        if place is None:
            return StepNode(id=node_id, kind=NodeKind.QUESTION, **counts)
        if isinstance(place, _Answer):
            return StepNode(id=node_id, kind=place.kind, answers=tuple(text for (text,) in texts), **counts)
        return StepNode(
            id=node_id,
            kind=NodeKind.STEP,
            wordings=tuple(self._steps[place][text] for text in texts),
            state=self._state(place),
            **counts,
        )

    def _state(self, place: Piece) -> str | None:
        states = self._states[place]
        return next(iter(states)) if len(states) == 1 else None

    def _ids(self) -> dict[_Place, str]:
        """Hash content, and depth where a label is in several nodes.

        The number of other nodes of equal content does not enter, only that of equal content *and* depth:
        labels that differ for equal texts are the one case in which that happens.
        """
        ids: dict[_Place, str] = {None: question_node_id(self._problem_id)}
        for answer in self._answers:
            right = answer.kind is NodeKind.RIGHT
            wrong_id = digest([self._problem_id, "wrong", answer.key])
            ids[answer] = right_node_id(self._problem_id) if right else wrong_id
        same: dict[str, list[Piece]] = defaultdict(list)
        for piece in self._steps:
            state = self._state(piece)
            if state is None:
                same[digest([self._problem_id, "steps", self._texts(piece)])].append(piece)
            else:
                same[state_node_id(self._problem_id, state)].append(piece)
        for base, places in same.items():
            places.sort(key=lambda p: (p.depth, self._texts(p), p.label))
            beside: dict[int, int] = defaultdict(int)
            for count, place in enumerate(places):
                whole = not count and self._merging is Merging.ACYCLIC
                ids[place] = base if whole else digest([base, place.depth, beside[place.depth]])
                beside[place.depth] += 1
        return ids

    def _order(self, ids: dict[_Place, str]) -> list[_Place]:
        """Sort topologically: question first, answers last, else by depth and id."""
        below: dict[_Place, list[_Place]] = defaultdict(list)
        missing: dict[_Place, int] = defaultdict(int)
        for a, b in self._edges:
            below[a].append(b)
            missing[b] += 1

        def rank(place: _Place) -> tuple[bool, int, str]:
            return isinstance(place, _Answer), place.depth if isinstance(place, Piece) else 0, ids[place]

        by_rank = {rank(place): place for place in ids}
        heap = [rank(None)]
        order: list[_Place] = []
        while heap:
            place = by_rank[heapq.heappop(heap)]
            order.append(place)
            for child in below[place]:
                missing[child] -= 1
                if not missing[child]:
                    heapq.heappush(heap, rank(child))
        if len(order) != len(ids):
            raise AssertionError("merged steps form a cycle: merge() is broken")
        return order


def _text(step: Step) -> tuple[str, ...]:
    return step.name, step.thought, step.summary, step.reflection
