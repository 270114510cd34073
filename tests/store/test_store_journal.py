from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import InputError, StorageError
from steiner.store import Journal, StoredRecord

RECORDS = st.builds(
    StoredRecord, st.text(min_size=1, max_size=8), st.integers(0, 20), st.binary(max_size=200)
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(RECORDS, max_size=6), max_size=6), batch=st.integers(1, 7))
def test_records_come_back_last_written_in_run_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[StoredRecord]], batch: int
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "journal.sqlite")
    model: dict[str, StoredRecord] = {}
    for records in batches:
        journal.put("stage", records)
        journal.put("other", [StoredRecord("x", 0, b"never seen")])
        model |= {record.key: record for record in records}
    # SQLite compares text by its UTF-8 bytes.
    expected = sorted(model.values(), key=lambda record: (record.ordinal, record.key.encode()))
    assert list(journal.records("stage", batch=batch)) == expected
    assert journal.keys("stage") == set(model)
    assert journal.count("stage") == len(model)
    assert all(journal.get("stage", key) == record for key, record in model.items())
    journal.close()


def test_a_failed_batch_leaves_nothing(journal: Journal) -> None:
    def torn() -> Iterator[StoredRecord]:
        yield StoredRecord("a", 0, b"{}")
        raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError, match="the work failed"):
        journal.put("stage", torn())
    assert journal.count("stage") == 0
    journal.put("stage", [StoredRecord("a", 0, b"{}")])
    assert journal.count("stage") == 1


def test_beginning_a_stage_again_forgets_its_records_only(journal: Journal) -> None:
    for name in ("one", "two"):
        journal.begin(name, {"seed": 1}, {})
        journal.put(name, [StoredRecord("a", 0, b"{}")])
        journal.complete(name, {"n": 1})
    journal.begin("one", {"seed": 2}, {})
    assert journal.count("one") == 0
    assert journal.count("two") == 1
    assert journal.stage("one") == ({"seed": 2}, {}, False, {})
    assert journal.stage("two") == ({"seed": 1}, {}, True, {"n": 1})
    assert journal.stage("three") is None


def test_a_newer_schema_is_refused(tmp_path: Path, journal: Journal) -> None:
    with sqlite3.connect(journal.path) as db:
        db.execute("UPDATE meta SET value='99' WHERE key='schema_version'")
    with pytest.raises(InputError, match=r"schema version 99.*new run directory"):
        Journal(journal.path)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match=r"journal\.sqlite cannot be opened"):
        Journal(path)


def test_a_damaged_record_is_named(journal: Journal) -> None:
    journal.put("stage", [StoredRecord("broken", 0, b"x" * 100)])
    with sqlite3.connect(journal.path) as db:
        db.execute("UPDATE records SET body=X'00'")
    with pytest.raises(StorageError, match=r"Record broken of the journal .* is damaged"):
        list(journal.records("stage"))


def test_a_reader_sees_what_a_writer_commits(journal: Journal) -> None:
    reader = Journal(journal.path, read_only=True)
    journal.put("stage", [StoredRecord("a", 0, b"{}")])
    assert reader.keys("stage") == {"a"}
    with pytest.raises(StorageError, match="cannot be written"):
        reader.put("stage", [StoredRecord("b", 1, b"{}")])
    reader.close()


FILL = """
import os, resource, signal, sys
from pathlib import Path
from steiner.core import StorageError
from steiner.store import Journal, StoredRecord
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    for number in range(1000):
        journal.put("stage", [StoredRecord(str(number), number, os.urandom(10_000))])
except StorageError as error:
    print(number, error)
    os._exit(74)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limit on this system")
def test_a_file_that_may_not_grow_keeps_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    result = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, check=False)
    assert result.returncode == 74, result.stderr
    stored, message = result.stdout.split(" ", 1)
    assert "cannot be written" in message
    assert "run the same command again" in message
    journal = Journal(path)
    assert journal.keys("stage") == {str(number) for number in range(int(stored))}
    journal.put("stage", [StoredRecord("more", 5000, b"{}")])
    journal.close()
