"""The journal of a run: one SQLite file (WAL) with one record per question and stage.

A record is stored in the same transaction that makes it count as done, so a killed process loses at most the
records that it had not committed yet, and never leaves half of one.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from steiner.core import SCHEMA_VERSION, InputError, StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (
    name TEXT PRIMARY KEY,
    settings TEXT NOT NULL,   -- JSON of the stage's settings
    inputs TEXT NOT NULL,     -- JSON: what the stage reads, by name, as digests
    complete INTEGER NOT NULL DEFAULT 0,
    summary TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS records (
    stage TEXT NOT NULL,
    key TEXT NOT NULL,        -- for example a problem id
    ordinal INTEGER NOT NULL, -- place in the run's order, whatever order the work finished in
    body BLOB NOT NULL,       -- zlib-compressed JSON
    UNIQUE (stage, key)
);
CREATE INDEX IF NOT EXISTS records_by_ordinal ON records (stage, ordinal);
CREATE TABLE IF NOT EXISTS calls (
    key BLOB PRIMARY KEY,        -- digest of everything that determines the reply
    kind TEXT NOT NULL,          -- what the call was for
    prompt INTEGER NOT NULL,     -- tokens, failed tries included
    completion INTEGER NOT NULL,
    cost INTEGER,                -- 10^-12 US dollars, failed tries included; NULL where no price was known
    failures INTEGER NOT NULL,   -- how often the call failed for good
    body BLOB                    -- zlib-compressed JSON of the reply; NULL while there is none
);
"""

_FIND_CALL = "SELECT kind, prompt, completion, cost, body FROM calls WHERE key=? AND body IS NOT NULL"
_PUT_CALL = """
INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    prompt = prompt + excluded.prompt,
    completion = completion + excluded.completion,
    cost = COALESCE(cost + excluded.cost, cost, excluded.cost),
    failures = failures + excluded.failures,
    body = COALESCE(excluded.body, body)
"""


class StoredRecord(NamedTuple):
    """One finished piece of work."""

    key: str
    ordinal: int
    body: bytes
    """JSON."""


class StageState(NamedTuple):
    """What the journal knows about a stage."""

    settings: dict[str, object]
    inputs: dict[str, str]
    complete: bool
    summary: dict[str, object]


class StoredCall(NamedTuple):
    """A request to a server that was answered or failed for good. It is paid for: no stage deletes it."""

    key: str
    """Hex digits."""
    kind: str
    prompt_tokens: int
    completion_tokens: int
    cost: int | None
    """In 10^-12 US dollars; None where no price is known."""
    body: bytes | None
    """JSON of the reply, None where the call failed."""


class CallTotals(NamedTuple):
    """What calls came to."""

    answered: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    """In 10^-12 US dollars, of the calls whose price is known."""
    unpriced_prompt_tokens: int = 0
    """Of the calls whose price is not known."""
    unpriced_completion_tokens: int = 0

    def plus(self, other: CallTotals) -> CallTotals:
        """Return the sum, field by field."""
        return CallTotals(*(a + b for a, b in zip(self, other, strict=True)))


class Journal:
    """Reads and writes the journal file of one run."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open `path`, creating it unless `read_only`.

        Raises:
            InputError: if it was written by a newer version.
            StorageError: if it cannot be opened or is damaged.
        """
        self.path = path
        try:
            target = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            self._db = sqlite3.connect(target, uri=True, isolation_level=None, timeout=30)
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                # NORMAL survives a killed process; a power cut may lose the last commits, never consistency.
                self._db.execute("PRAGMA synchronous=NORMAL")
                # Keys of calls are random, so that each commit changes pages all over their index: rare
                # checkpoints and a cache that holds the index keep a call's cost flat for any number of them.
                self._db.execute("PRAGMA wal_autocheckpoint=8000")  # pages: a log of 32 MiB
                self._db.execute("PRAGMA cache_size=-16000")  # KiB
                self._db.executescript(_SCHEMA)
                self._db.execute(
                    "INSERT OR IGNORE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),)
                )
            version = self._db.execute("SELECT value FROM meta WHERE key='schema_version'").fetchone()
        except sqlite3.Error as error:
            raise StorageError(f"The journal {path} cannot be opened: {error}.") from error
        if version is None or int(version[0]) != SCHEMA_VERSION:
            found = "none" if version is None else version[0]
            raise InputError(
                f"The journal {path} has schema version {found}, this steiner reads {SCHEMA_VERSION}: "
                "use the version of steiner that wrote it, or start a new run directory."
            )

    def close(self) -> None:
        """Close the file; idempotent."""
        self._db.close()

    def stage(self, name: str) -> StageState | None:
        """Return what is known about a stage, None if it was never begun."""
        row = self._query("SELECT settings, inputs, complete, summary FROM stages WHERE name=?", name)
        if not row:
            return None
        settings, inputs, complete, summary = row[0]
        return StageState(orjson.loads(settings), orjson.loads(inputs), bool(complete), orjson.loads(summary))

    def begin(self, name: str, settings: dict[str, object], inputs: dict[str, str]) -> None:
        """Register a stage, forgetting all that an earlier one of the same name did.

        Records under `NAME/…` belong to the stage `NAME` and go with it.
        """
        with self._transaction():
            self._db.execute(
                "DELETE FROM records WHERE stage=? OR (stage > ? AND stage < ?)", (name, *_parts(name))
            )
            self._db.execute(
                "INSERT OR REPLACE INTO stages (name, settings, inputs) VALUES (?, ?, ?)",
                (name, _json(settings), _json(inputs)),
            )

    def complete(self, name: str, summary: dict[str, object]) -> None:
        """Mark a stage as finished."""
        with self._transaction():
            self._db.execute("UPDATE stages SET complete=1, summary=? WHERE name=?", (_json(summary), name))

    def forget(self, name: str, keys: Iterable[str], inputs: dict[str, str]) -> None:
        """Delete some records of a stage and of its parts `NAME/…`, so that they are made again.

        `inputs` becomes what the stage reads: where it changes, stages that read this one notice.
        """
        with self._transaction():
            for key in keys:
                self._db.execute(
                    "DELETE FROM records WHERE key=? AND (stage=? OR (stage > ? AND stage < ?))",
                    (key, name, *_parts(name)),
                )
            self._db.execute(
                "UPDATE stages SET complete=0, summary='{}', inputs=? WHERE name=?", (_json(inputs), name)
            )

    def put(self, stage: str, records: Iterable[StoredRecord]) -> None:
        """Store records in one transaction; a record of the same key is replaced."""
        self.put_all({stage: records})

    def put_all(self, records: Mapping[str, Iterable[StoredRecord]]) -> None:
        """Store records of several stages in one transaction."""
        rows = [
            (stage, r.key, r.ordinal, zlib.compress(r.body, 1))
            for stage, stored in records.items()
            for r in stored
        ]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", rows)

    def get(self, stage: str, key: str) -> StoredRecord | None:
        """Return one record, None if there is none."""
        rows = self._query("SELECT key, ordinal, body FROM records WHERE stage=? AND key=?", stage, key)
        return self._unpack(rows[0]) if rows else None

    def keys(self, stage: str) -> set[str]:
        """Return the keys of all finished records of a stage."""
        return {row[0] for row in self._query("SELECT key FROM records WHERE stage=?", stage)}

    def count(self, stage: str) -> int:
        """Return the number of finished records of a stage."""
        return int(self._query("SELECT COUNT(*) FROM records WHERE stage=?", stage)[0][0])

    def records(self, stage: str, batch: int = 256) -> Iterator[StoredRecord]:
        """Yield all records of a stage in the run's order, reading `batch` at a time: memory stays flat."""
        last = (-1, "")
        while True:
            rows = self._query(
                "SELECT key, ordinal, body FROM records WHERE stage=? AND (ordinal, key) > (?, ?) "
                "ORDER BY ordinal, key LIMIT ?",
                stage, *last, batch,
            )  # fmt: skip
            if not rows:
                return
            for row in rows:
                yield self._unpack(row)
            last = (rows[-1][1], rows[-1][0])

    def missing(self, source: str, stage: str, batch: int = 256) -> Iterator[StoredRecord]:
        """Yield the records of `source` that have none of the same key in `stage`, in the run's order.

        Reads `batch` at a time, so that records may be stored meanwhile, and memory stays flat.
        """
        last = (-1, "")
        while True:
            rows = self._query(
                "SELECT key, ordinal, body FROM records AS s WHERE stage=? AND (ordinal, key) > (?, ?) "
                "AND NOT EXISTS (SELECT 1 FROM records WHERE stage=? AND key=s.key) "
                "ORDER BY ordinal, key LIMIT ?",
                source, *last, stage, batch,
            )  # fmt: skip
            if not rows:
                return
            for row in rows:
                yield self._unpack(row)
            last = (rows[-1][1], rows[-1][0])

    def call(self, key: str) -> StoredCall | None:
        """Return an answered call, None if it was never answered."""
        try:
            row = self._db.execute(_FIND_CALL, (bytes.fromhex(key),)).fetchone()
            if row is None:
                return None
            kind, prompt, completion, cost, body = row
            return StoredCall(key, kind, prompt, completion, cost, zlib.decompress(body))
        except (sqlite3.DatabaseError, zlib.error) as error:
            raise StorageError(f"The journal {self.path} cannot be read: {error}.") from error

    def call_keys(self) -> Iterator[str]:
        """Yield the keys of all calls, failed ones included."""
        try:
            for (key,) in self._db.execute("SELECT key FROM calls"):
                yield key.hex()
        except sqlite3.DatabaseError as error:
            raise StorageError(f"The journal {self.path} cannot be read: {error}.") from error

    def put_calls(self, calls: Iterable[StoredCall]) -> None:
        """Store calls in one transaction. What an earlier failure of the same call cost is added."""
        rows = [
            (
                bytes.fromhex(c.key), c.kind, c.prompt_tokens, c.completion_tokens, c.cost,
                int(c.body is None), None if c.body is None else _compress_small(c.body),
            )
            for c in calls
        ]  # fmt: skip
        with self._transaction():
            self._db.executemany(_PUT_CALL, rows)

    def call_totals(self) -> dict[str, CallTotals]:
        """Return what all calls of this run came to, by kind."""
        rows = self._query(
            "SELECT kind, COUNT(body), SUM(failures), SUM(prompt), SUM(completion), SUM(COALESCE(cost, 0)), "
            "SUM(CASE WHEN cost IS NULL THEN prompt ELSE 0 END), "
            "SUM(CASE WHEN cost IS NULL THEN completion ELSE 0 END) FROM calls GROUP BY kind ORDER BY kind"
        )
        return {row[0]: CallTotals(*row[1:]) for row in rows}

    def _unpack(self, row: tuple[Any, ...]) -> StoredRecord:
        try:
            return StoredRecord(row[0], row[1], zlib.decompress(row[2]))
        except zlib.error as error:
            raise StorageError(f"Record {row[0]} of the journal {self.path} is damaged: {error}.") from error

    def _query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StorageError(f"The journal {self.path} cannot be read: {error}.") from error

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db, self.path)


class _Transaction:
    """BEGIN … COMMIT, with a full disk reported as a `StorageError` and rolled back."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self._db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failure:
            raise self._failure(failure) from failure
        if isinstance(error, sqlite3.Error):
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"The journal {self._path} cannot be written: {error}. What was finished before is kept; "
            "free some space or fix the permissions and run the same command again to go on."
        )


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _compress_small(body: bytes) -> bytes:
    """Compress a few kilobytes: setting up zlib's usual tables takes longer than the work itself."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 13, 6)
    return compressor.compress(body) + compressor.flush()


def _parts(name: str) -> tuple[str, str]:
    """Return bounds of the names `NAME/…`: '0' is the character after '/'."""
    return f"{name}/", f"{name}0"
