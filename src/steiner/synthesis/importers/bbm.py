"""Traces of BIG-Bench-Mistake: steps, an answer, and the index of the first wrong step.

Source: WHGTyen/BIG-Bench-Mistake (Tyen et al. 2023, arXiv 2311.08516); five tasks, one file each: word
sorting, tracking shuffled objects, logical deduction, multistep arithmetic, Dyck languages. All steps are
kept in the order they were written; `wrong_step` in the provenance says where the first mistake is (from 0;
None: there is none).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from steiner.core import Grading, Problem, Provenance, Trace, Verdict
from steiner.problems.choice import chosen_letter, reference_letter
from steiner.problems.layout import guess_grading
from steiner.synthesis.importers.attempts import (
    Context,
    Row,
    file_source,
    in_a_row,
    is_right,
    is_text,
    row,
    step_of,
)
from steiner.synthesis.importers.finals import worded_answer
from steiner.synthesis.importers.jsonfile import read_objects, wrong_shape
from steiner.synthesis.importers.looks import LOOKS

EXPECTED = (
    "a trace of BIG-Bench-Mistake: input, steps (a list of texts), answer, target, and mistake_index (a "
    "step's number "
    "from 0, or null)"
)
_OPTIONS = re.compile(r"\s*\n\s*Options:\s*\n(?=\s*\(A\))")
_OPTION = re.compile(r"^\s*\(([A-Z])\)\s*(.+?)\s*$", re.MULTILINE)
_LAST = re.compile(
    r"(?:\s*(?:So|Therefore,?|Thus,?|Hence,?)?\s*the (?:final )?answer is:?\s.*)$", re.I | re.DOTALL
)
"""The end of the last step, which states the answer."""


class _Asked(NamedTuple):
    text: str
    choices: tuple[str, ...]


def read_mistakes(path: Path) -> Iterator[Row]:
    """Yield the row of each trace.

    Raises:
        InputError: names the place, what was expected and the keys that were found.
    """
    for place, record in read_objects(path, EXPECTED):
        detail = _complaint(record)
        if detail:
            others = {name: test for name, test in LOOKS.items() if name != "bbm"}
            raise wrong_shape(place, record, EXPECTED, others, detail)
        yield row(place, _problem(record, file_source("bbm", path)), [_attempt(record)])


def _complaint(record: Mapping[str, Any]) -> str:
    steps, index = record.get("steps"), record.get("mistake_index")
    if not is_text(record.get("input")):
        return "It has no input"
    if not is_text(record.get("target")):
        return "It has no target"
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        return "It has no steps that are texts"
    if "mistake_index" not in record or isinstance(index, bool) or not isinstance(index, int | None):
        return "It has no mistake_index"
    if index is not None and not 0 <= index < len(steps):
        return f"Its mistake_index {index} is no number of its {len(steps)} steps"
    return ""


def _asked(text: str) -> _Asked:
    """Separate the options, each of a line that begins with its letter, from the question."""
    parts = _OPTIONS.split(text, maxsplit=1)
    found = _OPTION.findall(parts[1]) if len(parts) == 2 else []
    if [letter for letter, _ in found] != [chr(ord("A") + index) for index in range(len(found))]:
        found = []
    return (
        _Asked(parts[0].strip(), tuple(option for _, option in found)) if found else _Asked(text.strip(), ())
    )


def _problem(record: Mapping[str, Any], source: str) -> Problem:
    asked, target = _asked(record["input"]), record["target"].strip()
    grading = guess_grading(target, asked.choices)
    return Problem(
        question=asked.text,
        answer=reference_letter(target) if grading is Grading.CHOICE else target,
        grading=grading,
        choices=asked.choices,
        source=source,
    )


def _attempt(record: Mapping[str, Any]) -> dict[str, Any]:
    answer = record.get("answer")
    return {
        "steps": record["steps"],
        "answer": "" if answer is None else str(answer).strip(),
        "wrong_step": record["mistake_index"],
    }


def mistake_traces(attempt: Mapping[str, Any], context: Context) -> Iterator[Trace]:
    """Yield the one trace of a record; the steps' numbers stay those of the record."""
    problem, texts = context.problem, list(attempt["steps"])
    if texts:
        texts[-1] = _LAST.sub("", texts[-1]).strip() or texts[-1]
    answer = attempt["answer"]
    if problem.grading is Grading.CHOICE:
        answer = chosen_letter(answer, problem.choices) or answer
    said = worded_answer(problem, answer) if answer else ""
    verdict = Verdict.UNFINISHED
    if said:
        verdict = Verdict.RIGHT if is_right(problem, answer) else Verdict.WRONG
    details = {"format": "bbm", "wrong_step": attempt["wrong_step"]}
    yield Trace(
        problem_id=problem.id,
        steps=in_a_row([step_of(text) for text in texts]),
        answer=said,
        verdict=verdict,
        provenance=Provenance(teacher=context.source, method="import", details=details),
    )
