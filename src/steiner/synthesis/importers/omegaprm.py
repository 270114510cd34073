"""Trees of rollouts with Monte-Carlo values, as OmegaPRM builds them: one tree a question.

Source: Luo et al. 2024 (arXiv 2406.06592) in the form that openreasoner/openr writes. The root is the
question; each node holds the text that was added to its parent's and the share of rollouts from there that
came to the right answer. Each way from the root to a leaf is a trace. A node's text is split into steps by
itself, so traces through one node share its steps; the values of the nodes are in the provenance, parallel to
the steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steiner.core import Problem, Provenance, Step, Trace, Verdict
from steiner.problems.layout import guess_grading
from steiner.synthesis.importers.attempts import Context, Row, file_source, in_a_row, is_right, is_text, row
from steiner.synthesis.importers.finals import reference_answer, separate_final, worded_answer
from steiner.synthesis.importers.jsonfile import read_objects, wrong_shape
from steiner.synthesis.importers.looks import LOOKS
from steiner.synthesis.importers.prose import split_prose
from steiner.synthesis.importers.sentences import without_fragment
from steiner.synthesis.importers.wording import make_step

EXPECTED = (
    "a tree of OmegaPRM: question, final_answer, and reasoning_steps, an object with text, mc_value (0 to "
    "1) and "
    "children, which are such objects again"
)


class _Node(NamedTuple):
    """A node of a tree that is laid out as a list, parents first."""

    text: str
    value: float | None
    children: tuple[int, ...]
    """Places in the list."""


class _Open(NamedTuple):
    """A node that is still to be visited."""

    node: _Node
    steps: tuple[Step, ...]
    """Steps of the nodes above, root first."""
    values: tuple[float | None, ...]
    """Value of the node of each of these steps."""


def read_trees(path: Path) -> Iterator[Row]:
    """Yield the row of each tree.

    Raises:
        InputError: names the place, what was expected and the keys that were found.
    """
    for place, record in read_objects(path, EXPECTED):
        detail = _complaint(record)
        if detail:
            others = {name: test for name, test in LOOKS.items() if name != "omegaprm"}
            raise wrong_shape(place, record, EXPECTED, others, detail)
        answer = reference_answer(str(record["final_answer"]))
        problem = Problem(
            question=record["question"].strip(),
            answer=answer,
            grading=guess_grading(answer),
            source=file_source("omegaprm", path),
        )
        yield row(place, problem, [[list(node) for node in _laid_out(record["reasoning_steps"])]])


def _complaint(record: Mapping[str, Any]) -> str:
    answer = record.get("final_answer")
    if not is_text(record.get("question")):
        return "It has no question"
    if isinstance(answer, bool) or not isinstance(answer, (str, int, float)) or not str(answer).strip():
        return "It has no final_answer"
    pending = [record.get("reasoning_steps")]
    while pending:
        node = pending.pop()
        if not isinstance(node, dict) or not isinstance(node.get("text"), str):
            return "A node of reasoning_steps has no text"
        children = node.get("children") or []
        if not isinstance(children, list):
            return "The children of a node of reasoning_steps are no list"
        pending += children
    return ""


def _laid_out(root: Mapping[str, Any]) -> list[_Node]:
    """Return the nodes of a tree of any depth as a list."""
    found: list[Mapping[str, Any]] = [root]
    nodes: list[_Node] = []
    for node in found:  # grows while it is read
        children = node.get("children") or []
        places = range(len(found), len(found) + len(children))
        nodes.append(_Node(node["text"], _value(node), tuple(places)))
        found += children
    return nodes


def _value(node: Mapping[str, Any]) -> float | None:
    value = node.get("mc_value")
    return float(value) if isinstance(value, (int, float)) else None


def rollout_traces(tree: Sequence[Sequence[Any]], context: Context) -> Iterator[Trace]:
    """Yield the trace of each way from the root to a leaf, in the order of the tree."""
    nodes = [_Node(text, value, tuple(children)) for text, value, children in tree]
    root = nodes[0]
    pending = [_Open(nodes[child], (), ()) for child in reversed(root.children)]
    while pending:
        here = pending.pop()
        if not here.node.children:
            yield _trace(here, root, context)
            continue
        passages = split_prose(here.node.text, context.prose)
        steps = here.steps + tuple(map(make_step, passages))
        values = here.values + (here.node.value,) * len(passages)
        pending += [_Open(nodes[child], steps, values) for child in reversed(here.node.children)]


def _trace(leaf: _Open, root: _Node, context: Context) -> Trace:
    problem, text = context.problem, leaf.node.text
    found = separate_final(text, problem)
    # A leaf without an answer is where the search cut the text in two, in mid-sentence at times.
    passages = split_prose(
        found.reasoning if found.answer else without_fragment(found.reasoning), context.prose
    )
    said = worded_answer(problem, found.answer) if found.answer else ""
    verdict = Verdict.UNFINISHED
    if said:
        verdict = Verdict.RIGHT if is_right(problem, said) else Verdict.WRONG
    return Trace(
        problem_id=problem.id,
        steps=in_a_row([*leaf.steps, *map(make_step, passages)]),
        answer=said,
        verdict=verdict,
        provenance=Provenance(
            teacher=context.source,
            method="import",
            details={
                "format": "omegaprm",
                "question_value": root.value,
                "values": [*leaf.values, *[leaf.node.value] * len(passages)],
            },
        ),
    )
