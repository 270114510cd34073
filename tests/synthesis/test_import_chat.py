"""Chat logs: many spellings of the same thing, and the answers taken off the texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from importing import bodies, import_records, imported, parents, run_import, thoughts, write_lines
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.core import Grading, InputError, Problem, Verdict
from steiner.synthesis.importers import ChatColumn, ChatSettings, ImportSettings
from steiner.synthesis.importers.finals import reference_answer, separate_final

QUESTION = "How many eggs are left of 16 after breakfast and baking?"
STEPS = [
    "She eats 3 of the 16 eggs, so 16 - 3 = 13 eggs are left.",
    "Baking takes 4 more, so 13 - 4 = 9 eggs are left.",
]
TEXT = "\n".join([*STEPS, "#### 9"])
RECORD = {"question": QUESTION, "response": TEXT, "reference": "9", "correct": True}


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        {"problem": QUESTION, "completion": TEXT, "ground_truth": "16 - 3 - 4 = 9\n#### 9", "score": 1.0},
        {"prompt": QUESTION, "generated_text": TEXT, "answer": 9, "label": "correct"},
        {"Prompt": [{"role": "user", "content": QUESTION}], "Response": TEXT, "Target": "9", "is_correct": 1},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": QUESTION},
                {"role": "assistant", "content": TEXT},
            ],
            "reference": "9",
            "correct": "yes",
        },
        {
            "conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": TEXT}],
            "gold": "9",
            "passed": True,
        },
        {
            "question": QUESTION,
            "response": {"choices": [{"message": {"role": "assistant", "content": TEXT}}]},
            "reference": "9",
        },
        {"question": QUESTION, "ground_truth": "9", "log": {"solution": TEXT, "is_correct": True}},
        {"question": QUESTION, "ground_truth": "9", "samples": [{"text": TEXT, "correct": True}]},
    ],
)
def test_spellings_of_the_same(tmp_path: Path, record: dict[str, Any]) -> None:
    [(problem, [trace])] = import_records(tmp_path, "chat", [record])
    assert (problem.question, problem.answer, problem.grading) == (QUESTION, "9", Grading.NUMERIC)
    assert thoughts(trace) == STEPS
    assert parents(trace) == [-1, 0]
    assert (trace.answer, trace.verdict) == ("The answer is 9.", Verdict.RIGHT)
    assert trace.provenance.teacher == "log"


def test_samples_in_a_list_have_marks_of_their_own(tmp_path: Path) -> None:
    record = RECORD | {
        "response": [TEXT, TEXT.replace("9", "8"), STEPS[0]],
        "correct": [True, False, False],
        "model": "big",
    }
    [(_, traces)] = import_records(tmp_path, "chat", [record])
    assert [t.verdict for t in traces] == [Verdict.RIGHT, Verdict.WRONG, Verdict.UNFINISHED]
    assert [t.answer for t in traces] == ["The answer is 9.", "The answer is 8.", ""]
    assert {t.provenance.teacher for t in traces} == {"big"}


def test_lines_with_the_same_question_are_one_problem(tmp_path: Path) -> None:
    other = RECORD | {"response": f"{STEPS[1]}\n#### 3", "correct": False}
    file = write_lines(tmp_path / "log.jsonl", [RECORD, other, RECORD, RECORD | {"response": "#### 9"}])
    report = run_import(tmp_path / "run", [file], ImportSettings(format="chat"))
    [(_, traces)] = imported(tmp_path / "run")
    assert [t.verdict for t in traces] == [Verdict.RIGHT, Verdict.WRONG]
    assert (report.records, report.traces, report.bare) == (4, 2, 2)


def test_without_a_mark_the_answer_is_graded(tmp_path: Path) -> None:
    records = [
        {"question": QUESTION, "response": text, "reference": "9"}
        for text in (TEXT, f"{STEPS[0]}\n\nThe answer is 13.", STEPS[1])
    ]
    [(_, traces)] = import_records(tmp_path, "chat", records)
    assert [t.verdict for t in traces] == [Verdict.RIGHT, Verdict.WRONG, Verdict.RIGHT]
    assert {t.provenance.details["judged_by"] for t in traces} == {"grader"}


def test_named_columns_scores_and_grading(tmp_path: Path) -> None:
    record = {"q": QUESTION, "question": "not this", "out": TEXT, "key": "9", "r": 0.4}
    columns = {
        ChatColumn.QUESTION: "q",
        ChatColumn.RESPONSE: "out",
        ChatColumn.REFERENCE: "key",
        ChatColumn.CORRECT: "r",
    }
    chat = ChatSettings(columns=columns, right_from=0.5, grading=Grading.EXACT)
    [(problem, [trace])] = import_records(tmp_path, "chat", [record], chat=chat)
    assert (problem.question, problem.grading, trace.verdict) == (QUESTION, Grading.EXACT, Verdict.WRONG)
    with pytest.raises(InputError, match="There is no column 'q' for question"):
        import_records(tmp_path / "..", "chat", [RECORD], chat=chat)


def test_options_need_the_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only for the format chat"):
        run_import(tmp_path / "run", [tmp_path], ImportSettings(format="bbm", chat=ChatSettings()))


def test_multiple_choice(tmp_path: Path) -> None:
    record = {
        "question": "Which one is a fruit of the garden?",
        "choices": ["a stone", "an apple"],
        "answer": "B",
        "response": "A stone does not grow, so it is no fruit. An apple does grow. The answer is (B).",
        "correct": True,
    }
    [(problem, [trace])] = import_records(tmp_path, "chat", [record])
    assert (problem.grading, problem.choices, problem.answer) == (
        Grading.CHOICE,
        ("a stone", "an apple"),
        "B",
    )
    assert trace.answer == "The answer is (B)."


def test_chinese_ends_in_chinese(tmp_path: Path) -> None:
    record = {
        "question": "三加四等于多少？",
        "response": "我们从三开始，再往上数四个数，就得到七。\n#### 7",
        "reference": "7",
    }
    [(problem, [trace])] = import_records(tmp_path, "chat", [record])
    assert (problem.language, trace.answer, trace.verdict) == ("zh", "答案是7。", Verdict.RIGHT)


NUMERIC = Problem(question="q", answer="9", grading=Grading.NUMERIC)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("So 13 - 4 = <<13-4=9>>9.\nA: 9", "So 13 - 4 = 9.", "9"),
        ("So it is nine.\n\n# Answer\n\n9", "So it is nine.", "9"),
        (
            "<think>Count them.</think>\nThere are nine. The answer is 9.",
            "Count them.\n\nThere are nine.",
            "9",
        ),
        (r"Thus it is $\boxed{9}$.", "Thus it is $9$.", "9"),
        (r"Thus it is \boxed{\frac{1}{9}}.", r"Thus it is $\frac{1}{9}$.", r"\frac{1}{9}"),
        (r"Thus \(x = \boxed{\frac{1}{9}}\).", r"Thus \(x = \frac{1}{9}\).", r"\frac{1}{9}"),
        ("It is cut off in the", "It is cut off in the", ""),
    ],
)
def test_final_answers(text: str, reasoning: str, answer: str) -> None:
    assert separate_final(text, NUMERIC) == (reasoning, answer)


def test_references() -> None:
    assert reference_answer("1,234") == "1234"
    assert reference_answer("Two and two.\nA: 4") == "4"
    assert reference_answer(r"It is $\boxed{\frac12}$.") == r"\frac12"
    assert reference_answer("Paris") == "Paris"


def test_files_order_and_workers_do_not_matter(tmp_path: Path) -> None:
    files = [
        write_lines(
            tmp_path / f"{name}.jsonl", [RECORD | {"question": f"{QUESTION} ({i})"} for i in range(20)]
        )
        for name in "ab"
    ]
    settings = ImportSettings(format="chat")
    run_import(tmp_path / "one", files, settings)
    run_import(tmp_path / "two", files[::-1], settings, workers=2)
    assert bodies(tmp_path / "one") == bodies(tmp_path / "two")
    assert [t.provenance.teacher for t in imported(tmp_path / "one")[0][1]] == ["a", "b"]


def test_what_was_read_with_other_columns_is_read_again(tmp_path: Path) -> None:
    good = write_lines(tmp_path / "a.jsonl", [RECORD | {"other": "Another question?"}])
    bad = write_lines(tmp_path / "b.jsonl", [{"x": 1}])
    with pytest.raises(InputError, match=r"b\.jsonl: line 1"):
        run_import(tmp_path / "run", [good, bad], ImportSettings(format="chat"))
    chat = ChatSettings(columns={ChatColumn.QUESTION: "other"})
    run_import(tmp_path / "run", [good], ImportSettings(format="chat", chat=chat), force=True)
    assert [problem.question for problem, _ in imported(tmp_path / "run")] == ["Another question?"]


def test_command_line(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "log.jsonl", [RECORD | {"task": "What is asked here?", "r": 0.9, "correct": None}]
    )
    words = ["import", "--format", "chat", str(file), "--run", str(tmp_path / "run")]
    done = CliRunner().invoke(
        app, [*words, "--column", "question=task", "--column", "correct=r", "--right-from", "0.8"]
    )
    assert done.exit_code == 0, done.output
    [(problem, [trace])] = imported(tmp_path / "run")
    assert (problem.question, trace.verdict) == ("What is asked here?", Verdict.RIGHT)
    for option in ("question", "quest=task"):
        assert CliRunner().invoke(app, [*words, "--column", option]).exit_code != 0


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    for name, file, questions, traces in (
        ("gsm8k", shared_data / "gsm8k" / "example_model_solutions.jsonl", 1319, 5276),
        ("math", shared_data / "math" / "math_cot_100x8.jsonl", 100, 716),
    ):
        if not file.exists():
            pytest.skip(f"no {file}")
        report = run_import(tmp_path / name, [file], ImportSettings(format="chat"))
        assert (report.problems, report.traces) == (questions, traces)
        right = sum(item.right for item in report.teachers.values())
        assert right == {"gsm8k": 2001, "math": 645}[name]
