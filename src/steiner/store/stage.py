"""A resumable stage: read each record of one stage, work, write one record of the next."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from steiner.core import InputError, NoProgress, Progress, ResumeError, Settings, digest
from steiner.store.beside import Beside
from steiner.store.engine import Workers
from steiner.store.journal import StageState, StoredRecord
from steiner.store.parallel import map_bounded
from steiner.store.rundir import RunDir

COMMIT_SECONDS = 0.5
"""At most this much finished work is lost to a SIGKILL."""
COMMIT_RECORDS = 256


class StageReport(NamedTuple):
    """What one call of a stage did."""

    done_before: int
    done_now: int
    seconds: float


class Stage:
    """The write side of one stage of a run.

    The digest of a stage covers its settings and the digests of what it reads, so a change anywhere upstream
    is noticed by everything downstream.
    """

    def __init__(
        self,
        run: RunDir,
        name: str,
        settings: Settings,
        inputs: Mapping[str, str] | None = None,
        *,
        force: bool = False,
    ) -> None:
        """Begin the stage, or go on with it where its settings and inputs are the same.

        Args:
            run: the run directory.
            name: name of the stage, for example `traces`.
            settings: everything that decides the outcome. Worker counts and the like do not belong in it.
            inputs: digests of what the stage reads, by name.
            force: start the stage afresh if settings or inputs differ, instead of refusing.

        Raises:
            ResumeError: if the stage was begun with other settings or inputs; names each difference.
        """
        self.run = run
        self.name = name
        values: dict[str, object] = settings.model_dump(mode="json")
        wanted = StageState(values, dict(inputs or {}), complete=False, summary={})
        known = run.journal.stage(name)
        if known is not None:
            differences = list(_differences(known, wanted))
            if differences and not force:
                raise ResumeError(
                    f"{run.path} holds a stage '{name}' that was made with other settings: "
                    f"{'; '.join(differences)}. Use the same settings, another run directory, or --force to "
                    f"discard the stage and make it anew."
                )
            if differences:
                known = None
        if known is None:
            run.journal.begin(name, wanted.settings, wanted.inputs)
        self.is_complete = known is not None and known.complete
        self.summary: dict[str, object] = known.summary if known is not None else {}

    @property
    def digest(self) -> str:
        """Hash of settings and inputs: what a stage that reads this one must name as its input."""
        return stage_digest(self.run, self.name)

    def put(self, records: Iterable[StoredRecord]) -> None:
        """Store finished records in one transaction."""
        self.run.journal.put(self.name, records)

    def finish(self, summary: Mapping[str, object]) -> None:
        """Mark the stage as complete."""
        self.run.journal.complete(self.name, dict(summary))
        self.is_complete = True
        self.summary = dict(summary)


def stage_digest(run: RunDir, name: str) -> str:
    """Return the digest of a stage that has been completed.

    Raises:
        InputError: if it is missing or unfinished.
    """
    state = run.journal.stage(name)
    if state is None:
        raise InputError(f"{run.path} has no stage '{name}' yet: run the command that makes it first.")
    if not state.complete:
        raise InputError(
            f"Stage '{name}' of {run.path} is unfinished: run its command again to go on with it."
        )
    return digest([name, state.settings, state.inputs])


def run_stage(
    stage: Stage,
    source: str,
    work: Callable[[StoredRecord], bytes | None],
    *,
    workers: Workers = 1,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    beside: Beside | None = None,
    progress: Progress | None = None,
) -> StageReport:
    """Apply `work` to each record of stage `source` that has no record in `stage` yet.

    `work` must be a pure function of the record: then a killed and resumed stage gives the same journal as an
    undisturbed one, with any number of workers and any engine. A result of None is stored as JSON `null`, so
    that it is not tried again. The caller calls `stage.finish` afterwards. For the other arguments see
    `map_bounded`.
    """
    started = time.monotonic()
    progress = progress or NoProgress()
    journal = stage.run.journal
    done = journal.keys(stage.name)
    before, total = len(done), journal.count(source)
    progress.start(stage.name, total)
    progress.update(before)
    todo = (record for record in journal.records(source) if record.key not in done)
    results = map_bounded(
        functools.partial(_apply, work), todo, workers,
        initializer=initializer, initargs=initargs, beside=beside,
    )  # fmt: skip
    finished = before
    for batch in _batches(results):
        stage.put(batch)
        finished += len(batch)
        rate = (finished - before) / max(time.monotonic() - started, 1e-9)
        progress.update(finished, f"{rate:,.0f}/s")
    progress.finish()
    return StageReport(before, finished - before, time.monotonic() - started)


def _apply(work: Callable[[StoredRecord], bytes | None], record: StoredRecord) -> StoredRecord:
    body = work(record)
    return StoredRecord(record.key, record.ordinal, b"null" if body is None else body)


def _batches(records: Iterator[StoredRecord]) -> Iterator[list[StoredRecord]]:
    """Group records so that a commit is worth its cost and little is lost to a kill."""
    batch: list[StoredRecord] = []
    began = time.monotonic()
    for record in records:
        batch.append(record)
        if len(batch) >= COMMIT_RECORDS or time.monotonic() - began >= COMMIT_SECONDS:
            yield batch
            batch = []
            began = time.monotonic()
    if batch:
        yield batch


def _differences(known: StageState, wanted: StageState) -> Iterator[str]:
    old, new = _flat(known.settings), _flat(wanted.settings)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
    for name in sorted(known.inputs.keys() | wanted.inputs.keys()):
        if known.inputs.get(name) != wanted.inputs.get(name):
            yield f"its input '{name}' has changed"


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
