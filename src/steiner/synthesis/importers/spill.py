"""Records of many files regrouped by question, without holding them in memory.

Each file is read once into a journal beside the run's own; afterwards each question's records are looked up
there. A file that was read completely is never read again, so a killed import goes on where it stopped. The
spill is deleted when the import is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import orjson

from steiner.core import Problem, Progress
from steiner.store import Journal, StoredRecord

_FILE = "import.sqlite"
_GROUPS = "-groups"
_BATCH = 512


class Plan(NamedTuple):
    """The problems of all files, in order, and where their records lie."""

    problems: list[Problem]
    groups: list[tuple[str, list[str]]]
    """Problem id and its question numbers, parallel to `problems`."""
    records: int
    """Records of these problems in all files."""
    other_options: int
    """How many of them have other options than the problem, so that their letters mean something else."""
    repeated: int
    """Question numbers that repeat the content of another one."""
    corrected: int
    """Questions whose text, options or key differ between files; the version of most files is taken."""
    unusable: int = 0
    """Records of all files that no problem can be made of."""


class Spill:
    """A journal with one stage per source file and one that says which records belong to which problem."""

    def __init__(self, run_path: Path, *, read_only: bool = False) -> None:
        """Open the spill of a run; use as a context manager.

        Raises:
            StorageError: if it cannot be opened.
        """
        self.path = run_path / _FILE
        self.journal = Journal(self.path, read_only=read_only)

    def fill(
        self,
        sources: Sequence[tuple[str, str]],
        read: Callable[[str], Iterable[tuple[int, str, bytes]]],
        progress: Progress,
    ) -> None:
        """Read each source that has not been read yet.

        Args:
            sources: name and digest of the content of each.
            read: gives (question number, key, JSON) of each record of a source; a later record of the same
                key replaces an earlier one.
            progress: told about each source.
        """
        progress.start("read files", len(sources))
        for done, (name, content) in enumerate(sources):
            state = self.journal.stage(name)
            if state is None or not state.complete or state.inputs != {"content": content}:
                self.journal.begin(name, {}, {"content": content})
                records = (StoredRecord(key, number, body) for number, key, body in read(name))
                for batch in batched(records, _BATCH):
                    self.journal.put(name, batch)
                self.journal.complete(name, {})
            progress.update(done + 1, name)
        progress.finish()

    def put_groups(self, groups: Iterable[tuple[str, Sequence[str]]], inputs: dict[str, str]) -> None:
        """Store which record keys belong to each problem id, and what that was decided from."""
        self.journal.begin(_GROUPS, {}, inputs)
        records = (StoredRecord(key, i, orjson.dumps(list(keys))) for i, (key, keys) in enumerate(groups))
        for batch in batched(records, _BATCH):
            self.journal.put(_GROUPS, batch)
        self.journal.complete(_GROUPS, {})

    def has_groups(self, inputs: dict[str, str]) -> bool:
        """Whether the groups were stored completely and decided from the same."""
        state = self.journal.stage(_GROUPS)
        return state is not None and state.complete and state.inputs == inputs

    def group(self, problem_id: str) -> list[str]:
        """Return the record keys of a problem."""
        record = self.journal.get(_GROUPS, problem_id)
        return list(orjson.loads(record.body)) if record is not None else []

    def get(self, source: str, key: str) -> Any:
        """Return one record, parsed; None if the source has none of that key."""
        record = self.journal.get(source, key)
        return None if record is None else orjson.loads(record.body)

    def records(self, source: str) -> Iterator[tuple[int, Any]]:
        """Yield (question number, record) of a source in order of number."""
        for record in self.journal.records(source):
            yield record.ordinal, orjson.loads(record.body)

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.journal.close()


def remove_spill(run_path: Path) -> None:
    """Delete the spill of a run, if there is one."""
    for suffix in ("", "-wal", "-shm"):
        (run_path / f"{_FILE}{suffix}").unlink(missing_ok=True)


def batched(records: Iterable[StoredRecord], size: int) -> Iterator[list[StoredRecord]]:
    """Yield the records in lists of at most `size`."""
    stream = iter(records)
    while batch := list(islice(stream, size)):
        yield batch
