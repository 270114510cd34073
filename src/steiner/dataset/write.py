"""The stage `dataset`: sampled paths → Parquet files, a card and statistics.

Each file is made from a part of the run that the plan names, written under a temporary name and renamed, then
recorded in the journal. A kill therefore loses at most the file in work, and going on gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from steiner.core import InputError, NoProgress, Progress
from steiner.dataset.card import render_card
from steiner.dataset.rows import SCHEMA, Rows, make_rows, start_worker
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.shards import Shard, plan_shards, read_chunks
from steiner.dataset.statistics import (
    DatasetStatistics,
    SplitStatistics,
    Tally,
    TokenizerIdentity,
    by_count,
)
from steiner.dataset.tokenise import load_tokenizer, tokenizer_digest
from steiner.store import RunDir, Stage, StoredRecord, atomic_write, disk_errors, map_bounded
from steiner.store.stage import stage_digest

FOLDER = "dataset"
STATISTICS = "statistics.json"
CARD = "README.md"

CHUNK_QUESTIONS = 32
"""What a worker is handed at a time."""
ROW_GROUP = 1024
"""Least number of rows of a Parquet row group: bounds what is held in memory."""


def write_dataset(
    run: RunDir,
    settings: DatasetSettings,
    *,
    workers: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> DatasetStatistics:
    """Write `RUN/dataset` from the stages `problems` and `paths`, or go on with it.

    Args:
        run: open for writing.
        settings: decide the content, down to the byte.
        workers: number of processes; has no influence on the content.
        force: make the dataset anew if it was made with other settings or from other paths.
        progress: is told the number of finished questions.

    Raises:
        InputError: if a stage is missing or unfinished, the tokenizer cannot be used, or no path is left.
        ResumeError: if the dataset was begun with other settings or inputs.
        StorageError: if it cannot be written.
    """
    inputs = {name: stage_digest(run, name) for name in ("problems", "paths")}
    tokenizer = load_tokenizer(settings.tokenizer)
    identity = TokenizerIdentity(
        name=settings.tokenizer, digest=tokenizer_digest(tokenizer), vocabulary=len(tokenizer)
    )
    stage = Stage(run, FOLDER, settings, {**inputs, "tokenizer": identity.digest}, force=force)
    folder = run.path / FOLDER
    shards = plan_shards(run.journal, settings)
    done = _finished(stage, folder)
    _remove_strays(folder, keep=set(done))
    _write_shards(stage, folder, shards, done, workers=workers, progress=progress or NoProgress())
    statistics = _summarise(run, shards, _finished(stage, folder), identity)
    with atomic_write(folder / STATISTICS) as file:
        file.write(orjson.dumps(statistics.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n")
    with atomic_write(folder / CARD) as file:
        first = folder / next(shard.name for shard in shards)
        file.write(render_card(statistics, settings, _first_completion(first)).encode())
    stage.finish(statistics.model_dump(mode="json"))
    return statistics


def _finished(stage: Stage, folder: Path) -> dict[str, Tally]:
    """Return the tallies of the files that are recorded as finished and still there, by name."""
    finished: dict[str, Tally] = {}
    for record in stage.run.journal.records(stage.name):
        body = orjson.loads(record.body)
        path = folder / record.key
        if path.is_file() and path.stat().st_size == body["bytes"]:
            finished[record.key] = Tally.from_json(orjson.dumps(body["tally"]))
    return finished


def _remove_strays(folder: Path, keep: set[str]) -> None:
    """Remove files of ours that are not recorded: left by a kill, or by other settings."""
    with disk_errors("The folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in [*folder.glob("*.parquet"), *folder.glob(".*.tmp")]:
            if path.name not in keep:
                path.unlink()


def _write_shards(
    stage: Stage,
    folder: Path,
    shards: list[Shard],
    done: dict[str, Tally],
    *,
    workers: int,
    progress: Progress,
) -> None:
    todo = [(number, shard) for number, shard in enumerate(shards) if shard.name not in done]
    questions = sum(len(shard.keys) for shard in shards)
    ready = questions - sum(len(shard.keys) for _, shard in todo)
    progress.start(stage.name, questions)
    progress.update(ready)
    chunks = (chunk for _, shard in todo for chunk in read_chunks(stage.run.journal, shard, CHUNK_QUESTIONS))
    settings = stage.settings
    results = map_bounded(make_rows, chunks, workers, initializer=start_worker, initargs=(settings,))
