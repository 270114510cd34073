"""The stage `dataset`: sampled paths → Parquet files, a card and statistics.

Each file is made from a part of the run that the plan names, written under a temporary name and renamed, then
recorded in the journal. A kill therefore loses at most the file in work, and going on gives the same bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from steiner.core import InputError, NoProgress, Progress
from steiner.dataset.card import render_card
from steiner.dataset.rows import SCHEMA, Rows, make_rows, start_worker
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.shards import SPLITS, TRAIN, Shard, plan_shards, read_chunks
from steiner.dataset.statistics import (
    STATISTICS,
    DatasetStatistics,
    SplitStatistics,
    Tally,
    TokenizerIdentity,
    by_count,
)
from steiner.dataset.tokenise import load_tokenizer, tokenizer_digest
from steiner.store import RunDir, Stage, StoredRecord, Workers, atomic_write, disk_errors, map_bounded
from steiner.store.stage import stage_digest

STAGE = "dataset"
"""Name of the stage and of the folder in the run directory."""
CARD = "README.md"

CHUNK_QUESTIONS = 32
"""What a worker is handed at a time."""
WORKER_QUESTIONS = 2000
"""A worker takes seconds to start, for it imports transformers: there is one for each so many questions."""
ROW_GROUP = 1024
"""Least number of rows of a Parquet row group: bounds what is held in memory."""


@dataclass(frozen=True)
class WrittenFile:
    """What the journal holds of a finished file."""

    size: int
    """Bytes."""
    tally: Tally


_WRITTEN_FILE = TypeAdapter(WrittenFile)


def write_dataset(
    run: RunDir,
    settings: DatasetSettings,
    *,
    workers: Workers = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> DatasetStatistics:
    """Write `RUN/dataset` from the stages `problems` and `paths`, or go on with it.

    Args:
        run: open for writing.
        settings: decide the content, down to the byte.
        workers: number of processes, or an engine; has no influence on the content.
        force: make the dataset anew if it was made with other settings or from other paths.
        progress: is told the number of finished questions.

    Raises:
        InputError: if a stage is missing or unfinished, the tokenizer cannot be used, or no path is left.
        ResumeError: if the dataset was begun with other settings or inputs.
        StorageError: if it cannot be written.
    """
    inputs = {name: stage_digest(run, name) for name in ("problems", "paths")}
    if run.journal.stage("graphs") is not None:
        inputs["graphs"] = stage_digest(run, "graphs")
    identity = _identify(settings.tokenizer)
    stage = Stage(run, STAGE, settings, {**inputs, "tokenizer": identity.digest}, force=force)
    folder = run.path / STAGE
    shards = plan_shards(run.journal, settings)
    files = _finished(run, folder)
    _remove_strays(folder, keep=files.keys())
    for record, file in _write_shards(
        run, settings, shards, skip=files.keys(), workers=workers, progress=progress or NoProgress()
    ):
        stage.put([record])
        files[record.key] = file
    statistics = _summarise(run, shards, files, identity).model_copy(
        update={"system_prompt": settings.system_prompt}
    )
    _write_text(folder / STATISTICS, statistics.model_dump_json(indent=2) + "\n")
    _write_text(folder / CARD, render_card(statistics, settings, _example(folder, shards, files)))
    stage.finish(statistics.model_dump(mode="json"))
    return statistics


def _identify(name: str) -> TokenizerIdentity:
    tokenizer = load_tokenizer(name)
    return TokenizerIdentity(name=name, digest=tokenizer_digest(tokenizer), vocabulary=len(tokenizer))


def _finished(run: RunDir, folder: Path) -> dict[str, WrittenFile]:
    """Return the files that are recorded as finished and still there, by name."""
    finished: dict[str, WrittenFile] = {}
    for record in run.journal.records(STAGE):
        file = _WRITTEN_FILE.validate_json(record.body)
        path = folder / record.key
        if path.is_file() and path.stat().st_size == file.size:
            finished[record.key] = file
    return finished


def _remove_strays(folder: Path, keep: Collection[str]) -> None:
    """Remove files of ours that are not recorded: left by a kill, or by other settings."""
    with disk_errors("The folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in [*folder.glob("*.parquet"), *folder.glob(".*.tmp")]:
            if path.name not in keep:
                path.unlink()


def _write_shards(
    run: RunDir,
    settings: DatasetSettings,
    shards: Sequence[Shard],
    *,
    skip: Collection[str],
    workers: Workers,
    progress: Progress,
) -> Iterator[tuple[StoredRecord, WrittenFile]]:
    """Write the files whose names are not in `skip`; yield each, with its record, as it is finished."""
    todo = [(number, shard) for number, shard in enumerate(shards) if shard.name not in skip]
    total = sum(len(shard.keys) for shard in shards)
    ready = total - sum(len(shard.keys) for _, shard in todo)
    progress.start(STAGE, total)
    progress.update(ready)
    chunks = (chunk for _, shard in todo for chunk in read_chunks(run.journal, shard, CHUNK_QUESTIONS))
    if isinstance(workers, int):
        workers = min(workers, (total - ready) // WORKER_QUESTIONS)
    results = map_bounded(make_rows, chunks, workers, initializer=start_worker, initargs=(settings,))
    results = _reported(results, progress, ready)
    for number, shard in todo:
        own = islice(results, math.ceil(len(shard.keys) / CHUNK_QUESTIONS))
        path = run.path / STAGE / shard.name
        tally = Tally()
        with atomic_write(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for group in _row_groups(own, tally):
                writer.write_table(group)
        written = WrittenFile(path.stat().st_size, tally)
        yield StoredRecord(shard.name, number, _WRITTEN_FILE.dump_json(written)), written
    progress.finish()


def _reported(results: Iterable[Rows], progress: Progress, ready: int) -> Iterator[Rows]:
    for rows in results:
        ready += rows.tally.questions
        progress.update(ready)
        yield rows


def _row_groups(results: Iterable[Rows], tally: Tally) -> Iterator[pa.Table]:
    """Gather rows into tables of at least `ROW_GROUP` rows, and their counts into `tally`."""
    held: list[pa.RecordBatch] = []
    for rows in results:
        tally += rows.tally
        held.append(rows.batch)
        if sum(batch.num_rows for batch in held) >= ROW_GROUP:
            yield pa.Table.from_batches(held).combine_chunks()
            held = []
    if held:
        yield pa.Table.from_batches(held).combine_chunks()


def _summarise(
    run: RunDir, shards: Sequence[Shard], files: Mapping[str, WrittenFile], identity: TokenizerIdentity
) -> DatasetStatistics:
    splits: dict[str, SplitStatistics] = {}
    dropped: Counter[str] = Counter()
    for split in SPLITS:
        total = Tally()
        names = [shard.name for shard in shards if shard.split == split]
        for name in names:
            total += files[name].tally
        dropped += total.dropped
        if total.samples:
            splits[split] = SplitStatistics.of(total, files=len(names))
    if TRAIN not in splits:
        reasons = ", ".join(f"{count:,} with {reason}" for reason, count in by_count(dropped).items())
        raise InputError(
            f"No path of {run.path} is left to train on: "
            + (
                f"all were dropped ({reasons}). Raise the token budgets."
                if dropped
                else "stage 'paths' is empty."
            )
        )
    return DatasetStatistics(tokenizer=identity, splits=splits, dropped=by_count(dropped))


def _example(folder: Path, shards: Sequence[Shard], files: Mapping[str, WrittenFile]) -> str:
    """Return the text of the first sample that backtracks, or of the first one where none in sight does."""
    name = next(shard.name for shard in shards if files[shard.name].tally.samples)
    with pq.ParquetFile(folder / name) as file:
        rows = file.read_row_group(0, columns=["completion", "backtracks"]).to_pylist()
    return str(next((row for row in rows if row["backtracks"]), rows[0])["completion"])


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
