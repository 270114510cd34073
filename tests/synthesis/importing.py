"""What the tests of imports share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from steiner.core import Problem, Trace
from steiner.store import RunDir
from steiner.synthesis.importers import ImportReport, ImportSettings, import_traces

_TRACES = TypeAdapter(list[Trace])


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def run_import(run: Path, files: list[Path], settings: ImportSettings, **options: Any) -> ImportReport:
    with RunDir(run) as directory:
        return import_traces(directory, settings, files, **options)


def imported(run: Path) -> list[tuple[Problem, list[Trace]]]:
    with RunDir(run, read_only=True) as directory:
        problems = {r.key: Problem.model_validate_json(r.body) for r in directory.journal.records("problems")}
        return [(problems[r.key], _TRACES.validate_json(r.body)) for r in directory.journal.records("traces")]


def bodies(run: Path) -> list[bytes]:
    with RunDir(run, read_only=True) as directory:
        return [r.body for stage in ("problems", "traces") for r in directory.journal.records(stage)]


def import_records(
    folder: Path, name: str, records: list[Any], **settings: Any
) -> list[tuple[Problem, list[Trace]]]:
    """Import records from one file `log.jsonl` and return what became of them."""
    file = write_lines(folder / "log.jsonl", records)
    run_import(folder / "run", [file], ImportSettings(format=name, **settings))
    return imported(folder / "run")


def thoughts(trace: Trace) -> list[str]:
    return [item.step.thought for item in trace.steps]


def parents(trace: Trace) -> list[int]:
    return [item.parent for item in trace.steps]
