"""Stage `paths`: step graphs → distinct reasoning paths, the wanted number in all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from statistics import median_low
from typing import NamedTuple

from pydantic import Field, TypeAdapter

from steiner.core import NoProgress, Problem, Progress, ReasoningPath, Record
from steiner.graph.join import parse_graph, read_graph, read_problem, read_traces
from steiner.graph.length import (
    MAX_REASONING_TOKENS,
    MAX_TOTAL_TOKENS,
    CounterFor,
    PathLength,
    PathMeter,
    only_estimates,
)
from steiner.graph.quota import EMPTY, FILLED, Capacity, Quotas, share_out
from steiner.graph.sample import PathSampler, sample_paths
from steiner.graph.settings import SampleSettings
from steiner.graph.tune import Tuning, tuned
from steiner.graph.writer import PathWriter, TextWriter, WriterFor
from steiner.store import Beside, RunDir, Stage, StoredRecord, Workers, map_bounded, run_stage
from steiner.store.stage import COMMIT_RECORDS, stage_digest

CAPACITY = "capacity"
"""Stage that holds what each question can give (`quota.Capacity`), as far as it had to be looked at."""

_PATHS = TypeAdapter(list[ReasoningPath])


def text_writer(problem: Problem) -> PathWriter:
    """Choose the writer of prose for every problem."""
    return TextWriter()


class TokenLengths(Record):
    """The lengths of a run's paths in tokens."""

    mean: float
    """Mean number of tokens of reasoning."""
    reasoning_too_long: int
    """Paths with at least 4,096 tokens of reasoning, which a dataset leaves out by default."""
    total_too_long: int
    """Other paths with at least 8,192 tokens of question, reasoning and answer: left out, too."""


class PathsSummary(Record):
    """All paths of a run in numbers."""

    wanted: int
    paths: int
    questions: int
    per_question: tuple[int, int, int]
    """Least, median and most paths of a question."""
    steps: tuple[int, int, int]
    """Least, median and most steps of a path."""
    backtracks: dict[int, int] = Field(default_factory=dict)
    """Number of backtracks → number of paths."""
    shortfalls: dict[str, int] = Field(default_factory=dict)
    """Reason → number of questions that gave fewer paths than an even share."""
    mean_steps: float = 0.0
    tokens: TokenLengths | None = None
    """Only where the settings name a tokenizer or a mean number of tokens."""
    tuning: Tuning | None = None
    """Only where the settings ask for a mean length."""

    @property
    def reached(self) -> float:
        """Mean length in the unit of the settings: tokens where they were counted, else steps."""
        return self.tokens.mean if self.tokens else self.mean_steps


def make_paths(
    run: RunDir,
    settings: SampleSettings,
    *,
    writer_for: WriterFor = text_writer,
    counter_for: CounterFor = only_estimates,
    workers: Workers = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> PathsSummary:
    """Sample the paths of all questions of a run, or go on where this was interrupted.

    With `settings.paths` a first pass finds out how much each question can give, so that the total is met
    exactly wherever it can be. With a mean length, a pass before that one finds the number of detours.

    Args:
        run: run directory, held for writing, with finished stages `problems`, `traces` and `graphs`.
        settings: which paths, and how many.
        writer_for: chooses the writer of each problem's paths.
        counter_for: loads what counts the tokens of `settings.tokenizer`.
        workers: processes, or an engine; the outcome does not depend on it.
        force: discard paths that were made with other settings or from other graphs.
        progress: is told how far the work is.

    Raises:
        InputError: if the graphs are missing or unfinished.
        ResumeError: if there are paths of other settings or inputs and `force` is not set.
    """
    progress = progress or NoProgress()
    inputs = {"graphs": stage_digest(run, "graphs")}
    stage = Stage(run, "paths", settings, inputs, force=force)
    if not stage.is_complete:
        wish, tuning = tuned(
            run, settings, inputs, writer_for=writer_for, counter_for=counter_for,
            workers=workers, progress=progress,
        )  # fmt: skip
        quotas = _quotas(run, wish, inputs, workers, progress)
        shares = dict(zip(_keys(run), quotas.slots, strict=True)) if quotas else None
        run_stage(
            stage, "graphs", _Write(wish, writer_for), workers=workers,
            initializer=_set_shares, initargs=(shares,), beside=_beside(run, settings), progress=progress,
        )  # fmt: skip
        summary = _summarise(run, wish, counter_for, workers, progress)
        stage.finish(summary.model_copy(update={"tuning": tuning}).model_dump(mode="json"))
    return PathsSummary.model_validate(stage.summary)


_shares: Mapping[str, int] | None = None


def _set_shares(shares: Mapping[str, int] | None) -> None:
    """Prepare a worker: the shares are handed over once, not with every record."""
    global _shares
    _shares = shares


def _beside(run: RunDir, settings: SampleSettings) -> Beside:
    return Beside(run.journal.path, ("problems", "traces") if settings.include_traces else ("problems",))


class _Write:
    """Picklable work of the stage."""

    def __init__(self, settings: SampleSettings, writer_for: WriterFor) -> None:
        self._settings = settings
        self._writer_for = writer_for

    def __call__(self, record: StoredRecord) -> bytes:
        problem = read_problem(record.key)
        sampled = sample_paths(
            problem,
            parse_graph(record.key, record.body),
            self._settings,
            count=self._settings.paths_per_question,
            slots=None if _shares is None else _shares[record.key],
            writer=self._writer_for(problem),
            traces=read_traces(record.key) if self._settings.include_traces else (),
        )
        return _PATHS.dump_json(list(sampled.paths))


class _Probe:
    """Looks at the first `limit` slots of a question, putting nothing into words."""

    def __init__(self, settings: SampleSettings, limit: int) -> None:
        self._settings = settings
        self._limit = limit

    def __call__(self, record: StoredRecord) -> StoredRecord:
        sampler = _sampler(record, self._settings)
        drafts = islice(sampler.slots(), self._limit)
        slots = "".join(EMPTY if draft is None else FILLED for draft in drafts)
        capacity = Capacity(slots=slots, ended=len(slots) < self._limit)
        return StoredRecord(record.key, record.ordinal, capacity.model_dump_json().encode())


def _sampler(record: StoredRecord, settings: SampleSettings) -> PathSampler:
    traces = read_traces(record.key) if settings.include_traces else ()
    return PathSampler(read_problem(record.key), parse_graph(record.key, record.body), settings, traces)


def _keys(run: RunDir) -> list[str]:
    return [record.key for record in run.journal.records("graphs")]


def _quotas(
    run: RunDir, settings: SampleSettings, inputs: Mapping[str, str], workers: Workers, progress: Progress
) -> Quotas | None:
    """Probe every question until the wanted total is reached or nobody has more; None if there is no total.

    The limit of each round follows from what all questions give within the limit before it. Records that a
    killed run had already probed further are only read up to the limit, so the rounds are the same again.
    """
    if settings.paths is None:
        return None
    # What `force` allows was decided for the stage `paths`; this one only serves it.
    stage = Stage(run, CAPACITY, settings, inputs, force=True)
    questions = run.journal.count("graphs")
    # A little more than the even share, because some questions have less and some draws come to nothing.
    limit = math.ceil(1.3 * settings.paths / max(questions, 1))
    while True:
        known = _capacities(run)
        _probe(stage, settings, limit, known, workers, progress)
        known = _capacities(run)
        lists = [known[key].slots[:limit] for key in _keys(run)]
        have = sum(slots.count(FILLED) for slots in lists)
        if have >= settings.paths or all(c.ended or len(c.slots) < limit for c in known.values()):
            quotas = share_out(lists, settings.paths)
            stage.finish({"level": quotas.level, "paths": quotas.total})
            return quotas
        grown = math.ceil(limit * settings.paths / have * 1.1) if have else 2 * limit
        limit = min(max(grown, limit + 1), 2 * limit)


def _capacities(run: RunDir) -> dict[str, Capacity]:
    return {r.key: Capacity.model_validate_json(r.body) for r in run.journal.records(CAPACITY)}


def _probe(
    stage: Stage,
    settings: SampleSettings,
    limit: int,
    known: Mapping[str, Capacity],
    workers: Workers,
    progress: Progress,
) -> None:
    """Make sure that every question was looked at up to `limit` or to its end."""
    settled = {key for key, capacity in known.items() if capacity.ended or len(capacity.slots) >= limit}
    todo = (record for record in stage.run.journal.records("graphs") if record.key not in settled)
    work = _Probe(settings, limit)
    progress.start(f"{CAPACITY} to {limit}", stage.run.journal.count("graphs"))
    done = len(settled)
    progress.update(done)
    batch: list[StoredRecord] = []
    for record in map_bounded(work, todo, workers, beside=_beside(stage.run, settings)):
        batch.append(record)
        done += 1
        if len(batch) >= COMMIT_RECORDS:
            stage.put(batch)
            progress.update(done)
            batch = []
    stage.put(batch)
    progress.update(done)
    progress.finish()


class _Measured(NamedTuple):
    steps: list[int]
    backtracks: list[int]
    lengths: list[PathLength]
    """Empty where no tokens are to be counted."""
    shortfall: str | None


class _Measure:
    """Picklable: measures one question's paths."""

    def __init__(self, settings: SampleSettings, share: int, counter_for: CounterFor) -> None:
        self._settings = settings
        self._share = share
        self._counter_for = counter_for

    def __call__(self, record: StoredRecord) -> _Measured:
        paths = _PATHS.validate_json(record.body)
        short = None
        lengths: list[PathLength] = []
        if self._settings.mean_tokens is not None or self._settings.tokenizer:
            meter = PathMeter(read_problem(record.key), self._counter_for(self._settings.tokenizer))
            lengths = [meter(path) for path in paths]
        if len(paths) < self._share:
            graph = read_graph(record.key)
            short = PathSampler(read_problem(record.key), graph, self._settings).shortfall().value
        return _Measured([len(p.steps) for p in paths], [p.backtracks for p in paths], lengths, short)


def _summarise(
    run: RunDir, settings: SampleSettings, counter_for: CounterFor, workers: Workers, progress: Progress
) -> PathsSummary:
    questions = run.journal.count("paths")
    share = settings.paths_per_question or (settings.paths or 0) // max(questions, 1)
    progress.start("path statistics", questions)
    counts: list[int] = []
    steps: list[int] = []
    backtracks: Counter[int] = Counter()
    shortfalls: Counter[str] = Counter()
    lengths: list[PathLength] = []
    measure = _Measure(settings, share, counter_for)
    records = run.journal.records("paths")
    beside = Beside(run.journal.path, ("problems", "graphs"))
    for measured in map_bounded(measure, records, workers, beside=beside):
        counts.append(len(measured.steps))
        steps += measured.steps
        backtracks.update(measured.backtracks)
        lengths += measured.lengths
        if measured.shortfall:
            shortfalls[measured.shortfall] += 1
        progress.update(len(counts))
    progress.finish()
    return PathsSummary(
        wanted=settings.paths or share * len(counts),
        paths=len(steps),
        questions=len(counts),
        per_question=_spread(counts),
        steps=_spread(steps),
        backtracks=dict(sorted(backtracks.items())),
        shortfalls=dict(sorted(shortfalls.items())),
        mean_steps=sum(steps) / len(steps) if steps else 0.0,
        tokens=_tokens(lengths) if lengths else None,
    )


def _tokens(lengths: list[PathLength]) -> TokenLengths:
    fitting = [one for one in lengths if one.reasoning < MAX_REASONING_TOKENS]
    return TokenLengths(
        mean=sum(one.reasoning for one in lengths) / len(lengths),
        reasoning_too_long=len(lengths) - len(fitting),
        total_too_long=sum(one.total >= MAX_TOTAL_TOKENS for one in fitting),
    )


def _spread(values: list[int]) -> tuple[int, int, int]:
    return (min(values), median_low(values), max(values)) if values else (0, 0, 0)
