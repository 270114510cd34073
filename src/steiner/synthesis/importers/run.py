"""The stages `problems` and `traces` of a run, made from files that hold traces already."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
from pydantic import Field, TypeAdapter

from steiner.core import InputError, NoProgress, Problem, Progress, Record, Trace, digest
from steiner.store import RunDir, Stage, StoredRecord, run_stage
from steiner.synthesis.importers import bbm, chat, mmlu_pro, native, omegaprm, prm800k, tot24
from steiner.synthesis.importers.attempts import MakeTraces, Row, plan_rows, traces_of
from steiner.synthesis.importers.prose import ProseSettings
from steiner.synthesis.importers.settings import ChatSettings, ImportSettings
from steiner.synthesis.importers.spill import Plan, Spill, batched, remove_spill

PROBLEMS = "problems"
TRACES = "traces"
_TRACES = TypeAdapter(list[Trace])
_BATCH = 256


class Format(NamedTuple):
    """How one kind of file becomes problems and traces."""

    read: Callable[[Path, ImportSettings], Iterable[Row]]
    """Gives (question number, key, JSON) of each record of a file."""
    plan: Callable[[Spill, Sequence[str], int | None], Plan]
    """Decides which problems there are, at most so many, from the records of all files."""
    traces: Callable[[Spill, Sequence[str], Problem, ProseSettings], list[Trace]]
    """Makes the traces of one problem; a pure function of the records."""
    several: bool = False
    """Whether a record may give more than one trace."""


def _of_attempts(
    read: Callable[[Path, ImportSettings], Iterable[Row]], make: MakeTraces, *, several: bool = False
) -> Format:
    """Return a format whose records are a question with attempts."""
    return Format(read, plan_rows, functools.partial(traces_of, make), several)


FORMATS: dict[str, Format] = {
    "mmlu-pro": Format(
        lambda path, _: mmlu_pro.read_archive(path), mmlu_pro.plan_problems, mmlu_pro.problem_traces
    ),
    "native": Format(lambda path, _: native.read_lines(path), native.plan_lines, native.line_traces),
    "chat": _of_attempts(
        lambda path, settings: chat.read_chats(path, settings.chat or ChatSettings()), chat.chat_traces
    ),
    "prm800k": _of_attempts(lambda path, _: prm800k.read_labels(path), prm800k.labelled_traces, several=True),
    "omegaprm": _of_attempts(
        lambda path, _: omegaprm.read_trees(path), omegaprm.rollout_traces, several=True
    ),
    "tot24": _of_attempts(lambda path, _: tot24.read_logs(path), tot24.log_traces, several=True),
    "bbm": _of_attempts(lambda path, _: bbm.read_mistakes(path), bbm.mistake_traces),
}
"""By the name given on the command line."""


class TeacherYield(Record):
    """What one author's file contributed."""

    traces: int = 0
    right: int = 0
    wrong: int = 0
    unfinished: int = 0
    """The text itself states no answer."""
    steps: int = 0


class ImportReport(Record):
    """What an import brought, the same after any number of kills."""

    problems: int = 0
    records: int = 0
    """Records of the imported questions in all files."""
    teachers: dict[str, TeacherYield] = Field(default_factory=dict)
    steps_per_trace: dict[int, int] = Field(default_factory=dict)
    """Number of traces by number of steps."""
    repeated: int = 0
    """Questions of all files that are the same as another one; their traces were put together."""
    corrected: int = 0
    """Questions of all files that differ between them; the version of most files was taken."""
    other_options: int = 0
    """Records left out because their letters stand for other options than the problem's."""
    unusable: int = 0
    """Records left out because no question with a known answer can be made of them."""

    several: bool = False
    """Whether a record may give more than one trace."""

    @property
    def bare(self) -> int:
        """Records left out because nothing but an answer, or a repetition of another trace, is in them.

        0 for formats in which one record may give several traces.
        """
        return 0 if self.several else self.records - self.other_options - self.traces

    @property
    def traces(self) -> int:
        """Number of traces of all teachers."""
        return sum(item.traces for item in self.teachers.values())


def import_traces(
    run: RunDir,
    settings: ImportSettings,
    files: Sequence[Path],
    *,
    workers: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Make the stages `problems` and `traces` of a run from files, or go on where a call stopped.

    The outcome depends on the files' names and contents, not on their order or on `workers`. Memory is
    bounded by the largest file.

    Args:
        run: the run directory, open for writing.
        settings: the format and how to split.
        files: all files of the import.
        workers: processes to use.
        force: discard problems and traces that were made from other files or with other settings.
        progress: told about files and problems.

    Raises:
        InputError: if a file is missing, damaged or of another shape, or the format is unknown.
        ResumeError: if the run holds problems or traces of other files or settings.
    """
    progress = progress or NoProgress()
    if settings.format not in FORMATS:
        raise InputError(f"Unknown format '{settings.format}': known are {', '.join(FORMATS)}.")
    if settings.chat is not None and settings.format != "chat":
        raise InputError(
            f"Columns, scores and grading are named only for the format chat, not {settings.format}."
        )
    by_name = _named(files)
    inputs = {name: _file_digest(path) for name, path in by_name.items()}
    problems = Stage(run, PROBLEMS, settings, inputs, force=force)
    if problems.is_complete:
        traces = Stage(run, TRACES, settings, {PROBLEMS: problems.digest}, force=force)
        if traces.is_complete:
            return ImportReport.model_validate(traces.summary)
    _prepare(run.path, problems, settings, by_name, inputs, progress)
    traces = Stage(run, TRACES, settings, {PROBLEMS: problems.digest}, force=force)
    work = functools.partial(_work, run.path, settings, tuple(sorted(by_name)))
    run_stage(traces, PROBLEMS, work, workers=workers, progress=progress)
    report = _report(run, problems.summary)
    traces.finish(report.model_dump(mode="json"))
    _spill.cache_clear()
    remove_spill(run.path)
    return report


def _prepare(
    run_path: Path,
    problems: Stage,
    settings: ImportSettings,
    by_name: dict[str, Path],
    inputs: dict[str, str],
    progress: Progress,
) -> None:
    """Read the files into the spill and write the problems, as far as that has not been done."""
    chosen = FORMATS[settings.format]
    with Spill(run_path) as spill:
        how = digest([settings.format, settings.chat and settings.chat.model_dump(mode="json")])
        contents = [(name, f"{content}:{how}") for name, content in sorted(inputs.items())]
        spill.fill(contents, lambda name: chosen.read(by_name[name], settings), progress)
        wanted = {"settings": settings.digest(), **inputs}
        if problems.is_complete and spill.has_groups(wanted):
            return
        plan = chosen.plan(spill, sorted(by_name), settings.limit)
        if not plan.problems:
            raise InputError(f"There is no question in {', '.join(map(str, by_name.values()))}.")
        spill.put_groups(plan.groups, wanted)
    records = (
        StoredRecord(problem.id, ordinal, problem.model_dump_json().encode())
        for ordinal, problem in enumerate(plan.problems)
    )
    for batch in batched(records, _BATCH):
        problems.put(batch)
    counts = {
        "repeated": plan.repeated,
        "corrected": plan.corrected,
        "records": plan.records,
        "other_options": plan.other_options,
        "unusable": plan.unusable,
        "several": chosen.several,
    }
    problems.finish({"problems": len(plan.problems), **counts})


def _work(run_path: Path, settings: ImportSettings, sources: tuple[str, ...], record: StoredRecord) -> bytes:
    problem = Problem.model_validate_json(record.body)
    made = FORMATS[settings.format].traces(_spill(run_path), sources, problem, settings.prose)
    return _TRACES.dump_json(made)


@functools.lru_cache(maxsize=1)
def _spill(run_path: Path) -> Spill:
    """Open the spill for reading, once a process."""
    return Spill(run_path, read_only=True)


def _report(run: RunDir, counts: Mapping[str, object]) -> ImportReport:
    """Count what is in the journal, so that a resumed import reports the same as an undisturbed one."""
    teachers: dict[str, Counter[str]] = defaultdict(Counter)
    lengths: Counter[int] = Counter()
    for record in run.journal.records(TRACES):
        for trace in orjson.loads(record.body):
            steps = len(trace["steps"])
            lengths[steps] += 1
            teachers[trace["provenance"]["teacher"]].update(
                {"traces": 1, trace["verdict"]: 1, "steps": steps}
            )
    values: dict[str, object] = {
        **counts,
        "teachers": {name: dict(teachers[name]) for name in sorted(teachers)},
        "steps_per_trace": dict(sorted(lengths.items())),
    }
    return ImportReport.model_validate(values)


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Return the files by their names without ending, which become the names of the teachers."""
    if not files:
        raise InputError("No file to import was given.")
    by_name: dict[str, Path] = {}
    for path in files:
        if path.stem in by_name:
            raise InputError(
                f"{path} and {by_name[path.stem]} have the same name, which names the author of the traces: "
                "rename one."
            )
        by_name[path.stem] = path
    return by_name


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
