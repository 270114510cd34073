"""A step graph as lines for a terminal: every node once, other ways into it by its number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from steiner.core import Move, NodeKind, ReasoningPath, StepEdge, StepGraph

ON, DEAD, RIGHT, WRONG, SOFT, BACK = "blue", "yellow", "green", "red", "bright_black", "bold yellow"
FORWARD = "bold blue"
TRACES, SHARE, VISITS = 7, 10, 9
"""Widths of the columns on the right, in cells."""
MOST_TARGETS = 4
"""Other ways on from a node that are listed; more are counted."""
ASCII = str.maketrans("│├└─○×●✓✗→↩…–·", "||`-ox*+!><~--")
"""What stands in where the terminal knows no Unicode."""


class Tree(NamedTuple):
    """A spanning tree of the nodes that are shown."""

    children: dict[int, list[int]]
    """Of each node: the nodes that are shown below it, the most travelled first, dead ends last."""
    others: dict[int, list[int]]
    """Of each node: the targets of its other edges, answers included."""
    wording: dict[int, int]
    """Of each node: the wording used on the edge that it is shown under."""
    number: dict[int, int]
    """Numbers of the steps in the order of the lines, from 1; those of wrong answers likewise."""


def spanning_tree(graph: StepGraph, shown: set[int]) -> Tree:
    """Hang each step under the node from which most traces came to it.

    Args:
        graph: the graph.
        shown: indices of nodes; each but the question has an edge from another one of them.
    """
    best: dict[int, StepEdge] = {}
    for edge in graph.edges:
        if edge.source in shown and edge.target in shown and graph.nodes[edge.target].kind is NodeKind.STEP:
            rival = best.get(edge.target)
            if rival is None or _nearness(graph, edge) < _nearness(graph, rival):
                best[edge.target] = edge
    children: dict[int, list[int]] = {node: [] for node in shown}
    others: dict[int, list[int]] = {node: [] for node in shown}
    for source in sorted(shown):
        for edge in graph.out_edges[source]:
            if edge.target in shown:
                below = children if best.get(edge.target) == edge else others
                below[source].append(edge.target)
    for ways in children.values():
        ways.sort(key=lambda i: (graph.facts[i].d_e is None, -best[i].traces, i))
    wording = {target: edge.wordings[0] for target, edge in best.items()}
    number: dict[int, int] = {}
    for node, *_ in _walk(children):
        if node:
            number[node] = len(number) + 1
    wrong = [node for node in _answers(graph, shown) if graph.nodes[node].kind is NodeKind.WRONG]
    number.update((node, place) for place, node in enumerate(wrong, start=1))
    return Tree(children, others, wording, number)


def tree_lines(
    graph: StepGraph, shown: set[int], *, width: int = 80, path: ReasoningPath | None = None
) -> Iterator[Text]:
    """Yield the lines of a graph, each at most `width` cells wide.

    The question comes first, the answers last. A node with one way on is followed by it at the same
    indentation, so long chains stay narrow. `→ 7 ✓` at the end of a line: from here also to step 7 and to the
    right answer. With a path, a last column says as which of its steps a node is visited; `3↩` goes back.
    """
    tree = spanning_tree(graph, shown)
    visits = _visits(path)
    columns = TRACES + SHARE + (VISITS if path else 0)
    yield _row(Text(""), Text(""), ["traces", "to right", "in path"], width, path is not None)
    for node, lead, branch in _walk(tree.children):
        room = width - columns
        head = Text(_fit_lead(lead + branch, room // 2), SOFT)
        sign, style = _sign(graph, node)
        head.append(sign, style)
        head.append(f" {tree.number[node]}. " if node else " ", SOFT)
        tail = _targets(graph, tree, node)
        title = "the question" if not node else _title(graph, node, tree.wording[node])
        space = room - head.cell_len - tail.cell_len
        head.append(_cut(title, space), "bold" if not node else "" if style == ON else style)
        yield _row(head, tail, _facts(graph, node, visits), width, path is not None, style)
    for node in _answers(graph, shown):
        sign, style = _sign(graph, node)
        mark = sign if graph.nodes[node].kind is NodeKind.RIGHT else f"{sign}{tree.number[node]}"
        head = Text(f"{mark} ", style)
        answers = graph.nodes[node].answers
        more = f" (+{len(answers) - 1} wordings)" if len(answers) > 1 else ""
        head.append(_cut(_plain(answers[0]), width - columns - head.cell_len - cell_len(more)) + more, style)
        yield _row(head, Text(""), _facts(graph, node, visits), width, path is not None, style)


def _answers(graph: StepGraph, shown: set[int]) -> list[int]:
    """Return the right answer, then the wrong ones that most traces gave."""
    answers = [i for i in shown if graph.nodes[i].kind in (NodeKind.RIGHT, NodeKind.WRONG)]
    return sorted(answers, key=lambda i: (graph.nodes[i].kind is NodeKind.WRONG, -graph.nodes[i].traces, i))


def _nearness(graph: StepGraph, edge: StepEdge) -> tuple[int, int, int]:
    depth = graph.facts[edge.source].d_s
    return -edge.traces, len(graph.nodes) if depth is None else depth, edge.source


def _walk(children: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, str, str]]:
    """Yield each node from the top down, with what stands before its sign: the trunks, and its own branch."""
    stack = [(0, "", "")]
    while stack:
        node, lead, branch = stack.pop()
        yield node, lead, branch
        below = lead + {"├─": "│ ", "└─": "  "}.get(branch, "")
        ways = children.get(node, ())
        if len(ways) == 1:
            stack.append((ways[0], below, ""))
        else:
            ends = ["├─"] * (len(ways) - 1) + ["└─"]
            stack += [(way, below, end) for way, end in reversed(list(zip(ways, ends, strict=False)))]


def _fit_lead(lead: str, most: int) -> str:
    """Keep the end of a very deep indentation."""
    return lead if len(lead) <= most else "…" + lead[len(lead) - most + 1 :]


def _sign(graph: StepGraph, node: int) -> tuple[str, str]:
    kind = graph.nodes[node].kind
    if kind is NodeKind.STEP:
        return ("×", DEAD) if graph.facts[node].d_e is None else ("○", ON)
    signs = {NodeKind.QUESTION: ("●", ""), NodeKind.RIGHT: ("✓", RIGHT), NodeKind.WRONG: ("✗", WRONG)}
    return signs[kind]


def _title(graph: StepGraph, node: int, wording: int) -> str:
    """Say what a step does: its state and thought where it has a state, else its name and what it found."""
    record = graph.nodes[node]
    step = record.wordings[wording]
    if record.state is not None:
        text = f"{record.state.replace(',', ' ')} · {step.thought}"
    elif _plain(step.summary).casefold().startswith(_plain(step.name).casefold().rstrip("….")):
        text = step.summary
    else:
        text = f"{step.name} · {step.summary}" if step.summary else step.name
    return _plain(text)


def _targets(graph: StepGraph, tree: Tree, node: int) -> Text:
    targets = sorted(tree.others[node], key=lambda i: (graph.nodes[i].kind is NodeKind.STEP, i))
    text = Text()
    if not targets:
        return text
    text.append(" →", SOFT)
    for target in targets[:MOST_TARGETS]:
        sign, style = _sign(graph, target)
        kind = graph.nodes[target].kind
        if kind is NodeKind.RIGHT:
            text.append(f" {sign}", style)
        elif kind is NodeKind.WRONG:
            text.append(f" {sign}{tree.number[target]}", style)
        else:
            text.append(f" {tree.number[target]}", SOFT)
    if len(targets) > MOST_TARGETS:
        text.append(f" +{len(targets) - MOST_TARGETS}", SOFT)
    return text


def _facts(graph: StepGraph, node: int, visits: Mapping[str, Sequence[tuple[int, bool]]]) -> list[str]:
    record = graph.nodes[node]
    share = "–" if not record.traces else f"{100 * record.right / record.traces:.0f}%"
    if record.answers:
        share = "right" if record.kind is NodeKind.RIGHT else "wrong"
    elif node and graph.facts[node].d_e is None:
        share = "dead end"
    marks = [f"{order}{'↩' if back else ''}" for order, back in visits.get(record.id, ())]
    return [f"{record.traces:,}", share, " ".join(marks)]


def _visits(path: ReasoningPath | None) -> dict[str, list[tuple[int, bool]]]:
    """Return for each node id the places of the path's steps there, from 1, and whether it then goes back."""
    visits: dict[str, list[tuple[int, bool]]] = {}
    for index, node in enumerate(path.nodes if path else ()):
        back = path is not None and index < len(path.moves) and path.moves[index] is Move.BACKTRACK
        visits.setdefault(node, []).append((index + 1, back))
    return visits


def _row(
    head: Text, tail: Text, facts: Sequence[str], width: int, with_path: bool, style: str = SOFT
) -> Text:
    columns = TRACES + SHARE + (VISITS if with_path else 0)
    line = head + tail
    line.append(" " * max(0, width - columns - line.cell_len))
    line.append(facts[0].rjust(TRACES), "" if style != SOFT else SOFT)
    line.append(facts[1].rjust(SHARE), style)
    if with_path:
        marks = _cut(facts[2], VISITS - 1)
        moves = SOFT if style == SOFT else BACK if "↩" in marks else FORWARD
        line.append(" " * (VISITS - cell_len(marks)) + marks, moves)
    line.rstrip()
    return line


def _cut(text: str, room: int) -> str:
    """Shorten to so many cells; a Chinese character takes two."""
    if cell_len(text) <= room:
        return text
    return set_cell_size(text, max(0, room - 1)).rstrip() + "…" if room > 0 else ""


def _plain(text: str) -> str:
    """Return text on one line; control characters could otherwise command the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
