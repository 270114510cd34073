"""Which question goes into which file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from steiner.core import Problem, StorageError, digest
from steiner.dataset.settings import DatasetSettings
from steiner.store import Journal

TRAIN, VALIDATION = SPLITS = ("train", "validation")
NOTHING = (b"null", b"[]")
"""Bodies of path records that hold no path."""


class Shard(NamedTuple):
    """One file of the dataset."""

    name: str
    split: str
    keys: tuple[str, ...]
    """Ids of its problems, in the order of the run."""


def plan_shards(journal: Journal, settings: DatasetSettings) -> list[Shard]:
    """Return all files of the dataset.

    The plan follows from the finished stages `problems` and `paths` and the settings alone, so a file can be
    made, or made again, without looking at the others. Problems with the same question are in the same split.
    """
    # All that is kept per problem is two short strings.
    questions = {
        record.key: Problem.model_validate_json(_body(journal, "problems", record.key)).question_key
        for record in journal.records("paths")
        if record.body not in NOTHING
    }
    held_out = _held_out(set(questions.values()), settings)
    shards: list[Shard] = []
    for split in SPLITS:
        keys = [key for key, question in questions.items() if (question in held_out) == (split == VALIDATION)]
        size = settings.questions_per_file
        parts = [tuple(keys[start : start + size]) for start in range(0, len(keys), size)]
        shards += (
            Shard(f"{split}-{index:05d}-of-{len(parts):05d}.parquet", split, part)
            for index, part in enumerate(parts)
        )
    return shards


class StoredQuestion(NamedTuple):
    """A question of the run as it is stored, JSON."""

    problem: bytes
    paths: bytes
    graph: bytes
    """Empty if the run has none."""


def read_chunks(journal: Journal, shard: Shard, size: int) -> Iterator[list[StoredQuestion]]:
    """Yield the stored problems of a shard with their stored paths and graphs, `size` at a time."""
    for start in range(0, len(shard.keys), size):
        yield [
            StoredQuestion(
                _body(journal, "problems", key), _body(journal, "paths", key), _graph(journal, key)
            )
            for key in shard.keys[start : start + size]
        ]


def _graph(journal: Journal, key: str) -> bytes:
    record = journal.get("graphs", key)
    return b"" if record is None or record.body in NOTHING else record.body


def _body(journal: Journal, stage: str, key: str) -> bytes:
    record = journal.get(stage, key)
    if record is None:
        raise StorageError(
            f"The journal {journal.path} lacks record {key} of '{stage}': make that stage anew."
        )
    return record.body


def _held_out(questions: set[str], settings: DatasetSettings) -> set[str]:
    """Choose the share of questions for validation: at least one, never all.

    The choice ranks questions by a hash of their own, so a few more questions change it little.
    """
    if not settings.validation_share or len(questions) < 2:
        return set()
    count = min(max(round(settings.validation_share * len(questions)), 1), len(questions) - 1)
    return set(
        sorted(questions, key=lambda question: digest([settings.seed, "validation", question]))[:count]
    )
