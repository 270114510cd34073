"""The recipe for GSM8K: what is trained on is not measured, what is dead, and one command does it all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError, Move, Step

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "gsm8k-smollm"


@pytest.fixture(scope="module")
def data():
    sys.path.insert(0, str(RECIPE))
    try:
        import gsm_data
    finally:
        sys.path.remove(str(RECIPE))
    return gsm_data


@pytest.fixture(scope="module")
def gsm8k(shared_data):
    folder = shared_data / "gsm8k"
    if not (folder / "example_model_solutions.jsonl").is_file():
        pytest.skip(f"GSM8K's example_model_solutions.jsonl and train.jsonl are not in {folder}")
    return folder


def step(thought, summary=""):
    return Step(name="a step", thought=thought, summary=summary or thought, reflection="So far so good.")


def rows(questions):
    return [{"question": one, "ground_truth": "1+1=2\nA: 2"} for one in questions]


@given(st.lists(st.text("abc ", min_size=1).filter(str.strip), min_size=2, max_size=30), st.integers(0, 3))
def test_no_question_is_on_both_sides_however_it_is_spaced(data, questions, seed):
    given_rows = rows([*questions, *(f"  {one.upper()} " for one in questions)])
    keys = {data.key_of(row) for row in given_rows}
    if len(keys) < 2:
        with pytest.raises(InputError, match="some must be left"):
            data.split(given_rows, 1, seed)
        return
    train, test = data.split(given_rows, len(keys) // 2, seed)
    tested = {data.key_of(row) for row in test}
    assert len(test) == len(tested) == len(keys) // 2
    assert {data.key_of(row) for row in train} == keys - tested
    assert data.split(given_rows, len(keys) // 2, seed) == (train, test)


def test_questions_of_the_training_set_that_are_measured_are_left_out(data, tmp_path):
    solved = rows(f"How many are {n}?" for n in range(10))
    train = rows([*(f"how many are {n} ?" for n in range(10)), "Another one?", "And one more?"])
    files = data.write_files(tmp_path, solved, train, test=4, straight=50, seed=0)
    found = [data.read_rows(path, "ground_truth") for path in files]
    assert [len(one) for one in found] == [6, 2, 4]
    assert {row["question"] for row in found[1]} == {"Another one?", "And one more?"}
    assert all(row[data.HUMAN]["is_correct"] for one in found for row in one)


def test_models_solutions_are_kept_for_training_alone(data):
    row = {**rows(["How many?"])[0], "6b": {"is_correct": False, "solution": "3\nA: 3"}, "other": 1}
    assert data.with_human(row).keys() == {"question", "ground_truth", "6b", "human"}
    assert data.with_human(row, alone=True).keys() == {"question", "ground_truth", "human"}


@pytest.mark.parametrize(
    "line", [b"[]", b"no json", b'{"question": "How many?"}', b'{"question": 3, "answer": ""}']
)
def test_another_file_is_refused_with_its_line(data, tmp_path, line):
    file = tmp_path / "train.jsonl"
    file.write_bytes(b'{"question": "How many?", "answer": "2\\n#### 2"}\n' + line + b"\n")
    with pytest.raises(InputError, match=r"line 2 .* 'question' and 'answer'"):
        data.read_rows(file, "answer")


@pytest.mark.parametrize(
    ("thought", "summary"),
    [
        ("The ducks lay 16 eggs, so 16 - 3 - 4 = 9 are left", "16 - 3 - 4 = 9"),
        ("So she makes 9 * 2 = $18 every day.", "9 * 2 = $18"),
        ("It takes 2*1/2=1 bolt, and (2+1)*3 = 1,200.50 in all", "(2+1)*3 = 1,200.50"),
        ("He runs 3 x 60 = 180 meters", "3 x 60 = 180"),
        ("She has no more.", "as it was"),
    ],
)
def test_a_summary_is_the_last_equation(data, thought, summary):
    assert data.terse(step(thought, "as it was")).summary == summary


@pytest.mark.parametrize(
    ("thought", "result"),
    [
        ("16 - 3 = 13 eggs of 20", 13),
        ("5 + 5 = 10, so 10 * 2 = $1,200.50", Fraction(2401, 2)),
        ("She has 3 apples and 4 pears", 4),
        ("x = y, of 7", 7),
        ("She is tired", None),
    ],
)
def test_the_result_of_a_step(data, thought, result):
    assert data.result_of(step(thought)) == result


def test_moves_are_counted_by_whether_the_step_before_is_dead(data):
    known = data.known_numbers([{"question": "16 eggs, 3 eaten?", "ground_truth": "16-3=<<16-3=13>>13"}])
    (numbers,) = known.values()
    dead, good, silent = step("16 + 3 = 19"), step("16 - 3 = 13"), step("She eats.")
    back, on = Move.BACKTRACK, Move.PROCEED
    paths = [
        ((dead, good), (back,), numbers),
        ((dead, good, silent, dead), (on, back, on), numbers),
        ((good,), (), numbers),
    ]
    assert data.leaving(paths) == data.Leaving(backtracks=2, dead_left=1, proceeds=2, dead_kept=1)


def test_real_solutions_are_split_and_found_again(data, gsm8k, tmp_path):
    solved = data.read_rows(gsm8k / "example_model_solutions.jsonl", "ground_truth")
    train = data.read_rows(gsm8k / "train.jsonl", "answer")
    assert (len(solved), len(train)) == (1319, 7473)
    files = data.write_files(tmp_path, solved, train, test=200, straight=1000, seed=0)
    found = [data.read_rows(path, "ground_truth") for path in files]
    assert [len(one) for one in found] == [1119, 1000, 200]
    asked = [{data.key_of(row) for row in one} for one in found]
    assert not asked[2] & (asked[0] | asked[1])
    assert all(len(row) == 7 for row in found[0])


@pytest.fixture
def small_gsm8k(tmp_path):
    """Return questions in GSM8K's format: sums that one of two models gets wrong."""
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    solved, train = [], []
    for n in range(2, 17):
        question = f"Ann has {n} pens and buys {n} more boxes of {n} pens. How many has she now?"
        right = (
            f"She buys {n}*{n}=<<{n}*{n}={n * n}>>{n * n} pens.\nNow she has {n}+{n * n}={n + n * n} pens."
        )
        wrong = f"She buys {n}+{n}=<<{n}+{n}={n + n}>>{n + n} pens.\nNow she has {n}+{n + n}={3 * n} pens."
        answer = f"{right}\nA: {n + n * n}"
        solved.append(
            {
                "question": question,
                "ground_truth": answer,
                "one": {"is_correct": True, "solution": answer},
                "other": {"is_correct": False, "solution": f"{wrong}\nA: {3 * n}"},
            }
        )
        train.append({"question": f"{question} Say it.", "answer": f"{right}\n#### {n + n * n}"})
    for name, lines in (("example_model_solutions", solved), ("train", train)):
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return folder


@pytest.mark.slow
def test_the_smallest_run(small_gsm8k, tmp_path):
    from tiny_base import base_model  # imports torch, which the other tests do without

    base_model(tmp_path / "model", tied=True, rows=320, context=8192)
    out = tmp_path / "out"
    command = [
        *(sys.executable, RECIPE / "run.py", "--size", "tiny", "--workers", "1"),
        *("--model", tmp_path / "model", "--output", out),
        *("--solutions", small_gsm8k / "example_model_solutions.jsonl"),
        *("--train", small_gsm8k / "train.jsonl"),
    ]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=variables)
    page = (out / "page.md").read_text()
    assert "None of the test problems (3 of test) is among the 16 of the training" in page
    assert "This is not the usual split" in page
    assert page.count("| shortcut paths |") == page.count("| paths with backtracking |") == 6
    paths, shortcut = (
        json.loads((out / kind / "data" / "dataset" / "statistics.json").read_text())["splits"]["train"]
        for kind in ("paths", "shortcut")
    )
    assert paths["backtracks"]["mean"] > shortcut["backtracks"]["mean"] == 0
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix == ".safetensors"}
    assert len(made) == 2
    subprocess.run(command, check=True, env=variables)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert (out / "page.md").read_text().split("\n\n")[3:] == page.split("\n\n")[3:]
