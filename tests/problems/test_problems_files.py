"""Problems from files: every format, every kind of bad input with its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Grading, InputError, Problem
from steiner.problems.files import FileSettings, HubSettings, hub_settings, load_files, load_hub
from steiner.problems.grading import grade
from steiner.problems.presets import PRESETS, find_preset
from steiner.problems.rows import BadRows, ReadOptions, read_rows

ROWS = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": '名字？\n«x», "y"', "answer": "Émile"}]


def load(
    path: Path, *, skip_bad: bool = False, password: str | None = None, **settings: Any
) -> list[Problem]:
    bad = BadRows(skip=skip_bad)
    chosen = FileSettings(files=(path.name,), **settings)
    return list(load_files([path], chosen, bad, password=password))


def separated(rows: list[dict[str, str]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def zipped(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return target.getvalue()


FORMATS = {
    "rows.jsonl": jsonl(ROWS),
    "rows.json": json.dumps(ROWS, indent=1).encode(),
    "wrapped.json": json.dumps({"version": 1, "data": ROWS}).encode(),
    "lines.json": jsonl(ROWS),
    "rows.csv": separated(ROWS, ","),
    "rows.tsv": separated(ROWS, "\t"),
    "rows.parquet": parquet(ROWS),
    "rows.jsonl.gz": gzip.compress(jsonl(ROWS)),
    "rows.csv.zip": zipped("folder/rows.csv", separated(ROWS, ",")),
    "rows.parquet.zip": zipped("rows.parquet", parquet(ROWS)),
    "bom.jsonl": b"\xef\xbb\xbf" + jsonl(ROWS),
    "bom.csv": b"\xef\xbb\xbf" + separated(ROWS, ","),
    "crlf.jsonl": jsonl(ROWS).replace(b"\n", b"\r\n") + b"\r\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_problems(name: str, tmp_path: Path) -> None:
    path = tmp_path / name.replace(".csv.zip", ".zip").replace(".parquet.zip", ".zip")
    path.write_bytes(FORMATS[name])
    problems = load(path)
    assert [(p.question, p.answer) for p in problems] == [(r["question"], r["answer"]) for r in ROWS]
    assert [p.grading for p in problems] == [Grading.NUMERIC, Grading.EXACT]


GOOD = b'{"question": "a", "answer": "b"}\n'
BAD = {
    "text.jsonl": (GOOD + b"not json\n", r"text\.jsonl:2 is not valid JSON"),
    "list.jsonl": (GOOD + b"[1]\n", r"list\.jsonl:2 is not a JSON object"),
    "latin.jsonl": (GOOD + b'{"question": "\xe9"}', r"latin\.jsonl:2 is not UTF-8"),
    "latin.csv": (b"question,answer\n\xe9,1\n", r"latin\.csv is not UTF-8"),
    "cut.json": (b'[\n{"question": "a",\n', r"cut\.json:3 is not valid JSON"),
    "number.json": (b"3", "neither a JSON list nor an object"),
    "fields.csv": (b"question,answer\na,b\na,b,c\n", r"fields\.csv:3 has 3 fields, expected 2"),
    "quote.csv": (b'question,answer\n"a"b,c\n', r"quote\.csv:2 is malformed"),
    "twice.csv": (b"question,question\na,b\n", "'question' twice"),
    "noanswer.jsonl": (GOOD + b'{"question": "a", "answer": " "}', ":2 has no answer"),
    "null.jsonl": (b'{"question": "a", "answer": null}', ":1 has no answer"),
    "noquestion.csv": (b"question,answer\n,1\n", r":2 has no question \(column 'question' is empty\)"),
    "columns.jsonl": (b'{"Question": "a", "reply": "b"}', r"'question' \(did you mean 'Question'\?\).*reply"),
    "broken.parquet": (b"PAR1nonsense", "no readable Parquet"),
    "broken.zip": (b"nonsense", "damaged"),
    "broken.jsonl.gz": (b"nonsense", "damaged"),
    "empty.zip": (zipped("readme.txt", b""), "no file that matches"),
    "what.xlsx": (b"", "unknown kind"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_answered_with_their_place(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path / name)


def test_missing_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(jsonl(ROWS))
    with pytest.raises(InputError, match=r"does not exist; did you mean train\.jsonl"):
        load(tmp_path / "trian.jsonl")
    with pytest.raises(InputError, match="is a directory"):
        load(tmp_path)


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        jsonl(ROWS) + b"nonsense\n[]\n" + jsonl([{"question": "q"}, {"question": "", "answer": "1"}])
    )
    bad = BadRows(skip=True)
    problems = list(load_files([path], FileSettings(files=(path.name,)), bad))
    assert len(problems) == 2
    assert sum(bad.counts.values()) == 4
    assert bad.counts["has no answer"] == 1


def test_columns_by_name(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    row = {"q": "Farbe?", "a": "Blau", "options": ["Rot", "Blau"], "lang": "de"}
    path.write_bytes(jsonl([row, row | {"a": 0}, row | {"a": "(B)"}]))
    problems = load(
        path, question_column="q", answer_column="a", choices_columns=("options",), language_column="lang"
    )
    assert [p.answer for p in problems] == ["B", "A", "B"]
    assert {(p.grading, p.language, p.choices) for p in problems} == {(Grading.CHOICE, "de", ("Rot", "Blau"))}
    with pytest.raises(InputError, match=r"no column 'option' \(did you mean 'options'\?\)"):
        load(path, question_column="q", answer_column="a", choices_columns=("option",))


def test_options_in_columns_of_their_own_or_as_text(tmp_path: Path) -> None:
    path = tmp_path / "quiz.csv"
    path.write_bytes(
        separated([{"question": "q", "answer": "5", "A": "4", "B": "5", "list": "['4', '5']"}], ",")
    )
    assert load(path, choices_columns=("A", "B"))[0].answer == "B"
    assert load(path, choices_columns=("list",))[0].choices == ("4", "5")
    with pytest.raises(InputError, match="none of its 2 options"):
        load(path, choices_columns=("A", "list"), answer_column="question")


@given(
    st.lists(
        st.fixed_dictionaries({"question": st.text(min_size=1), "answer": st.text(min_size=1)}), min_size=1
    )
)
def test_jsonl_and_csv_give_back_what_was_written(rows: list[dict[str, str]]) -> None:
    import tempfile

    usable = [r for r in rows if not any("\0" in v or "\r" in v for v in r.values())]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("r.jsonl", jsonl(usable)), ("r.csv", separated(usable or ROWS, ","))):
            path = Path(folder, name)
            path.write_bytes(content)
            read = [dict(row.values) for row in read_rows(path, BadRows(skip=False))]
            expected = usable if name == "r.jsonl" else usable or ROWS
            assert read == [r for r in expected if name == "r.jsonl" or any(v.strip() for v in r.values())]


def test_shuffled_options_depend_on_seed_and_question_alone(tmp_path: Path) -> None:
    def write(name: str, order: range) -> Path:
        path = tmp_path / name
        rows = [
            {"Question": f"q{i}", "Correct Answer": "right", "High-level domain": "x"}
            | {f"Incorrect Answer {k}": f"wrong {k}" for k in (1, 2, 3)}
            for i in order
        ]
        path.write_bytes(separated(rows, ","))
        return path

    def by_question(path: Path, seed: int) -> dict[str, Problem]:
        return {p.question: p for p in load(path, preset="gpqa", seed=seed)}

    ahead, back = write("a.csv", range(40)), write("b.csv", range(39, -1, -1))
    first = by_question(ahead, 0)
    assert {q: p.id for q, p in first.items()} == {q: p.id for q, p in by_question(back, 0).items()}
    assert {q: p.id for q, p in first.items()} != {q: p.id for q, p in by_question(ahead, 1).items()}
    assert {p.answer for p in first.values()} == set("ABCD")
    for problem in first.values():
        assert problem.choices[ord(problem.answer) - ord("A")] == "right"
        assert grade(problem, "right").right


def test_hidden_problems_never_show_their_text(tmp_path: Path) -> None:
    row = {"Question": "TOPSECRET", "Correct Answer": "TOPSECRET1", "High-level domain": "TOPSECRET2"}
    row |= {f"Incorrect Answer {k}": f"TOPSECRET{k + 2}" for k in (1, 2, 3)}
    path = tmp_path / "gpqa.csv"
    path.write_bytes(separated([row], ","))
    (problem,) = load(path, preset="gpqa")
    assert problem.question == "TOPSECRET"
    for shown in (repr(problem), str(problem), f"{problem}", repr([problem])):
        assert "TOPSECRET" not in shown
    assert Problem.model_validate_json(problem.model_dump_json()).id == problem.id
    path.write_bytes(separated([row | {"Incorrect Answer 2": ""}], ","))
    with pytest.raises(InputError) as caught:
        load(path, preset="gpqa")
    assert "TOPSECRET" not in str(caught.value)
    assert caught.value.__cause__ is None or "TOPSECRET" not in str(caught.value.__cause__)


MMLU_ROW = {"question": "q", "choices": ["w", "x"], "answer": 1, "subject": "s"}
MATH_ROW = {"problem": "q", "answer": "7", "type": "Algebra"}
AIME_ROW = {"problem": "q", "solution": "so \\boxed{\\frac{1}{2}}"}


@pytest.mark.parametrize(
    ("preset", "name", "content", "question", "answer"),
    [
        ("gsm8k", "t.jsonl", jsonl([{"question": "q", "answer": "1 + 1\n#### 1,200"}]), "q", "1200"),
        ("aime24", "t.jsonl", jsonl([AIME_ROW]), "q", "\\frac{1}{2}"),
        ("aime24", "hub.jsonl", jsonl([{"problem": "q", "answer": "204"}]), "q", "204"),
        ("math", "t.json", json.dumps([MATH_ROW]).encode(), "q", "7"),
        ("mmlu", "t.csv", b'"q, with comma",w,x,y,z,C\n', "q, with comma", "C"),
        ("mmlu", "h.jsonl", jsonl([MMLU_ROW]), "q", "B"),
        ("mgsm", "mgsm_zh.tsv", "问题\t1,000\n".encode(), "问题", "1000"),
        ("game24", "24.csv", b"Rank,Puzzles\n1,4 6 1 1\n", "Make 24 from 1 1 4 6.", "((1 - 1) + 4) * 6"),
        ("big-bench-mistake", "b.jsonl", jsonl([{"input": "q (A) x", "target": "(A)"}]), "q (A) x", "A"),
    ],
)  # fmt: skip
def test_presets(preset: str, name: str, content: bytes, question: str, answer: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (problem,) = load(path, preset=preset)
    assert (problem.question, problem.answer) == (question, answer)
    assert grade(problem, answer).right
    assert problem.language == ("zh" if preset == "mgsm" else "en")


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'gsm8k'"):
        find_preset("gsm8")


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    # The standard library reads encrypted archives but cannot write them: this is the ZIP 2.0 cipher.
    path = tmp_path / "locked.zip"
    path.write_bytes(_encrypted_zip("rows.jsonl", jsonl(ROWS), b"sesame"))
    assert len(load(path, password="sesame")) == 2
    with pytest.raises(InputError, match="--password"):
        load(path)
    with pytest.raises(InputError, match=r"password"):
        load(path, password="wrong")


def _encrypted_zip(name: str, content: bytes, password: bytes) -> bytes:
    import zlib

    plain = io.BytesIO(zipped(name, content))
    with zipfile.ZipFile(plain) as archive:
        info = archive.infolist()[0]
    raw = bytearray(plain.getvalue())
    start = info.header_offset + 30 + len(name)
    packed = bytes(raw[start : start + info.compress_size])
    table = [0] * 256
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = (crc >> 1) ^ 0xEDB88320 if crc & 1 else crc >> 1
        table[i] = crc
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 0xFF]
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 0xFF]

    for byte in password:
        update(byte)
    cipher = bytearray()
    for byte in bytes(11) + bytes([zlib.crc32(content) >> 24]) + packed:
        mixed = keys[2] | 2
        cipher.append(byte ^ (((mixed * (mixed ^ 1)) >> 8) & 0xFF))
        update(byte)
    directory = bytes(raw[start + info.compress_size :])
    body = raw[:start] + cipher + directory
    central = start + len(cipher)
    size = len(cipher).to_bytes(4, "little")
    for place, flag in ((info.header_offset + 18, info.header_offset + 6), (central + 20, central + 8)):
        body[place : place + 4] = size
        body[flag] |= 1
    end = body.rindex(b"PK\x05\x06")
    body[end + 16 : end + 20] = central.to_bytes(4, "little")
    return bytes(body)


def test_archive_members_are_chosen_by_pattern(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("test/a.jsonl", jsonl(ROWS))
        archive.writestr("train/a.jsonl", jsonl(ROWS * 3))
    bad = BadRows(skip=False)
    assert len(list(read_rows(path, bad, ReadOptions(member="test/*")))) == 2
    assert len(list(read_rows(path, bad))) == 8
    with pytest.raises(InputError, match=r"it has: test/a\.jsonl, train/a\.jsonl"):
        list(read_rows(path, bad, ReadOptions(member="dev/*")))


@pytest.mark.slow
def test_hub_datasets_are_read_by_their_known_columns(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "quiz"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(jsonl([{"question": "q", "answer": "so\n#### 4"}]))
    settings = HubSettings(**hub_settings(str(folder), {"preset": "gsm8k"}))
    (problem,) = load_hub(settings, BadRows(skip=False))
    assert (problem.answer, problem.grading) == ("4", Grading.NUMERIC)
    wrong = HubSettings(id=str(folder), question_column="prompt")
    with pytest.raises(InputError, match="no column 'prompt'"):
        list(load_hub(wrong, BadRows(skip=False)))


def test_a_hub_dataset_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr("steiner.problems.files.importlib.util.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    with pytest.raises(InputError, match=r"openai/gsm8k \(main\) cannot be read.*steiner problems file"):
        list(load_hub(HubSettings(**hub_settings("openai/gsm8k", {})), BadRows(skip=False)))


def test_the_hub_configuration_tells_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: object, **__: object) -> list[dict[str, object]]:
        return [{"question": "Wie viele?", "answer": None, "answer_number": 1234}]

    monkeypatch.setattr("steiner.problems.files.importlib.util.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    settings = HubSettings(**hub_settings("juletxara/mgsm", {"config": "de"}))
    (problem,) = load_hub(settings, BadRows(skip=False))
    assert (problem.language, problem.answer) == ("de", "1234")
    assert grade(problem, "1.234").right


def test_known_hub_datasets_need_nothing_but_their_id() -> None:
    assert hub_settings("openai/gsm8k", {"split": "test"}) == {
        "preset": "gsm8k", "config": "main", "split": "test", "id": "openai/gsm8k",
    }  # fmt: skip
    assert hub_settings("TIGER-Lab/MMLU-Pro", {})["split"] == "test"
    assert hub_settings("someone/quiz", {"config": None}) == {"preset": "", "id": "someone/quiz"}
    for preset in PRESETS.values():
        assert preset.layouts()[0] == preset.layout


def test_a_missing_package_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steiner.problems.files.importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package datasets, .* 'steiner\[train\]'"):
        list(load_hub(HubSettings(**hub_settings("openai/gsm8k", {})), BadRows(skip=False)))
