"""What is in a dataset, in numbers: counted per shard, added up, summarised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from pydantic import ValidationError

from steiner.core import SCHEMA_VERSION, InputError, Problem, ReasoningPath, Record, TokenSample
from steiner.dataset.budget import DropReason

STATISTICS = "statistics.json"
MAX_BINS = 12


@dataclass
class Tally:
    """Exact counts over some samples. Tallies add up, so each shard can be counted alone."""

    questions: int = 0
    samples: int = 0
    steps: Counter[int] = field(default_factory=Counter)
    """Number of samples by number of steps; likewise below."""
    backtracks: Counter[int] = field(default_factory=Counter)
    reasoning_tokens: Counter[int] = field(default_factory=Counter)
    total_tokens: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self, problem: Problem, path: ReasoningPath, sample: TokenSample) -> None:
        """Count a sample of the dataset."""
        self.samples += 1
        self.steps[len(path.steps)] += 1
        self.backtracks[path.backtracks] += 1
        self.reasoning_tokens[sample.reasoning_tokens] += 1
        self.total_tokens[sample.total_tokens] += 1
        self.languages[problem.language] += 1
        self.sources[problem.source or "unknown"] += 1

    def drop(self, reason: DropReason) -> None:
        """Count a path that was left out."""
        self.dropped[reason.value] += 1

    def __iadd__(self, other: Tally) -> Tally:
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, item.name, mine + theirs)
        return self


class Bin(Record):
    """How many samples have a value from `low` to `high`, both included."""

    low: int
    high: int
    samples: int


class Distribution(Record):
    """Summary of one whole number per sample."""

    min: int
    mean: float
    median: float
    p95: int
    """The smallest value that at least 95% of the samples do not exceed (nearest rank)."""
    max: int
    histogram: tuple[Bin, ...]
    """Bins of equal width without gaps, at most `MAX_BINS`."""

    @classmethod
    def of(cls, counts: Counter[int]) -> Distribution:
        """Summarise `counts`: value → number of samples, not empty."""
        total = counts.total()
        values = sorted(counts)
        return cls(
            min=values[0],
            mean=round(sum(value * counts[value] for value in values) / total, 3),
            median=(_ranked(counts, (total + 1) // 2) + _ranked(counts, total // 2 + 1)) / 2,
            p95=_ranked(counts, math.ceil(0.95 * total)),
            max=values[-1],
            histogram=_histogram(counts),
        )


class SplitStatistics(Record):
    """One split of a dataset."""

    questions: int
    samples: int
    files: int
    steps: Distribution
    backtracks: Distribution
    reasoning_tokens: Distribution
    total_tokens: Distribution
    languages: dict[str, int]
    sources: dict[str, int]

    @classmethod
    def of(cls, tally: Tally, files: int) -> SplitStatistics:
        """Summarise a tally of at least one sample."""
        return cls(
            questions=tally.questions,
            samples=tally.samples,
            files=files,
            steps=Distribution.of(tally.steps),
            backtracks=Distribution.of(tally.backtracks),
            reasoning_tokens=Distribution.of(tally.reasoning_tokens),
            total_tokens=Distribution.of(tally.total_tokens),
            languages=by_count(tally.languages),
            sources=by_count(tally.sources),
        )


class TokenizerIdentity(Record):
    """The tokenizer whose ids a dataset holds."""

    name: str
    digest: str
    """See `tokenizer_digest`: equal digests mean equal ids for every text."""
    vocabulary: int
    """Number of ids, control tokens included: what a model's embedding must have at least."""


class DatasetStatistics(Record):
    """What `statistics.json` of a dataset holds."""

    schema_version: int = SCHEMA_VERSION
    tokenizer: TokenizerIdentity
    splits: dict[str, SplitStatistics]
    """By name; a split without samples is left out."""
    dropped: dict[str, int]
    """Paths that were left out of all splits, by reason."""
    system_prompt: str = ""
    """Opens every prompt of the dataset where it is not empty."""


def load_statistics(folder: Path | str) -> DatasetStatistics:
    """Read `statistics.json` of a dataset.

    Raises:
        InputError: if it is missing or not what `steiner dataset` writes.
    """
    path = Path(folder) / STATISTICS
    try:
        return DatasetStatistics.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no finished dataset: it has no {STATISTICS}. Run `steiner dataset` first, "
            "or again if it was stopped."
        ) from None
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read: {error}. Run `steiner dataset` again.") from error


def _ranked(counts: Counter[int], rank: int) -> int:
    """Return the value of the sample number `rank`, counted from 1 in ascending order."""
    passed = 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= rank:
            return value
    raise ValueError(f"rank {rank} of {passed} samples")


def _histogram(counts: Counter[int]) -> tuple[Bin, ...]:
    low, high = min(counts), max(counts)
    width = next(w for w in _round_widths() if high // w - low // w < MAX_BINS)
    bins = dict.fromkeys(range(low // width, high // width + 1), 0)
    for value, samples in counts.items():
        bins[value // width] += samples
    return tuple(Bin(low=n * width, high=(n + 1) * width - 1, samples=s) for n, s in bins.items())


def _round_widths() -> Iterable[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10


def by_count(counts: Counter[str]) -> dict[str, int]:
    """Return `counts` with the most frequent first, ties in alphabetical order."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
