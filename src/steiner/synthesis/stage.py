"""The `traces` stage: from each problem of a run to the traces a teacher writes for it."""

from __future__ import annotations

import functools
import random

from pydantic import TypeAdapter

from steiner.core import InputError, Problem, Progress, Trace
from steiner.problems.grading import grade
from steiner.store import RunDir, Stage, StageReport, StoredRecord, run_stage
from steiner.store.stage import stage_digest
from steiner.synthesis.outcome import SynthesisYield
from steiner.synthesis.pipeline import synthesise
from steiner.synthesis.settings import SynthesisSettings
from steiner.teacher import Teacher, make_teacher

PROBLEMS = "problems"
"""The stage that is read."""
TRACES = "traces"
"""The stage that is written: a list of `Trace` per problem."""

_TRACES = TypeAdapter(list[Trace])


def synthesise_run(
    run: RunDir,
    settings: SynthesisSettings,
    *,
    workers: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[SynthesisYield, StageReport]:
    """Write the traces of all problems of a run, going on where an earlier call stopped.

    Args:
        run: the run directory, open for writing.
        settings: what decides the traces.
        workers: processes to use; the outcome does not depend on it.
        force: discard traces that were made with other settings or from other problems.
        progress: told how many problems are done.

    Returns:
        What came of all problems, those of earlier calls included; and what this call did.

    Raises:
        InputError: if the run has no problems, or the teacher cannot write steps for one of them.
        ResumeError: if the run holds traces of other settings or problems.
    """
    teacher = make_teacher(settings.teacher, settings.temperature)
    inputs = {PROBLEMS: stage_digest(run, PROBLEMS)}
    if not run.journal.count(PROBLEMS):
        raise InputError(f"{run.path} holds no problems: make some with `steiner problems` first.")
    stage = Stage(run, TRACES, settings, inputs, force=force)
    work = functools.partial(_work, teacher, settings)
    report = run_stage(stage, PROBLEMS, work, workers=workers, progress=progress)
    if stage.is_complete:
        return SynthesisYield.model_validate(stage.summary), report
    total = SynthesisYield()
    for record in run.journal.records(TRACES):
        total += SynthesisYield.of(_TRACES.validate_json(record.body), settings)
    stage.finish(total.model_dump())
    return total, report


def _work(teacher: Teacher, settings: SynthesisSettings, record: StoredRecord) -> bytes:
    problem = Problem.model_validate_json(record.body)
    rng = random.Random(f"{settings.seed}:{problem.id}:traces")
    return _TRACES.dump_json(synthesise(problem, teacher, is_right, settings, rng))


def is_right(problem: Problem, answer: str) -> bool:
    """Grade an answer by the problem's grader."""
    return grade(problem, answer).right
