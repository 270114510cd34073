"""How many detours make paths as long as was asked for: found out once per run, in a first pass.

The number of detours of a path then follows a Poisson distribution. Its mean is raised until the paths that a
part of the questions gives are long enough, each question giving its share as in the real pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from steiner.core import Progress, Record
from steiner.graph.join import parse_graph, read_problem, read_traces
from steiner.graph.length import CounterFor, PathMeter, TextLength
from steiner.graph.quota import EMPTY, FILLED, share_out
from steiner.graph.sample import PathSampler
from steiner.graph.settings import SampleSettings
from steiner.graph.writer import WriterFor
from steiner.store import Beside, RunDir, Stage, StoredRecord, Workers, map_bounded

TUNING = "tuning"
"""Stage that holds what the first pass came to, so that a run that goes on need not repeat it."""

QUESTIONS = 256
"""Questions of the first pass, evenly spread over the run."""
MOST_DETOURS = 64.0
"""Largest mean that is tried."""
TOLERANCE = 0.01
"""The search ends this near to what was asked for."""
TRIALS = 12
"""Most means that are tried beside 0."""
LEAST_SHARE = 0.95
"""A mean at which fewer paths are found than this share of the most found at another is too high."""


class Tuning(Record):
    """What the first pass came to."""

    asked: float
    """Mean length that was asked for, in steps or tokens of reasoning."""
    detours: float
    """Mean of the Poisson distribution of the number of detours."""
    expected: float
    """Mean length in the first pass."""
    questions: int
    """Questions of the first pass."""


class Trial(NamedTuple):
    """Paths that one mean number of detours gave."""

    mean: float
    """Mean length; 0 without paths."""
    share: float
    """Paths found as a share of those wanted."""


def poisson_weights(mean: float) -> tuple[float, ...]:
    """Return the probabilities of 0, 1, 2, … up to where less than 1e-4 is left."""
    weights = [math.exp(-mean)]
    while 1 - math.fsum(weights) > 1e-4:
        weights.append(weights[-1] * mean / len(weights))
    return tuple(weights)


def search(asked: float, trial: Callable[[float], Trial]) -> tuple[float, Trial]:
    """Find the mean number of detours at which the mean length comes nearest to `asked`.

    Length is taken to grow with detours. A mean that gives too few paths counts as too high.

    Returns:
        The mean number of detours and what it gave.
    """
    found, best = 0.0, trial(0.0)
    most = best.share
    low, shorter = 0.0, best.mean
    high, longer = math.inf, math.inf
    for _ in range(TRIALS if best.mean < asked else 0):
        if abs(best.mean - asked) <= TOLERANCE * asked:
            break
        if high == math.inf:
            mean = max(1.0, 2 * low)
        else:
            # Nearly a straight line; never quite at an end, which a bent curve would pin down.
            part = (asked - shorter) / (longer - shorter) if longer < math.inf else 0.5
            mean = low + (high - low) * min(max(part, 0.1), 0.9)
        if mean > MOST_DETOURS:
            break
        here = trial(mean)
        most = max(most, here.share)
        too_few = here.share < LEAST_SHARE * most
        if not too_few and abs(here.mean - asked) < abs(best.mean - asked):
            found, best = mean, here
        if too_few or here.mean >= asked:
            high, longer = mean, math.inf if too_few else here.mean
        else:
            low, shorter = mean, here.mean
    return found, best


def tuned(
    run: RunDir,
    settings: SampleSettings,
    inputs: Mapping[str, str],
    *,
    writer_for: WriterFor,
    counter_for: CounterFor,
    workers: Workers,
    progress: Progress,
) -> tuple[SampleSettings, Tuning | None]:
    """Return the settings with the distribution of detours that the wanted mean length calls for.

    A pure function of the graphs and the settings: a run that was killed comes to the same.

    Args:
        run: run directory, held for writing, with a finished stage `graphs`.
        settings: returned as they are where they ask for no mean length.
        inputs: digests of what the stage `paths` reads.
        writer_for: chooses the writer of each problem's paths.
        counter_for: loads what counts tokens.
        workers: processes, or an engine.
        progress: is told how far the work is.
    """
    asked = settings.mean_steps or settings.mean_tokens
    if asked is None:
        return settings, None
    # What `force` allows was decided for the stage `paths`; this one only serves it.
    stage = Stage(run, TUNING, settings, inputs, force=True)
    if not stage.is_complete:
        trials = _Trials(run, settings, writer_for, counter_for, workers, progress)
        progress.start("length of paths", None)
        detours, reached = search(asked, trials)
        progress.finish()
        found = Tuning(asked=asked, detours=detours, expected=reached.mean, questions=len(trials.records))
        stage.finish(found.model_dump(mode="json"))
    tuning = Tuning.model_validate(stage.summary)
    return with_detours(settings, tuning.detours), tuning


class _Trials:
    """Looks at a part of a run's questions with any mean number of detours."""

    def __init__(
        self,
        run: RunDir,
        settings: SampleSettings,
        writer_for: WriterFor,
        counter_for: CounterFor,
        workers: Workers,
        progress: Progress,
    ) -> None:
        graphs = run.journal.count("graphs")
        every = max(1, graphs // QUESTIONS)
        some = (record for i, record in enumerate(run.journal.records("graphs")) if i % every == 0)
        self.records = list(islice(some, QUESTIONS))
        self._settings = settings
        self._share = settings.paths_per_question or math.ceil((settings.paths or 0) / max(graphs, 1))
        self._who = (writer_for, counter_for)
        self._workers = workers
        self._beside = Beside(run.journal.path, ("problems", "traces"))
        self._progress = progress
        self._done = 0

    def __call__(self, mean: float) -> Trial:
        work = _Lengths(with_detours(self._settings, mean), min(64, 4 * self._share), *self._who)
        lists = list(map_bounded(work, self.records, self._workers, beside=self._beside))
        each = self._settings.paths_per_question is not None
        trial = _taken(lists, self._share, each=each)
        self._done += 1
        self._progress.update(self._done, f"{mean:.2f} detours: {trial.mean:,.1f}")
        return trial


def with_detours(settings: SampleSettings, mean: float) -> SampleSettings:
    """Return the settings with the number of detours distributed around `mean`."""
    return settings.model_copy(update={"detours": poisson_weights(mean)})


def _taken(lists: Sequence[Sequence[int | None]], share: int, *, each: bool) -> Trial:
    """Take each question's share of its slots, as `make_paths` does, and average the lengths."""
    wanted = share * len(lists)
    if each:
        lengths = [n for row in lists for n in islice((n for n in row if n is not None), share)]
    else:
        slots = ["".join(EMPTY if n is None else FILLED for n in row) for row in lists]
        taken = share_out(slots, wanted).slots
        lengths = [n for row, k in zip(lists, taken, strict=True) for n in row[:k] if n is not None]
    return Trial(sum(lengths) / len(lengths) if lengths else 0.0, len(lengths) / wanted if wanted else 0.0)


class _Lengths:
    """Picklable: the length of the path in each of a question's first slots, None where one is empty."""

    def __init__(
        self, settings: SampleSettings, slots: int, writer_for: WriterFor, counter_for: CounterFor
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._writer_for = writer_for
        self._counter_for = counter_for

    def __call__(self, record: StoredRecord) -> list[int | None]:
        settings = self._settings
        problem = read_problem(record.key)
        traces = read_traces(record.key) if settings.include_traces else ()
        sampler = PathSampler(problem, parse_graph(record.key, record.body), settings, traces)
        count: TextLength = len if settings.mean_steps else self._counter_for(settings.tokenizer)
        meter, writer = PathMeter(problem, count), self._writer_for(problem)
        lengths: list[int | None] = []
        for slot, draft in enumerate(islice(sampler.slots(), self._slots)):
            if draft is None:
                lengths.append(None)
            elif settings.mean_steps:
                lengths.append(len(draft.walk.nodes))
            else:
                lengths.append(meter(sampler.write(slot, draft, writer)).reasoning)
        return lengths
