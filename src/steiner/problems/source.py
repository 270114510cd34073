"""The stage `problems` of a run directory: where every run begins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import Field

from steiner.core import InputError, NoProgress, Problem, Progress, Record, Settings
from steiner.problems import gym
from steiner.problems.countdown import CountdownSettings, Split, generate
from steiner.problems.files import FileSettings, HubSettings, file_digests, load_files, load_hub
from steiner.problems.rows import BadRows
from steiner.store import RunDir, Stage, StoredRecord
from steiner.store.stage import stage_digest

STAGE = "problems"
_BATCH = 256


class CountdownProblems(Settings):
    """Generated Countdown problems."""

    kind: Literal["countdown"] = "countdown"
    n: int = Field(default=1000, ge=1)
    split: Split = Split.TRAIN
    countdown: CountdownSettings = CountdownSettings()


class GymProblems(Settings):
    """Generated problems of one reasoning-gym dataset."""

    kind: Literal["gym"] = "gym"
    name: str
    n: int = Field(default=1000, ge=1)
    seed: int = 0
    start: int = Field(default=0, ge=0)
    """Index of the first entry."""
    config: dict[str, str | int | float | bool] = Field(default_factory=dict)


class ProblemsSummary(Record):
    """What a run's stage `problems` holds and what was left out."""

    count: int
    gradings: dict[str, int]
    languages: dict[str, int]
    tasks: dict[str, int]
    duplicates: int
    """Problems that were there already."""
    conflicts: int
    """Problems left out because the same question is there with another answer."""
    excluded: int
    """Problems left out because another run has their question."""
    dropped: dict[str, int]
    """Rows that could not be used, by reason."""


class ProblemSource(NamedTuple):
    """Problems and what they depend on."""

    problems: Iterable[Problem]
    """Read once, in order; nothing is read before the first is asked for."""
    settings: Settings
    """What they are made with."""
    inputs: Mapping[str, str] = MappingProxyType({})
    """Digests of what they are read from, by name."""
    limit: int | None = None
    """Only the first so many distinct ones count."""
    dropped: Mapping[str, int] = MappingProxyType({})
    """Rows that could not be used, by reason; complete when all problems have been read."""


def countdown_source(settings: CountdownProblems) -> ProblemSource:
    """Return a source of generated Countdown problems."""
    return ProblemSource(generate(settings.countdown, settings.n, settings.split), settings)


def gym_source(settings: GymProblems) -> ProblemSource:
    """Return a source of problems of one reasoning-gym dataset."""
    entries = gym.generate(
        settings.name, settings.n, seed=settings.seed, start=settings.start, config=settings.config
    )
    return ProblemSource(entries, settings)


def file_source(
    paths: Sequence[Path], settings: FileSettings, *, password: str | None = None
) -> ProblemSource:
    """Return a source of problems from files.

    Raises:
        InputError: if the preset is unknown or a file cannot be read.
    """
    bad = BadRows(skip=settings.skip_bad or settings.chosen_preset().skip_bad)
    problems = load_files(paths, settings, bad, password=password)
    return ProblemSource(problems, settings, file_digests(paths), settings.limit, bad.counts)


def hub_source(settings: HubSettings) -> ProblemSource:
    """Return a source of problems from a hub dataset.

    Raises:
        InputError: if the preset is unknown.
    """
    bad = BadRows(skip=settings.skip_bad or settings.chosen_preset().skip_bad)
    return ProblemSource(load_hub(settings, bad), settings, limit=settings.limit, dropped=bad.counts)


def write_problems(
    run: RunDir,
    source: ProblemSource,
    *,
    exclude: RunDir | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ProblemsSummary:
    """Write the stage `problems`; if it is complete with the same settings, only say what it holds.

    A question that occurs again is left out and counted.

    Args:
        run: the run directory, open for writing.
        source: where the problems come from.
        exclude: a run whose questions must not occur, for example the training run of a test set.
        force: make the stage anew if it was made with other settings or inputs.
        progress: told how many problems there are.

    Raises:
        InputError: if there is no problem at all, and whatever the source raises.
        ResumeError: if the stage was made with other settings or inputs.
    """
    inputs = dict(source.inputs)
    if exclude is not None:
        inputs["excluded run"] = stage_digest(exclude, STAGE)
    known = run.journal.stage(STAGE)
    # Nothing can have been made of an unfinished stage, so a corrected command may replace it unasked.
    unfinished = known is not None and not known.complete
    stage = Stage(run, STAGE, source.settings, inputs, force=force or unfinished)
    if stage.is_complete:
        return ProblemsSummary.model_validate(stage.summary)
    excluded = question_keys(exclude) if exclude is not None else frozenset()
    writer = _Writer(stage, excluded, progress or NoProgress())
    for problem in islice(writer.distinct(source.problems), source.limit):
        writer.put(problem)
    writer.flush()
    if not writer.count:
        left_out = writer.left_out(source.dropped)
        raise InputError(f"There is not one problem{f'; left out were {left_out}' if left_out else ''}.")
    summary = writer.summary(source.dropped)
    stage.finish(summary.model_dump(mode="json"))
    return summary


class _Writer:
    """Numbers, counts and stores problems."""

    def __init__(self, stage: Stage, exclude: frozenset[str], progress: Progress) -> None:
        self.stage = stage
        self.exclude = exclude
        self.progress = progress
        self.started = time.monotonic()
        self.count = 0
        self.tallies: dict[str, Counter[str]] = {
            name: Counter() for name in ("gradings", "languages", "tasks", "left out")
        }
        self._batch: list[StoredRecord] = []
        self._ids: dict[str, str] = {}
        progress.start(STAGE, None)

    def distinct(self, problems: Iterable[Problem]) -> Iterable[Problem]:
        """Yield problems whose question is new and not excluded."""
        for problem in problems:
            key = problem.question_key
            if key in self.exclude:
                self.tallies["left out"]["excluded"] += 1
            elif key in self._ids:
                same = self._ids[key] == problem.id
                self.tallies["left out"]["duplicates" if same else "conflicts"] += 1
            else:
                self._ids[key] = problem.id
                yield problem

    def put(self, problem: Problem) -> None:
        """Store a problem at the next position."""
        self._batch.append(StoredRecord(problem.id, self.count, problem.model_dump_json().encode()))
        self.count += 1
        self.tallies["gradings"][problem.grading] += 1
        self.tallies["languages"][problem.language] += 1
        self.tallies["tasks"][problem.task] += bool(problem.task)
        if len(self._batch) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Commit what has been put."""
        self.stage.put(self._batch)
        self._batch = []
        rate = self.count / max(time.monotonic() - self.started, 1e-9)
        self.progress.update(self.count, f"{rate:,.0f}/s")

    def left_out(self, dropped: Mapping[str, int]) -> str:
        """Return what was left out, as text."""
        counts = {**self.tallies["left out"], **dropped}
        return ", ".join(f"{count:,} ({reason})" for reason, count in counts.items())

    def summary(self, dropped: Mapping[str, int]) -> ProblemsSummary:
        """Return the counts."""
        self.progress.finish()
        left_out = self.tallies["left out"]
        return ProblemsSummary(
            count=self.count,
            gradings=dict(self.tallies["gradings"]),
            languages=dict(self.tallies["languages"]),
            tasks={task: n for task, n in self.tallies["tasks"].items() if n},
            duplicates=left_out["duplicates"],
            conflicts=left_out["conflicts"],
            excluded=left_out["excluded"],
            dropped=dict(dropped),
        )


def read_problems(run: RunDir) -> Iterable[Problem]:
    """Yield the problems of a run in order."""
    return (Problem.model_validate_json(record.body) for record in run.journal.records(STAGE))


def question_keys(run: RunDir) -> frozenset[str]:
    """Return the keys of a run's questions."""
    return frozenset(problem.question_key for problem in read_problems(run))


def check_disjoint(train: Iterable[Problem], test: Iterable[Problem]) -> None:
    """Check that no question of `test` occurs in `train`, up to spelling of blank space and case.

    Raises:
        InputError: says how many do, and the ids of the first.
    """
    known = {problem.question_key for problem in train}
    shared = [problem.id for problem in test if problem.question_key in known]
    if shared:
        raise InputError(
            f"{len(shared):,} test questions occur in the training set too (problem ids "
            f"{', '.join(shared[:5])}{', …' if len(shared) > 5 else ''}): results on them would say nothing. "
            "Leave them out of one of the sets."
        )
