"""Runs with arithmetic questions, and the command that the tests kill: `python llm_runs.py RUN BASE_URL`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import orjson

from steiner.core import Problem, Progress, Settings, Trace
from steiner.store import RunDir, Stage, StoredRecord
from steiner.synthesis.accounts import ACCOUNTS, LlmReport, QuestionAccounts
from steiner.synthesis.llm_stage import LlmRun, LlmSynthesisSettings, synthesise_with_llm
from steiner.synthesis.money import Budget
from steiner.synthesis.outcome import SynthesisYield
from steiner.teacher.chat.client import ClientLimits
from steiner.teacher.chat.types import Endpoint
from steiner.teacher.llm.teacher import LlmSettings
from steiner.teacher.llm.templates import load_prompts
from steiner.testing import arithmetic_problems

KEY = "sk-secret-that-must-show-up-nowhere-7391"
SETTINGS = LlmSynthesisSettings(drafts=2, truncations=3, teacher=LlmSettings(seed=0))
LIMITS = ClientLimits(
    concurrency=16, start_concurrency=8, backoff_seconds=0.005, longest_backoff_seconds=0.05, total_timeout=20
)


class Source(Settings):
    count: int


def put_problems(run: RunDir, problems: list[Problem]) -> None:
    stage = Stage(run, "problems", Source(count=len(problems)), force=True)
    stage.put(StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(problems))
    stage.finish({})


def make_run(path: Path, count: int) -> Path:
    """Make a run directory with questions and nothing else."""
    with RunDir(path) as run:
        put_problems(run, arithmetic_problems(count, chinese=0.2))
    return path


def synthesise_at(
    path: Path,
    base_url: str,
    *,
    settings: LlmSynthesisSettings = SETTINGS,
    limits: ClientLimits = LIMITS,
    budget: Budget | None = None,
    force: bool = False,
    retry_failed: bool = False,
    progress: Progress | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> tuple[SynthesisYield, LlmReport]:
    """Run the stage as the command does."""
    given = LlmRun(
        settings, Endpoint(model="m", base_url=base_url, key_env="STEINER_TEST_KEY"), limits,
        budget or Budget(), load_prompts(),
    )  # fmt: skip
    with RunDir(path) as run:
        return synthesise_with_llm(
            run, given, force=force, retry_failed=retry_failed, progress=progress, notice=notice
        )


def traces(path: Path) -> dict[str, list[Trace]]:
    """Return the traces of each problem."""
    with RunDir(path, read_only=True) as run:
        records = list(run.journal.records("traces"))
    return {r.key: [Trace.model_validate(t) for t in orjson.loads(r.body)] for r in records}


def accounts(path: Path) -> dict[str, QuestionAccounts]:
    """Return the accounts of each problem."""
    with RunDir(path, read_only=True) as run:
        return {r.key: QuestionAccounts.model_validate_json(r.body) for r in run.journal.records(ACCOUNTS)}


def summary(report: LlmReport) -> dict[str, Any]:
    """Return a report as plain values."""
    return report._asdict() | {"stopped": repr(report.stopped)}


def main() -> None:
    """Synthesise, print the report as JSON, and end as the command would."""
    os.environ.setdefault("STEINER_TEST_KEY", KEY)
    _, report = synthesise_at(Path(sys.argv[1]), sys.argv[2], notice=lambda text: _say(sys.stderr, text))
    _say(sys.stdout, orjson.dumps(summary(report)).decode())
    if report.stopped is not None:
        raise report.stopped


def _say(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
