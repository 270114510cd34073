"""`steiner graph show`: one question's step graph in the terminal, and as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from steiner.cli.graph_find import Found
    from steiner.core import ReasoningPath, StepGraph
    from steiner.evaluate.drawing.layers import Layout
    from steiner.store import RunDir

EXAMPLES = """\b
Examples:
  steiner graph show --run runs/mmlu-pro
  steiner graph show 18 --run runs/mmlu-pro
  steiner graph show "net cost of a tape recorder" --run runs/mmlu-pro --output recorder.svg
  steiner graph show 3f2a --run runs/mmlu-pro --path 2 --output graph.html
"""
WIDEST = 120
"""Cells of the terminal that are used at most."""
LEFT_OUT = "fewer traces pass through them, or they cannot be reached (--nodes shows more)."


class View(NamedTuple):
    """What is shown of a question."""

    found: Found
    graph: StepGraph
    layout: Layout
    path: ReasoningPath | None
    path_title: str

    @property
    def shown(self) -> set[int]:
        """Indices of the nodes that are shown."""
        return {node for layer in self.layout.layers for node in layer}


def show(
    run: Annotated[Path, typer.Option(help="Run directory with step graphs.")],
    question: Annotated[
        str | None,
        typer.Argument(
            help="Number in the run, problem id or the beginning of it, or a part of the question's text. "
            "Without it all questions are listed."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Also write a drawing: .svg, or .html with all texts below it.")
    ] = None,
    path: Annotated[
        int | None, typer.Option(min=1, help="Draw the question's sampled path of this number over it.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=2, help="Show at most so many nodes, the most travelled.")] = 300,
) -> None:
    """Print one question's step graph as a tree; write it as a self-contained SVG or HTML drawing.

    In the tree every step stands once, under the step from which most traces came; the numbers after → are
    its other ways on. × marks dead ends: the right answer cannot be reached from there.
    """
    from steiner.cli.graph_find import find_question
    from steiner.core import InputError
    from steiner.evaluate.drawing.layers import lay_out
    from steiner.store import RunDir
    from steiner.store.stage import stage_digest

    if output is not None and output.suffix.lower() not in (".svg", ".html"):
        raise InputError(f"--output {output}: the name must end in .svg or .html.")
    with RunDir(run, read_only=True) as held:
        stage_digest(held, "graphs")
        if question is None:
            _list(held)
            return
        found = find_question(held, question)
        graph = _graph(held, found)
        over = None if path is None else _path(held, found, path)
    layout = lay_out(graph, _visited(graph, over), nodes, len(graph.nodes))
    title = "" if over is None else f"path {path}: {len(over.steps)} steps, {over.backtracks} backtracks"
    view = View(found, graph, layout, over, title)
    if output is not None:
        _draw(view, output)
    _print(view)


def _list(run: RunDir) -> None:
    from steiner.cli.graph_find import excerpt, questions

    for number, problem in questions(run):
        typer.echo(f"{number:>6}  {problem.id}  {excerpt(problem.question, 54)}")


def _graph(run: RunDir, found: Found) -> StepGraph:
    from steiner.core import InputError
    from steiner.graph.join import parse_graph

    record = run.journal.get("graphs", found.problem.id)
    if record is None:
        raise InputError(f"Question {found.number} ({found.problem.id}) has no step graph in {run.path}.")
    return parse_graph(record.key, record.body)


def _path(run: RunDir, found: Found, number: int) -> ReasoningPath:
    """Return the question's sampled path of a number, from 1.

    Raises:
        InputError: if there are no paths yet, or fewer.
    """
    from pydantic import TypeAdapter

    from steiner.core import InputError, ReasoningPath

    record = run.journal.get("paths", found.problem.id)
    if record is None:
        raise InputError(f"{run.path} holds no sampled paths of this question: run `steiner sample` first.")
    paths = TypeAdapter(list[ReasoningPath]).validate_json(record.body)
    if number > len(paths):
        raise InputError(f"--path {number}: question {found.number} has {len(paths)} sampled paths.")
    return paths[number - 1]


def _visited(graph: StepGraph, path: ReasoningPath | None) -> list[int]:
    """Return the nodes that a path visits, as far as they can be reached from the question."""
    nodes = [graph.index_of[node] for node in (path.nodes if path else ()) if node in graph.index_of]
    return [node for node in nodes if graph.facts[node].d_s is not None]


def _print(view: View) -> None:
    from rich.text import Text

    from steiner.cli.graph_tree import ASCII, tree_lines
    from steiner.cli.ui import out

    width = max(60, min(out.width, WIDEST))
    lines = [*_heading(view, width), Text("")]
    lines += tree_lines(view.graph, view.shown, width=width, path=view.path)
    if view.layout.left_out:
        lines.append(Text(f"{view.layout.left_out:,} nodes are left out: {LEFT_OUT}"))
    plain = not (out.encoding or "").lower().startswith("utf")
    for line in lines:
        if plain:
            line.plain = line.plain.translate(ASCII)
        out.print(line, soft_wrap=True)


def _heading(view: View, width: int) -> list[Text]:
    from rich.console import Console
    from rich.text import Text

    from steiner.cli.graph_find import excerpt
    from steiner.graph.statistics import statistics

    facts, found = statistics(view.graph), view.found
    routes = (
        f"{facts.routes:,}" if facts.routes < 10**9 else f"about 10^{facts.routes.bit_length() * 0.30103:.0f}"
    )
    numbers = [
        f"question {found.number}",
        found.problem.id,
        f"{facts.traces:,} traces, {view.graph.nodes[0].right:,} right",
        f"{facts.nodes:,} steps, {facts.shared:,} shared, {facts.dead_ends:,} dead ends",
        f"{routes} routes",
        *([view.path_title] if view.path_title else []),
    ]
    console = Console(width=width)
    return [
        *Text(excerpt(found.problem.question, 3 * width - 20), "bold").wrap(console, width),
        *Text(" · ".join(numbers), "bright_black").wrap(console, width),
    ]


def _draw(view: View, output: Path) -> None:
    from steiner.cli.graph_tree import spanning_tree
    from steiner.cli.ui import err
    from steiner.evaluate.drawing.sheet import Subject, sheet_file
    from steiner.evaluate.drawing.sheet_page import sheet_page
    from steiner.store import atomic_write, disk_errors

    tree = spanning_tree(view.graph, view.shown)
    subject = Subject(
        view.found.problem, view.graph, view.layout, tree.number, tree.wording, view.path, view.path_title
    )
    text = sheet_file(subject) if output.suffix.lower() == ".svg" else sheet_page(subject)
    with disk_errors("The drawing", output), atomic_write(output) as file:
        file.write(text.encode())
    err.print(f"Drawing written to {output}", soft_wrap=True)
