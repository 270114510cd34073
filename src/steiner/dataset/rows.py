"""Samples as rows of a Parquet file: what each worker process makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pydantic import TypeAdapter

from steiner.core import InputError, Problem, ReasoningPath, StepGraph, TokenSample
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.shards import StoredQuestion
from steiner.dataset.statistics import Tally
from steiner.dataset.tokenise import load_tokenizer, tokenise
from steiner.protocol import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        ("question", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("completion_ids", pa.list_(pa.int32())),
        ("step_index", pa.list_(pa.int32())),
        ("node_ids", pa.list_(pa.string())),
        ("parents", pa.list_(pa.int32())),
        ("dead_ends", pa.list_(pa.bool_())),
        ("steps", pa.int32()),
        ("backtracks", pa.int32()),
        ("reasoning_tokens", pa.int32()),
        ("language", pa.string()),
        ("family", pa.string()),
    ]
)

_PATHS = TypeAdapter(list[ReasoningPath])


class Rows(NamedTuple):
    """The rows of some problems, in order, and what they count."""

    batch: pa.RecordBatch
    tally: Tally


class _Worker(NamedTuple):
    settings: DatasetSettings
    tokenizer: PreTrainedTokenizerBase


_worker: _Worker | None = None


def start_worker(settings: DatasetSettings) -> None:
    """Load the tokenizer once in this process."""
    global _worker
    _worker = _Worker(settings, load_tokenizer(settings.tokenizer))


def make_rows(chunk: Sequence[StoredQuestion]) -> Rows:
    """Tokenise stored problems with their stored paths and keep what the budget allows.

    Raises:
        InputError: if a graph is not the one that the paths were sampled from.
    """
    assert _worker is not None, "start_worker comes first"
    settings, tokenizer = _worker
    items = [(Problem.model_validate_json(one.problem), _PATHS.validate_json(one.paths)) for one in chunk]
    tally = Tally(questions=len(items))
    rows = []
    for stored, (problem, paths), samples in zip(
        chunk, items, tokenise(tokenizer, items, settings.system_prompt), strict=True
    ):
        graph = StepGraph.model_validate_json(stored.graph) if stored.graph else None
        for path, sample in zip(paths, samples, strict=True):
            reason = settings.budget.refuses(sample)
            if reason is not None:
                tally.drop(reason)
                continue
            tally.keep(problem, path, sample)
            rows.append(_row(problem, path, sample, dead_ends(path, graph)))
    return Rows(pa.RecordBatch.from_pylist(rows, SCHEMA), tally)


def dead_ends(path: ReasoningPath, graph: StepGraph | None) -> list[bool]:
    """Return for each step whether the right answer is out of reach from where it leads.

    The graph knows. Without one, a step counts as a dead end if the path that reaches the answer does not
    continue it; where neither graph nor parents are known, none does.

    Raises:
        InputError: if the graph lacks a node of the path.
    """
    if graph is not None and path.nodes:
        if missing := [node for node in path.nodes if node not in graph.index_of]:
            raise InputError(
                f"The graph of problem {path.problem_id} has no node {missing[0]}, which a path visits: the "
                "graphs were made anew after the paths. Run `steiner sample` again."
            )
        return [graph.facts[graph.index_of[node]].d_e is None for node in path.nodes]
    if not path.parents:
        return [False] * len(path.steps)
    on_way = set()
    at = len(path.steps) - 1
    while at >= 0:
        on_way.add(at)
        at = path.parents[at]
    return [index not in on_way for index in range(len(path.steps))]


def _row(
    problem: Problem, path: ReasoningPath, sample: TokenSample, dead: Sequence[bool]
) -> dict[str, object]:
    return {
        "problem_id": problem.id,
        "question": problem.question,
        "prompt": problem.blind().prompt,
        "completion": render(path),
        "prompt_ids": sample.prompt_ids,
        "completion_ids": sample.completion_ids,
        "step_index": sample.step_index,
        "node_ids": path.nodes,
        "parents": path.parents,
        "dead_ends": dead,
        "steps": len(path.steps),
        "backtracks": path.backtracks,
        "reasoning_tokens": sample.reasoning_tokens,
        "language": problem.language,
        "family": problem.task or problem.source,
    }
