"""Set (b): GSM8K questions solved five times. Truth: the number that a step's calculator annotation gives.

The solutions carry `<<16-3=13>>` behind each computation. The annotation is the truth and is taken out of
the text, so the clustering has to read «16 - 3 = 13 eggs left» itself. Of several on a line the last counts.
Lines without any are clustered but not judged.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from clustering_sets.case import Case, case_of

_NOTE = re.compile(r"<<[^<>]*?=?\s*([^<>=]*)>>")
_SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def gsm8k_cases(folder: Path, questions: int) -> tuple[list[Case], list[Case]]:
    """Return as many questions for tuning as for reporting, the first `questions` of the file in all."""
    halves: tuple[list[Case], list[Case]] = ([], [])
    lines = (folder / "example_model_solutions.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[:questions]):
        halves[number % 2].append(_case(json.loads(line)))
    return halves


def _case(row: dict[str, object]) -> Case:
    solutions = [str(row["ground_truth"]), *(str(row[name]["solution"]) for name in _SOLVERS)]  # type: ignore[index]
    rows: list[list[str]] = []
    truth: list[list[str | None]] = []
    for solution in solutions:
        body, _, _ = solution.partition("\nA: ")
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        rows.append([_NOTE.sub("", line) for line in lines])
        truth.append([_reached(line) for line in lines])
    return case_of(str(row["question"]), solutions[0].rpartition("A: ")[2].strip() or "?", rows, truth)


def _reached(line: str) -> str | None:
    notes = _NOTE.findall(line)
    try:
        return f"{float(notes[-1].replace(',', '').strip('$ ')):.6g}" if notes else None
    except ValueError:
        return None
