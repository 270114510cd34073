"""A step graph as one HTML page: the drawing, and below it every step in full."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from markupsafe import Markup

from steiner.core import NodeKind, Step
from steiner.evaluate.drawing.sheet import Subject, sheet, style
from steiner.evaluate.drawing.sheet_text import node_facts
from steiner.evaluate.drawing.svg import shorten, tag


def sheet_page(subject: Subject) -> str:
    """Return a page that loads nothing and runs nothing; each step in the drawing links to its text."""
    # The SVG brings its style sheet along; the policy allows both by hash.
    hashes = " ".join(f"'sha256-{_hash(style(name))}'" for name in ("sheet_page.css", "sheet.css"))
    policy = f"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'"
    problem = subject.problem
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(policy),
        tag("title", f"Step graph: {shorten(problem.question, 80)}"),
        tag("style", Markup(style("sheet_page.css"))),
    )
    body = tag(
        "body",
        tag("div", sheet(subject._replace(links=True)), class_="scroll"),
        tag("h2", "The question"),
        tag("p", problem.blind().prompt, class_="asked"),
        tag("h2", "Every step that is drawn"),
        tag("ol", *_items(subject)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang=problem.language or 'en')}\n"


def _items(subject: Subject) -> Iterator[Markup]:
    graph = subject.graph
    drawn = [node for layer in subject.layout.layers for node in layer if node]
    answers = [node for node in drawn if graph.nodes[node].answers]
    inner = [node for node in drawn if not graph.nodes[node].answers]
    for node in sorted(inner, key=lambda i: subject.numbers.get(i, i)):
        record, place = graph.nodes[node], subject.numbers.get(node, node)
        # The wording that stands in the drawing comes first.
        order = sorted(range(len(record.wordings)), key=lambda i: (i != subject.wordings.get(node, 0), i))
        steps = [record.wordings[i] for i in order]
        name = steps[0].name if steps else ""
        texts = [
            tag("p", tag("b", f"{place}. {name}")),
            *(text for step in steps[:1] for text in _step(step)),
        ]
        if len(steps) > 1:
            more = [text for step in steps[1:] for text in (tag("p", tag("b", step.name)), *_step(step))]
            count = f"{len(steps) - 1} more wording{'s' * (len(steps) > 2)}"
            texts.append(tag("details", tag("summary", count), *more))
        facts = tag("p", node_facts(graph, node), class_="facts")
        kind = "dead" if graph.facts[node].d_e is None else "on"
        yield tag("li", *texts, facts, id=f"s{place}", class_=kind)
    for node in answers:
        right = graph.nodes[node].kind is NodeKind.RIGHT
        title = tag("p", tag("b", "✓ right answer" if right else "✗ wrong answer"))
        texts = [tag("p", answer) for answer in graph.nodes[node].answers]
        facts = tag("p", node_facts(graph, node), class_="facts")
        yield tag("li", title, *texts, facts, class_="right" if right else "wrong")


def _step(step: Step) -> list[Markup]:
    parts = [tag("p", step.thought)]
    if step.summary and step.summary != step.thought:
        parts.append(tag("p", step.summary))
    if step.reflection:
        parts.append(tag("p", step.reflection, class_="reflection"))
    return parts


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
