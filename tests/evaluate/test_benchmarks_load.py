"""Benchmarks from files and generated: versions, options in drawn order, limits, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Grading, InputError, Problem
from steiner.evaluate.benchmarks import NAMES, DataOptions, find_benchmark, load_benchmark
from steiner.evaluate.benchmarks.load import shuffled
from steiner.evaluate.benchmarks.versions import KNOWN, check_version, content_digest
from steiner.evaluate.inspect_hidden import is_hidden

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = {
    "gsm8k": "gsm8k/test.jsonl",
    "math500": "math/math500.json",
    "aime24": "aime/aime24.jsonl",
    "mgsm:de": "mgsm/mgsm_de.tsv",
    "mgsm:en": "mgsm/mgsm_en.tsv",
    "mgsm:es": "mgsm/mgsm_es.tsv",
    "mgsm:ja": "mgsm/mgsm_ja.tsv",
    "mgsm:zh": "mgsm/mgsm_zh.tsv",
    "mmlu": "mmlu/mmlu.zip",
    "mmlu-pro": "mmlu_pro_traces/Qwen1.5-72B-Chat.zip",
    "gpqa-diamond": "gpqa/gpqa_diamond.zip",
}


def choice(options: list[str], right: int, question: str = "Which?") -> Problem:
    return Problem(
        question=question, answer="ABCDEFGHIJ"[right], grading=Grading.CHOICE, choices=tuple(options)
    )


def gsm8k(path: Path, count: int) -> Path:
    lines = [json.dumps({"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"}) for n in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_are_known_versions(name):
    path = DATA / REAL[name]
    if not path.exists():
        pytest.skip(f"{path} is missing; put the data files beside this checkout")
    loaded = load_benchmark(find_benchmark(name), DataOptions(data=(str(path),), limit=20))
    assert loaded.warnings == ()
    assert loaded.total == next(known.questions for known in KNOWN if known.benchmark == name)
    assert len(loaded.problems) == 20


@given(
    st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=2, max_size=10, unique=True),
    st.integers(0, 9),
    st.integers(),
)
def test_shuffling_keeps_options_and_the_right_one(options, right, seed):
    problem = choice(options, right % len(options))
    mixed = shuffled(problem, seed)
    assert sorted(mixed.choices) == sorted(problem.choices)
    assert mixed.choices[ord(mixed.answer) - 65] == problem.choices[ord(problem.answer) - 65]
    assert content_digest([mixed]) == content_digest([problem])


def test_the_order_comes_from_the_seed_not_from_the_file():
    options = [f"option {n}" for n in range(8)]
    one, other = choice(options, 2), choice(options[::-1], 5)
    orders = {shuffled(one, seed).choices for seed in range(20)}
    assert len(orders) > 10
    assert shuffled(one, 3) == shuffled(one, 3)
    assert content_digest([one]) == content_digest([other])


@pytest.mark.parametrize(
    "option", ["all of the above", "Both A and B", "None of these", "A and C", "neither"]
)
def test_options_that_speak_of_others_stay_in_order(option):
    problem = choice(["one", "two", "three", option], 3)
    assert all(shuffled(problem, seed) == problem for seed in range(10))


def test_another_number_of_questions_or_other_content_warns(tmp_path):
    loaded = load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(str(gsm8k(tmp_path / "a.jsonl", 7)),)))
    (warning,) = loaded.warnings
    assert "7 questions, not 1,319" in warning
    full = load_benchmark(
        find_benchmark("gsm8k"), DataOptions(data=(str(gsm8k(tmp_path / "b.jsonl", 1319)),))
    )
    (warning,) = full.warnings
    assert "content differs" in warning


def test_no_warning_where_no_version_is_known():
    assert check_version("reasoning-gym:x", (choice(["a", "b"], 0),)) == ""


def test_the_version_changes_with_questions_and_order(tmp_path):
    path = str(gsm8k(tmp_path / "a.jsonl", 9))
    load = lambda **more: load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(path,), **more))  # noqa: E731
    assert load().version == load().version
    assert load(limit=5).version != load().version
    assert [p.question for p in load(limit=3).problems] == [f"What is {n} + 1?" for n in range(3)]
    assert [p.question for p in load(rows="4:6").problems] == ["What is 4 + 1?", "What is 5 + 1?"]


def test_a_limit_of_a_set_by_subject_draws_by_seed_and_grows_by_adding(tmp_path):
    path = tmp_path / "mmlu_pro.jsonl"
    rows = [
        {
            "question": f"q{n}",
            "options": ["w", "x", "y", "z"],
            "answer": "B",
            "category": f"subject {n // 50}",
        }
        for n in range(100)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    load = lambda limit, seed=0: load_benchmark(  # noqa: E731
        find_benchmark("mmlu-pro"), DataOptions(data=(str(path),), limit=limit, seed=seed)
    )
    few, many = load(20), load(40)
    assert set(few.subsets) == {"subject 0", "subject 1"}
    assert {p.question for p in few.problems} < {p.question for p in many.problems}
    assert {p.question for p in load(20, seed=1).problems} != {p.question for p in few.problems}


def test_wrong_columns_are_named(tmp_path):
    path = tmp_path / "my.jsonl"
    path.write_text(json.dumps({"qestion": "a", "answer": "#### 1"}))
    with pytest.raises(InputError, match=r"no column 'question' \(did you mean 'qestion'\?\)"):
        load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(str(path),)))
    loaded = load_benchmark(
        find_benchmark("gsm8k"), DataOptions(data=(str(path),), question_column="qestion")
    )
    assert loaded.problems[0].question == "a"


def test_unknown_names_get_the_nearest():
    with pytest.raises(InputError, match="did you mean 'gsm8k'"):
        find_benchmark("gsm8")
    with pytest.raises(InputError, match="Languages of mgsm"):
        find_benchmark("mgsm:xx")
    assert "countdown" in NAMES


def test_countdown_has_both_halves_of_the_protocol():
    options = DataOptions(limit=10, countdown={"count": 3, "high": 20})
    loaded = load_benchmark(find_benchmark("countdown"), options)
    assert sorted(loaded.subsets) == ["heldout-targets"] * 5 + ["new-inputs"] * 5
    targets = {"heldout-targets": set(), "new-inputs": set()}
    for problem, subset in zip(loaded.problems, loaded.subsets, strict=True):
        targets[subset].add(problem.facts["target"])
    assert not targets["heldout-targets"] & targets["new-inputs"]
    with pytest.raises(InputError, match="generated"):
        load_benchmark(find_benchmark("countdown"), DataOptions(data=("x.csv",)))


def test_game24_needs_a_file_and_reads_puzzles(tmp_path):
    with pytest.raises(InputError, match="lies on no hub"):
        load_benchmark(find_benchmark("game24"), DataOptions())
    path = tmp_path / "24.csv"
    path.write_text("Rank,Puzzles\n1,1 1 4 6\n2,4 4 6 8\n")
    loaded = load_benchmark(find_benchmark("game24"), DataOptions(data=(str(path),)))
    assert [problem.facts["numbers"] for problem in loaded.problems] == [[1, 1, 4, 6], [4, 4, 6, 8]]


def test_gpqa_is_hidden_after_shuffling_too(tmp_path):
    path = tmp_path / "gpqa.csv"
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns, ["a made-up question", "right", "wrong 1", "wrong 2", "wrong 3"]])
    orders = set()
    for seed in range(12):
        loaded = load_benchmark(find_benchmark("gpqa-diamond"), DataOptions(data=(str(path),), seed=seed))
        (problem,) = loaded.problems
        assert is_hidden(problem)
        assert "made-up" not in repr(problem)
        assert problem.choices[ord(problem.answer) - 65] == "right"
        orders.add(problem.choices)
    assert len(orders) > 4
