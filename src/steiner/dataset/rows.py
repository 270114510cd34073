"""Samples as rows of a Parquet file: what each worker process makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pydantic import TypeAdapter

from steiner.core import Problem, ReasoningPath, TokenSample
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.statistics import Tally
from steiner.dataset.tokenise import load_tokenizer, tokenise
from steiner.protocol import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        ("question", pa.string()),
        ("completion", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("completion_ids", pa.list_(pa.int32())),
        ("step_index", pa.list_(pa.int32())),
        ("node_ids", pa.list_(pa.string())),
        ("parents", pa.list_(pa.int32())),
        ("steps", pa.int32()),
        ("backtracks", pa.int32()),
        ("reasoning_tokens", pa.int32()),
        ("language", pa.string()),
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


def make_rows(chunk: Sequence[tuple[bytes, bytes]]) -> Rows:
    """Tokenise stored problems with their stored paths and keep what the budget allows."""
    assert _worker is not None, "start_worker comes first"
    settings, tokenizer = _worker
    items = [(Problem.model_validate_json(problem), _PATHS.validate_json(paths)) for problem, paths in chunk]
    tally = Tally(questions=len(items))
    rows = []
    for (problem, paths), samples in zip(
        items, tokenise(tokenizer, items, settings.system_prompt), strict=True
    ):
        for path, sample in zip(paths, samples, strict=True):
            reason = settings.budget.refuses(sample)
            if reason is not None:
                tally.drop(reason)
                continue
            tally.keep(problem, path, sample)
            rows.append(_row(problem, path, sample))
    return Rows(pa.RecordBatch.from_pylist(rows, SCHEMA), tally)


def _row(problem: Problem, path: ReasoningPath, sample: TokenSample) -> dict[str, object]:
    return {
        "problem_id": problem.id,
        "question": problem.question,
        "completion": render(path),
        "prompt_ids": sample.prompt_ids,
        "completion_ids": sample.completion_ids,
        "step_index": sample.step_index,
        "node_ids": path.nodes,
        "parents": path.parents,
        "steps": len(path.steps),
        "backtracks": path.backtracks,
        "reasoning_tokens": sample.reasoning_tokens,
        "language": problem.language,
    }
