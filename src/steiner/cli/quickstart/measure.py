"""Evaluate a model of a quickstart once, and keep the samples in the run's journal."""

from __future__ import annotations

import time

import orjson
from pydantic import TypeAdapter

from steiner.cli.common import is_right
from steiner.cli.quickstart.clock import cpu_seconds
from steiner.cli.quickstart.plan import Plan, max_reasoning_tokens
from steiner.core import Problem, Progress, ReasoningPath, Record
from steiner.evaluate import SampleResult
from steiner.evaluate.anytime import Engine
from steiner.evaluate.run import evaluate
from steiner.store import RunDir, StoredRecord

STAGE = "evaluation"


class Evaluation(Record):
    """All samples of one model, and the paths that it wrote under the largest limit."""

    name: str
    title: str
    model: str
    """Digest of the model's files: another model of the same name is measured anew."""
    samples: tuple[SampleResult, ...]
    paths: tuple[ReasoningPath | None, ...]
    """Parallel to the problems; None where the output was no path."""
    seconds: float
    cpu_seconds: float


_EVALUATION = TypeAdapter(Evaluation)


def stored(run: RunDir, name: str, model: str) -> Evaluation | None:
    """Return an evaluation of this very model that an earlier call finished."""
    record = run.journal.get(STAGE, name)
    if record is None:
        return None
    evaluation = _EVALUATION.validate_json(record.body)
    return evaluation if evaluation.model == model else None


def measure(
    run: RunDir,
    name: str,
    title: str,
    model: str,
    engine: Engine,
    problems: list[Problem],
    plan: Plan,
    progress: Progress,
) -> Evaluation:
    """Evaluate under every limit of the plan and store the outcome."""
    wall, cpu = time.monotonic(), cpu_seconds()
    progress.start(f"evaluating: {title}", len(problems))
    samples, whole = evaluate(
        engine,
        problems,
        plan.limits,
        is_right,
        max_reasoning_tokens=max_reasoning_tokens(plan),
        progress=progress,
    )
    progress.finish()
    evaluation = Evaluation(
        name=name,
        title=title,
        model=model,
        samples=tuple(samples),
        paths=tuple(one.parsed.path for one in whole),
        seconds=time.monotonic() - wall,
        cpu_seconds=cpu_seconds() - cpu,
    )
    body = orjson.dumps(evaluation.model_dump(mode="json"))
    run.journal.put(STAGE, [StoredRecord(name, len(run.journal.keys(STAGE)), body)])
    return evaluation
