"""The text of a run, for whoever builds a tokenizer from it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import orjson

from steiner.core import Problem, ReasoningPath
from steiner.store import RunDir
from steiner.store.stage import stage_digest

SAMPLE = 200
"""Problems whose text is read by default: Countdown has used every word that it knows by then."""


def run_texts(run: RunDir, limit: int | None = SAMPLE) -> Iterator[str]:
    """Yield what a model trained on the run will read: questions, fields of steps, and answers.

    Args:
        run: holds the stages `problems` and `paths`.
        limit: most problems to read of each stage; None reads all.

    Raises:
        InputError: if one of the stages is missing or unfinished.
    """
    for stage in ("problems", "paths"):
        stage_digest(run, stage)
    for record in islice(run.journal.records("problems"), limit):
        yield Problem.model_validate_json(record.body).blind().prompt
    for record in islice(run.journal.records("paths"), limit):
        for path in map(ReasoningPath.model_validate, orjson.loads(record.body) or ()):
            for step in path.steps:
                yield from (step.name, step.thought, step.summary, step.reflection)
            yield path.answer
