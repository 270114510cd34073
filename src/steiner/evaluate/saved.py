"""Evaluations as files, so that models measured on different days can be compared question by question."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from steiner.core import SCHEMA_VERSION, InputError, Move, Record, Step, StepBudget
from steiner.evaluate.metrics import compare
from steiner.evaluate.records import Comparison, CurvePoint, LanguageResult, SampleResult
from steiner.protocol.history import HistoryPolicy
from steiner.store import atomic_write


class AskedQuestion(Record):
    """A question as the model was asked; both texts are empty where they must not be stored."""

    problem_id: str
    prompt: str = ""
    reference: str = ""


class WrittenPath(Record):
    """What a model wrote for a question, as far as its steps can be told apart."""

    problem_id: str
    steps: tuple[Step, ...] = ()
    moves: tuple[Move, ...] = ()
    """`moves[i]` stands between `steps[i]` and `steps[i + 1]`."""
    text: str = ""
    """Reasoning without steps."""


class Circumstances(Record):
    """Where numbers come from; empty where it is not known."""

    created: str = ""
    """ISO 8601 with time zone."""
    command: str = ""
    commit: str = ""
    machine: str = ""


class SavedEvaluation(Record):
    """One model on the problems of one run directory, with everything that was measured."""

    schema_version: int = SCHEMA_VERSION
    model: str
    """Folder or hub id, as it was given."""
    run: str
    """Run directory of the problems, as it was given."""
    stage: str
    """Stage of the run's journal that held the problems."""
    temperature: float
    seed: int
    max_reasoning_tokens: int | None
    other_limits: StepBudget = StepBudget()
    """What was asked for beside the step limits and `max_reasoning_tokens`."""
    system: str = ""
    """System prompt."""
    turns: int = Field(default=1, ge=1)
    """Each problem was the last of so many turns of a conversation."""
    history: HistoryPolicy | None = None
    """What earlier answers carried; None where there were none."""
    seconds: float = Field(ge=0)
    """Wall-clock seconds of generating and grading, loading excluded."""
    curve: tuple[CurvePoint, ...]
    """One point per step limit, in rising order."""
    samples: tuple[SampleResult, ...]
    """One sample per limit and problem."""
    languages: tuple[LanguageResult, ...] = ()
    """Under the largest limit, by the language of the questions; empty in files of earlier versions."""
    questions: tuple[AskedQuestion, ...] = ()
    """Each once; empty in files of earlier versions."""
    written: tuple[WrittenPath, ...] = ()
    """Parallel to the samples under the largest limit; those under a smaller one took the first of these
    steps. Empty if the text was not kept."""
    circumstances: Circumstances = Circumstances()


def save(evaluation: SavedEvaluation, path: Path) -> None:
    """Write an evaluation as JSON, wholly or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    with atomic_write(path) as file:
        file.write(evaluation.model_dump_json(indent=1).encode())


def load(path: Path) -> SavedEvaluation:
    """Read what `save` wrote.

    Raises:
        InputError: if the file cannot be read or holds no evaluation.
    """
    try:
        evaluation = SavedEvaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"The evaluation {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} was not written by `steiner evaluate --output`: {place or 'the file'}: {first['msg']}."
        ) from error
    if evaluation.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {evaluation.schema_version}, this steiner reads {SCHEMA_VERSION}: "
            "evaluate that model again."
        )
    return evaluation


def shared_limit(before: SavedEvaluation, limits: set[int], problems: set[str]) -> int:
    """Return the largest step limit under which an evaluation answered exactly these problems.

    Args:
        before: the evaluation to compare with.
        limits: step limits of the other one.
        problems: ids of the problems of the other one.

    Raises:
        InputError: if there is no such limit; the message says whether problems or limits differ.
    """
    known = {sample.problem_id for sample in before.samples}
    if known != problems:
        raise InputError(
            f"The evaluation of {before.model} answered {len(known):,} problems, this one is about "
            f"{len(problems):,}, {len(known & problems):,} of them the same: evaluate both on the same "
            "problems, with the same --run, --stage and --n."
        )
    common = limits & {sample.max_steps for sample in before.samples if sample.max_steps is not None}
    if not common:
        tried = ",".join(str(point.max_steps) for point in before.curve)
        raise InputError(
            f"The evaluation of {before.model} knows only the step limits {tried}: give one of them to "
            "--limits."
        )
    return max(common)


def compare_saved(before: SavedEvaluation, after: SavedEvaluation) -> Comparison:
    """Compare two evaluations, paired by problem, under the largest step limit that both know.

    Raises:
        InputError: if they did not answer the same problems under a common limit.
    """
    limit = shared_limit(
        before,
        {point.max_steps for point in after.curve if point.max_steps is not None},
        {sample.problem_id for sample in after.samples},
    )
    return compare(before.samples, after.samples, max_steps=limit, titles=(before.model, after.model))
