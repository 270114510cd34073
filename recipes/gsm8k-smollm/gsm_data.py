"""What goes into the models: the split of the questions, and the words of their solutions.

GSM8K (Cobbe et al. 2021, arXiv 2110.14168) comes with `example_model_solutions.jsonl`, in which four models
answer each of its 1,319 test questions, right or wrong. Only these give graphs with dead ends, so some of
the test questions are trained on and others are measured: `split`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from steiner.core import InputError, Move, Problem, Step
from steiner.store import RunDir, atomic_write
from steiner.synthesis.importers.native import NativeLine, export_native

Row = dict[str, Any]
"""One question: `question`, `ground_truth` (the human solution), and one object for each who solved it."""

HUMAN = "human"
"""Name under which the human solution stands beside the models'."""
_EQUATION = re.compile(r"\$?[\d.(][\d\s.,%$+\-*/x×÷()]*=\s*-?\$?\s*[\d.,]*\d")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")


def read_rows(path: Path, solution: str) -> list[Row]:
    """Read questions with their human solutions from JSON Lines.

    Args:
        path: the file.
        solution: name of the column with the human solution.

    Returns:
        Rows with the columns `question`, `ground_truth` and whatever the file has beside them.

    Raises:
        InputError: if the file cannot be read, or a line has no such columns.
    """
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Give a file of GSM8K.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = orjson.loads(line)
            rows.append({**row, "question": row["question"].strip(), "ground_truth": row[solution].strip()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path}: line {number} is no question of GSM8K: expected an object with the texts "
                f"'question' and '{solution}'."
            ) from error
    return rows


def key_of(row: Row) -> str:
    """Return the hash of the normalised question."""
    return Problem(question=row["question"], answer="0").question_key


def split(rows: Sequence[Row], count: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Draw the test questions; return the rows to train on and one row for each test question.

    Args:
        rows: questions with solutions.
        count: distinct questions of the test set.
        seed: of the draw.

    Raises:
        InputError: if nothing would be left to train on.
    """
    by_key = {key_of(row): row for row in rows}
    if not 0 < count < len(by_key):
        raise InputError(f"{count} test questions cannot be drawn from {len(by_key)}: some must be left.")
    drawn = set(random.Random(f"{seed}:gsm8k-smollm:test").sample(sorted(by_key), count))
    return [row for row in rows if key_of(row) not in drawn], [by_key[key] for key in sorted(drawn)]


def with_human(row: Row, *, alone: bool = False) -> Row:
    """Return a row in which the human solution stands beside the models', or alone."""
    models = {} if alone else {name: value for name, value in row.items() if isinstance(value, dict)}
    human = {"is_correct": True, "solution": row["ground_truth"]}
    return {"question": row["question"], "ground_truth": row["ground_truth"], **models, HUMAN: human}


class Files(NamedTuple):
    """The questions as files for `steiner import --format chat`."""

    solutions: Path
    """To train on: four models' solutions and the human one, which branch."""
    straight: Path
    """To train on: GSM8K's training questions with the human solution alone."""
    test: Path
    """To measure: with the human solution alone."""


def write_files(
    folder: Path, solutions: Sequence[Row], train: Sequence[Row], *, test: int, straight: int, seed: int
) -> Files:
    """Split the questions and write the three files; the same arguments write the same bytes.

    Args:
        folder: where to; made if missing.
        solutions: questions with models' solutions.
        train: questions with the human solution alone.
        test: questions to measure on.
        straight: of `train`, how many are taken, drawn by the seed.
        seed: of both draws.
    """
    files = Files(*(folder / f"{name}.jsonl" for name in Files._fields))
    branching, measured = split(solutions, test, seed)
    taken = {key_of(row) for row in (*branching, *measured)}
    others = [row for row in train if key_of(row) not in taken]
    drawn = random.Random(f"{seed}:gsm8k-smollm:straight").sample(others, min(straight, len(others)))
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(files.solutions, map(with_human, branching))
    write_lines(files.straight, (with_human(row, alone=True) for row in drawn))
    write_lines(files.test, (with_human(row, alone=True) for row in measured))
    return files


def write_lines(path: Path, rows: Iterable[Row]) -> None:
    """Write JSON Lines, wholly or not at all."""
    with atomic_write(path) as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")


def terse(step: Step) -> Step:
    """Return a step whose summary is the last equation of its thought, if it has one.

    Imported solutions have one sentence a step, which would stand there twice; half the tokens do.
    """
    found = _EQUATION.findall(step.thought)
    return step.model_copy(update={"summary": found[-1].strip()}) if found else step


def write_terse(source: Path, target: Path) -> None:
    """Write a run's problems and traces in the native format, all steps made terse."""
    full = target.with_name(f"{target.name}.full")
    with RunDir(source, read_only=True) as run:
        export_native(run, full)
    with full.open("rb") as lines, atomic_write(target) as file:
        for line in lines:
            file.write(_terse_line(NativeLine.model_validate_json(line)).model_dump_json().encode() + b"\n")
    full.unlink()


def _terse_line(line: NativeLine) -> NativeLine:
    traces = (
        trace.model_copy(
            update={"steps": tuple(one.model_copy(update={"step": terse(one.step)}) for one in trace.steps)}
        )
        for trace in line.traces
    )
    return line.model_copy(update={"traces": tuple(traces)})


def numbers(text: str) -> frozenset[Fraction]:
    """Return the numbers of a text without their signs: `$1,200.50` is 1200.5, `-3` is 3."""
    return frozenset(Fraction(found.replace(",", "")) for found in _NUMBER.findall(text))


def result_of(step: Step) -> Fraction | None:
    """Return the number that a step comes to: the first after its last `=`, else its last; None without."""
    thought = step.thought
    after = _NUMBER.findall(thought.rpartition("=")[2]) if "=" in thought else []
    found = after[:1] or _NUMBER.findall(thought)[-1:]
    return Fraction(found[0].replace(",", "")) if found else None


def known_numbers(rows: Iterable[Row]) -> dict[str, frozenset[Fraction]]:
    """Return by the question's key the numbers of each question and its human solution."""
    return {key_of(row): numbers(f"{row['question']}\n{row['ground_truth']}") for row in rows}


def is_dead(step: Step, known: Collection[Fraction]) -> bool:
    """Tell whether a step comes to a number that neither the question nor the human solution has."""
    result = result_of(step)
    return result is not None and result not in known


class Leaving(NamedTuple):
    """How often the steps before each kind of move were dead."""

    backtracks: int
    dead_left: int
    """Backtracks right after a dead step."""
    proceeds: int
    dead_kept: int
    """Proceeds right after a dead step."""


def leaving(
    paths: Iterable[tuple[Sequence[Step], Sequence[Move], Collection[Fraction]]],
) -> Leaving:
    """Count moves by whether the step before them is dead.

    Args:
        paths: steps, the moves between them, and the known numbers of the question.
    """
    count = {(move, dead): 0 for move in Move for dead in (True, False)}
    for steps, moves, known in paths:
        for step, move in zip(steps, moves, strict=False):
            count[move, is_dead(step, known)] += 1
    back, on = Move.BACKTRACK, Move.PROCEED
    return Leaving(
        count[back, True] + count[back, False],
        count[back, True],
        count[on, True] + count[on, False],
        count[on, True],
    )


def sampled_paths(
    run: Path, known: Mapping[str, frozenset[Fraction]]
) -> Iterator[tuple[tuple[Step, ...], tuple[Move, ...], frozenset[Fraction]]]:
    """Yield steps, moves and known numbers of each path that was sampled in a run."""
    from pydantic import TypeAdapter

    from steiner.core import ReasoningPath
    from steiner.problems.source import read_problems

    listed = TypeAdapter(list[ReasoningPath])
    with RunDir(run, read_only=True) as opened:
        keys = {problem.id: problem.question_key for problem in read_problems(opened)}
        for record in opened.journal.records("paths"):
            for path in listed.validate_json(record.body):
                yield path.steps, path.moves, known[keys[record.key]]
