"""Benchmarks from files, from the hub, or generated: to problems in a fixed order."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from steiner.core import Grading, InputError, Problem, Settings, digest, parse_settings
from steiner.evaluate.benchmarks.catalog import Benchmark
from steiner.evaluate.benchmarks.versions import check_version, content_digest
from steiner.problems import gym
from steiner.problems.countdown import CountdownSettings, Split
from steiner.problems.countdown import generate as generate_countdown
from steiner.problems.files import FileSettings, HubSettings, hub_settings, load_files, load_hub
from steiner.problems.rows import BadRows

_REFERS = re.compile(
    r"\b(?:all|none|both|neither|any|either)\b[^.]{0,20}\b(?:above|these|those|other|options|answers|choices)\b"
    r"|\b(?:both|neither|only)\b|\b[A-J]\b\s*(?:,|and|or|&)\s*\b[A-J]\b|^\(?[A-J]\)? and \(?[A-J]\)?",
    re.IGNORECASE,
)
"""Options that speak of other options by place or letter: their order means something."""


class DataOptions(Settings):
    """Which questions, from where and how they are put."""

    data: tuple[str, ...] = ()
    """Files, or one hub id; empty for the benchmark's own place on the hub."""
    config: str | None = None
    """Configuration of the hub dataset."""
    split: str | None = None
    """Split of the hub dataset."""
    question_column: str | None = None
    answer_column: str | None = None
    choices_columns: tuple[str, ...] = ()
    seed: int = 0
    """Of the order of options, of generated problems, and of which questions a limit keeps."""
    limit: int | None = Field(default=None, ge=1)
    """Ask only so many questions: the first, or, where rows stand by subject, as many drawn by the seed."""
    rows: str = Field(default="", pattern=r"^(?:\d+:\d+)?$")
    """FROM:TO, counted from 0, TO not included: for example 900:1000 for the puzzles of Tree of Thoughts."""
    keep_choices: bool = False
    """Leave options in the order of the file."""
    countdown: CountdownSettings = CountdownSettings()
    skip_bad: bool = False
    gym_options: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Loaded(NamedTuple):
    """A benchmark as it is asked."""

    benchmark: Benchmark
    problems: tuple[Problem, ...]
    subsets: tuple[str, ...]
    """Parallel to `problems`: subject, split or the like; empty where there is none."""
    version: str
    """Digest of the whole set's content, then of the questions asked with the order of their options."""
    total: int
    """Questions of the whole set, before a limit."""
    warnings: tuple[str, ...]


def load_benchmark(benchmark: Benchmark, options: DataOptions) -> Loaded:
    """Load a benchmark.

    Raises:
        InputError: if it cannot be found or read; names file, line and column, never what is in them.
    """
    pairs = list(_SOURCES[benchmark.source](benchmark, options))
    if not pairs:
        raise InputError(f"There is no question of {benchmark.name} in {_where(benchmark, options)}.")
    warnings = []
    if benchmark.source == "rows":
        found = check_version(benchmark.name, tuple(problem for problem, _ in pairs))
        warnings += [found] if found else []
    total, content = len(pairs), content_digest(problem for problem, _ in pairs)
    pairs = _chosen(pairs, benchmark, options)
    if benchmark.source == "rows" and not options.keep_choices:
        pairs = [(shuffled(problem, options.seed), subset) for problem, subset in pairs]
    problems = tuple(problem for problem, _ in pairs)
    version = f"{content}-{digest([problem.id for problem in problems], 8)}"
    return Loaded(benchmark, problems, tuple(s for _, s in pairs), version, total, tuple(warnings))


def shuffled(problem: Problem, seed: int) -> Problem:
    """Return a multiple-choice problem with its options in an order drawn by the seed and the question.

    Options that speak of others («all of the above», «both A and B») keep the whole order as it is.
    """
    letters = problem.grading is Grading.CHOICE and len(problem.answer) == 1 and len(problem.choices) > 1
    if not letters or any(_REFERS.search(choice) for choice in problem.choices):
        return problem
    order = list(range(len(problem.choices)))
    # Not by the id, which depends on the order that the file has.
    random.Random(f"{seed}:{content_digest([problem])}:order").shuffle(order)
    right = order.index(ord(problem.answer) - ord("A"))
    choices = tuple(problem.choices[place] for place in order)
    return problem.model_copy(update={"choices": choices, "answer": chr(ord("A") + right)})


Pairs = list[tuple[Problem, str]]


def _chosen(pairs: Pairs, benchmark: Benchmark, options: DataOptions) -> Pairs:
    """Apply `rows` and `limit`."""
    if options.rows:
        start, _, stop = options.rows.partition(":")
        pairs = pairs[int(start) : int(stop)]
        if not pairs:
            raise InputError(f"--rows {options.rows} holds no question of {benchmark.name}.")
    limit = options.limit
    if limit is None or limit >= len(pairs):
        return pairs
    if benchmark.source == "countdown":
        return _evenly(pairs, limit)
    if not benchmark.grouped:
        return pairs[:limit]
    # Drawn in an order that does not depend on the limit, so that a larger limit adds questions.
    order = list(range(len(pairs)))
    random.Random(f"{options.seed}:limit").shuffle(order)
    return [pairs[place] for place in sorted(order[:limit])]


def _evenly(pairs: Pairs, limit: int) -> Pairs:
    """Take as many of each subset."""
    subsets = list(dict.fromkeys(subset for _, subset in pairs))
    share = [limit // len(subsets) + (place < limit % len(subsets)) for place in range(len(subsets))]
    return [
        pair
        for subset, count in zip(subsets, share, strict=True)
        for pair in islice((pair for pair in pairs if pair[1] == subset), count)
    ]


def _rows(benchmark: Benchmark, options: DataOptions) -> Iterator[tuple[Problem, str]]:
    bad = BadRows(skip=options.skip_bad)
    values: dict[str, Any] = {
        "preset": benchmark.preset,
        "question_column": options.question_column,
        "answer_column": options.answer_column,
        "choices_columns": options.choices_columns or None,
        "seed": options.seed,
    }
    given = {name: value for name, value in values.items() if value is not None}
    paths = _files(benchmark, options)
    if paths:
        settings = parse_settings(FileSettings, {**given, "files": [p.name for p in paths]}, "steiner eval")
        bad.skip = bad.skip or settings.chosen_preset().skip_bad
        problems = load_files(paths, settings, bad)
    else:
        problems = load_hub(_hub(benchmark, options, given), bad)
    for problem in problems:
        if benchmark.language and problem.language != benchmark.language:
            problem = problem.model_copy(update={"language": benchmark.language})
        yield problem, str(problem.facts.get("category", ""))


def _files(benchmark: Benchmark, options: DataOptions) -> list[Path]:
    """Return the files to read; none means the hub."""
    if not options.data:
        if not benchmark.hub_id:
            raise InputError(f"{benchmark.name} lies on no hub: give its file with --data FILE.")
        return []
    if len(options.data) == 1 and not Path(options.data[0]).exists():
        name = options.data[0]
        if name.count("/") == 1 and not name.startswith((".", "~")) and "." not in name.split("/")[1][-7:]:
            return []
    return [Path(name) for name in options.data]


def _hub(benchmark: Benchmark, options: DataOptions, given: dict[str, Any]) -> HubSettings:
    name = options.data[0] if options.data else benchmark.hub_id
    config = options.config or (benchmark.language or None)
    split = options.split or benchmark.split
    values = hub_settings(name, {**given, "config": config, "split": split})
    return parse_settings(HubSettings, values, "steiner eval")


def _countdown(benchmark: Benchmark, options: DataOptions) -> Iterator[tuple[Problem, str]]:
    """Yield both halves of the protocol: known targets from new inputs, and held-out targets."""
    if options.data:
        raise InputError("countdown is generated, not read: leave --data out.")
    splits = (Split.NEW_INPUTS, Split.HELDOUT_TARGETS)
    count = benchmark.questions if options.limit is None else -(-options.limit // len(splits))
    settings = options.countdown.model_copy(update={"seed": options.seed})
    for split in splits:
        for problem in generate_countdown(settings, count, split):
            yield problem, str(split)


def _gym(benchmark: Benchmark, options: DataOptions) -> Iterator[tuple[Problem, str]]:
    if options.data:
        raise InputError(f"{benchmark.name} is generated, not read: leave --data out.")
    count = options.limit or benchmark.questions
    for problem in gym.generate(benchmark.gym, count, seed=options.seed, config=options.gym_options):
        yield problem, ""


_SOURCES: dict[str, Callable[[Benchmark, DataOptions], Iterator[tuple[Problem, str]]]] = {
    "rows": _rows,
    "countdown": _countdown,
    "gym": _gym,
}


def _where(benchmark: Benchmark, options: DataOptions) -> str:
    return ", ".join(options.data) or benchmark.hub_id or "what is generated"
