"""Plain text from files of each kind, and what cannot be read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steiner.core import InputError
from steiner.train.text import read_documents, sources_digest


def write_rows(path: Path, rows: list[dict]) -> str:
    """Write rows as JSON lines or Parquet, by the name of the file."""
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_documents_end_at_blank_lines_and_files(tmp_path):
    first = tmp_path / "1.txt"
    first.write_bytes("\ufeff1 + 1 = 2\r\n2 + 2 = 4\r\n\r\n \t\r\nlast".encode())
    assert list(read_documents([str(first)])) == ["1 + 1 = 2\n2 + 2 = 4", "last"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_rows_of_a_column_are_documents_and_empty_ones_are_passed_over(tmp_path, ending):
    rows = [
        {"body": "one\n\ntwo", "n": 1},
        {"body": " ", "n": 2},
        {"body": None, "n": 3},
        {"body": "三", "n": 4},
    ]
    path = write_rows(tmp_path / f"rows.{ending}", rows)
    assert list(read_documents([path], "body")) == ["one\n\ntwo", "三"]
    with pytest.raises(InputError, match=r"no column 'text'.* body, n\. Set text_column"):
        list(read_documents([path]))
    with pytest.raises(InputError, match="column 'n' holds int, not text"):
        list(read_documents([path], "n"))


def test_sources_take_turns_until_all_have_ended(tmp_path):
    (tmp_path / "a.txt").write_text("a1\n\na2\n\na3")
    b = write_rows(tmp_path / "b.parquet", [{"text": "b1"}])
    c = write_rows(tmp_path / "c.jsonl", [{"text": "c1"}, {"text": "c2"}])
    assert list(read_documents([str(tmp_path / "a.txt"), b, c])) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_files_are_read_as_far_as_needed(tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\nno json\n')
    assert list(itertools.islice(read_documents([str(path)]), 2)) == ["one", "two"]
    with pytest.raises(InputError, match="after line 3"):
        list(read_documents([str(path)]))


def test_what_cannot_be_read_is_named(tmp_path):
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("\n\n")
    binary.write_bytes(b"\xff\xfe\x00")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    for path, message in (
        (empty, "no text in"),
        (binary, "no UTF-8 text"),
        (broken, "as Parquet"),
        (tmp_path / "missing.txt", "does not exist"),
        (tmp_path / "missing.parquet", "does not exist"),
        ("missing", "does not exist"),
        ("some/folder/missing", "does not exist"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_documents([str(path)]))


def test_a_hub_dataset_without_a_network_is_one_clear_message(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the hub\nand a long story")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(
        InputError, match=r"'owner/name:config' is no file.*Couldn't reach the hub Check the id"
    ):
        list(read_documents(["owner/name:config"]))


def test_the_digest_follows_the_content_of_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = sources_digest([str(path), "owner/name"])
    assert sources_digest([str(path), "owner/name"]) == first
    path.write_text("two")
    assert sources_digest([str(path), "owner/name"]) != first
    assert sources_digest([str(path), "owner/other"]) != sources_digest([str(path), "owner/name"])
