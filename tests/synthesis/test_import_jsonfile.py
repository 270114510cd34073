"""Files of JSON objects: what is read, and what the messages say of what is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importing import run_import, write_lines

from steiner.core import InputError
from steiner.synthesis.importers import ImportSettings
from steiner.synthesis.importers.jsonfile import read_objects

ROWS = [{"a": 1, "b": "é"}, {"a": 2, "b": "中"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def read(folder: Path, content: bytes, name: str = "x.jsonl") -> list[tuple[str, dict[str, Any]]]:
    path = folder / name
    path.write_bytes(content)
    return [(f"{place.unit} {place.number}", row) for place, row in read_objects(path, "rows with a")]


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.rstrip("\n").encode(),
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode(),
    ],
)
def test_json_lines_however_they_are_ended(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [("line 1", ROWS[0]), ("line 2", ROWS[1])]


def test_blank_lines_count_as_lines(tmp_path: Path) -> None:
    assert [place for place, _ in read(tmp_path, b"\n" + LINES.replace("\n", "\n\n").encode())] == [
        "line 2",
        "line 4",
    ]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_list_is_taken_for_its_items(tmp_path: Path, indent: int | None, mark: bytes) -> None:
    found = read(tmp_path, mark + json.dumps(ROWS, indent=indent).encode())
    assert found == [("item 1", ROWS[0]), ("item 2", ROWS[1])]


def test_one_spread_object_and_gzip(tmp_path: Path) -> None:
    assert read(tmp_path, json.dumps(ROWS[0], indent=2).encode()) == [("item 1", ROWS[0])]
    assert [row for _, row in read(tmp_path, gzip.compress(LINES.encode()), "x.jsonl.gz")] == ROWS


def test_what_only_python_writes_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"a": NaN, "b": "\\ud800x"}\n') == [("line 1", {"a": None, "b": "?x"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: expected rows with a"),
        (b"\xef\xbb\xbf\r\n\r\n", "is empty"),
        (b"[]", "is an empty list: expected rows with a"),
        (LINES.encode()[:-9], "line 2, the last, breaks off in the middle"),
        (LINES.encode()[:-5], "line 2, the last, breaks off in the middle"),  # within a character
        (json.dumps(ROWS).encode()[:-5], "the file breaks off at its end"),
        (b"id,text\n1,x\n", "line 1 is not valid JSON .* it begins with 'id,text'. Expected rows with a"),
        (b'{"a": 1}\n<html>\n{"a": 2}\n', "line 2 is not valid JSON"),
        (b'{"a": 1}\n7\n', "line 2 holds a number, no object"),
        (b'[{"a": 1}, "x"]', "item 2 holds a text, no object"),
        (b'{"a": "\xff"}\n{"a": 1}\n', "line 1 is not UTF-8 text"),
        (b'{"a": ' + b"[" * 100_000 + b"\n{}\n", "line 1 is not valid JSON"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "missing.jsonl", "does not exist"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_objects(path, "rows"))
    with pytest.raises(InputError, match="no readable gzip file"):
        read(tmp_path, gzip.compress(LINES.encode())[:-12], "torn.jsonl.gz")


def encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), min_size=1, max_size=5))
def test_any_objects_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    found = read(tmp_path_factory.mktemp("any"), content)
    clean = [
        {encodable(key): encodable(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in rows
    ]
    assert [row for _, row in found] == clean


PRM = {"question": {"problem": "q", "ground_truth_answer": "1"}, "label": {"steps": []}}
TREE = {"question": "q", "final_answer": "1", "reasoning_steps": {"text": "q", "children": []}}
LOG = {"idx": 900, "ys": ["x"], "infos": [{"r": 0}]}
MISTAKE = {"input": "q", "steps": ["s"], "answer": "1", "target": "1", "mistake_index": None}
CHAT = {"question": "q", "response": "r", "is_correct": True, "reference": "1"}


@pytest.mark.parametrize(
    ("name", "record", "message"),
    [
        ("prm800k", TREE, "line 1: It has no question.problem. Expected .*label.steps.*; found an object "
         r"with question \(text\), final_answer \(text\), reasoning_steps .*--format omegaprm"),
        ("prm800k", {"question": {"problem": "q"}, "label": {"steps": [{"completions": [{"rating": 1}]}]}},
         "Step 0 of label.steps has no completions with text"),
        ("omegaprm", PRM, "It has no question. Expected a tree .*--format prm800k"),
        ("omegaprm", TREE | {"final_answer": None}, "It has no final_answer"),
        ("omegaprm", TREE | {"reasoning_steps": {"text": "q", "children": [{"mc_value": 1}]}},
         "A node of reasoning_steps has no text"),
        ("tot24", MISTAKE, "It has no ys that are texts.*--format bbm"),
        ("tot24", LOG | {"steps": [{"new_ys": ["a"], "values": [], "select_new_ys": []}]},
         "of fitting lengths"),
        ("bbm", LOG, "It has no input.*--format tot24"),
        ("bbm", MISTAKE | {"mistake_index": 4}, "mistake_index 4 is no number of its 1 steps"),
        ("chat", {"a": 1, "b": [2]},
         r"It has no question. .*found an object with a \(number\), b \(list of 1\)"),
        ("chat", {"question": "q", "reference": "1"}, "It has no response"),
        ("chat", {"question": "q", "response": "r"}, "It has no reference answer"),
        ("chat", CHAT | {"is_correct": 0.7}, "score 0.7 is neither 0 nor 1: .*--right-from"),
        ("chat", CHAT | {"response": ["a", "b"], "is_correct": [True]},
         "'is_correct' has 1 values for 2 responses"),
    ],
)  # fmt: skip
def test_other_shapes_are_explained(tmp_path: Path, name: str, record: Any, message: str) -> None:
    file = write_lines(tmp_path / "x.jsonl", [record])
    with pytest.raises(InputError, match=message):
        run_import(tmp_path / "run", [file], ImportSettings(format=name))
