"""Text in a drawing: what is said of a node, how wide it is, and how it is broken into lines."""

from __future__ import annotations

import unicodedata

from steiner.core import NodeKind, StepGraph, StepNode
from steiner.evaluate.drawing.svg import shorten

MOST_TEXT = 600
"""Characters of a step's thought in its tooltip."""


def tooltip(graph: StepGraph, node: int, wording: int = 0) -> str:
    """Say in plain text what a node is and where it stands."""
    record = graph.nodes[node]
    lines = {
        NodeKind.QUESTION: ["The question"],
        NodeKind.RIGHT: ["Right answer:", *record.answers],
        NodeKind.WRONG: ["Wrong answer:", *record.answers],
    }.get(record.kind, [])
    for step in record.wordings[wording : wording + 1]:
        lines = [step.name, step.thought] if step.thought != step.name else [step.name]
    if record.state is not None:
        lines = [f"State {record.state.replace(',', ' ')}", *lines]
    lines = [shorten(line, MOST_TEXT) for line in lines[:6]]
    if len(record.wordings) > 1:
        lines.append(f"({len(record.wordings)} wordings)")
    return "\n".join([*lines, node_facts(graph, node)])


def node_facts(graph: StepGraph, node: int) -> str:
    """Return traces, value, distances and degrees of a node in one line."""
    record, facts = graph.nodes[node], graph.facts[node]
    parts = [f"{record.traces:,} trace{'s' * (record.traces != 1)}"]
    if record.kind in (NodeKind.QUESTION, NodeKind.STEP) and record.traces:
        parts[0] += f", {100 * record.right / record.traces:.0f}% went on to the right answer"
    if node:
        parts.append(f"{facts.d_s} from the question")
    if record.kind in (NodeKind.QUESTION, NodeKind.STEP):
        parts.append("dead end" if facts.d_e is None else f"{facts.d_e} to the right answer")
    return " · ".join([*parts, f"{facts.e_i} in, {facts.e_o} out"])


def label(node: StepNode, wording: int = 0) -> str:
    """Return the name of a node."""
    if node.kind is NodeKind.QUESTION:
        return "question"
    if node.state is not None:
        return node.state.replace(",", " ")
    if node.answers:
        return node.answers[0]
    return node.wordings[wording].name if node.wordings else ""


def cells(text: str) -> int:
    """Return the width of a text in Latin letters: Chinese characters count two, combining marks none."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrap(text: str, room: int, most_lines: int) -> list[str]:
    """Break a text into at most so many lines of at most `room` cells, between words where that is possible.

    Words that are too long, and Chinese text, are broken anywhere. What is left over becomes `…`.
    """
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(joined) <= room:
            lines[-1] = joined
            continue
        if cells(word) <= room and word.isascii():
            lines.append(word)
            continue
        # A word that must be broken goes on in the line that is there, if something of it fits.
        rest = joined if cells(lines[-1]) + 2 < room else word
        lines = lines[:-1] if rest is joined else lines
        lines += _broken(rest, room)
    lines = [line for line in lines if line]
    if len(lines) <= most_lines:
        return lines
    return [*lines[: most_lines - 1], _ended(lines[most_lines - 1], room)]


def _broken(text: str, room: int) -> list[str]:
    pieces = [""]
    for character in text:
        if cells(pieces[-1]) + _cells(character) > room and pieces[-1]:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _ended(line: str, room: int) -> str:
    while line and cells(line) > room - 1:
        line = line[:-1]
    return line.rstrip() + "…"
