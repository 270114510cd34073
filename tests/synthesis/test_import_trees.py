"""PRM800K, OmegaPRM and BIG-Bench-Mistake: labels and trees become parents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from importing import import_records, imported, parents, run_import, thoughts, write_lines

from steiner.core import Grading, Move, ReasoningPath, Trace, Verdict
from steiner.graph import TextWriter
from steiner.synthesis.importers import ImportSettings
from steiner.synthesis.importers.attempts import given_up, step_of


def option(text: str, rating: int | None) -> dict[str, Any]:
    return {"text": text, "rating": rating, "flagged": False}


def step(*options: dict[str, Any], chosen: int | None = None, human: str | None = None) -> dict[str, Any]:
    return {
        "completions": list(options),
        "human_completion": human and option(human, None),
        "chosen_completion": chosen,
    }


def labelled(*steps: dict[str, Any], finish: str = "solution", **question: Any) -> dict[str, Any]:
    asked = {"problem": "What is two times three plus one?", "ground_truth_answer": "7"} | question
    return {"question": asked, "label": {"steps": list(steps), "finish_reason": finish}}


def by_kind(traces: list[Trace]) -> dict[str, list[Trace]]:
    found: dict[str, list[Trace]] = {}
    for trace in traces:
        found.setdefault(trace.provenance.details["kind"], []).append(trace)
    return found


def test_wrong_completions_are_dead_ends_beside_the_one_that_goes_on(tmp_path: Path) -> None:
    record = labelled(
        step(option("First we multiply.", 1), chosen=0),
        step(
            option("Two times three is five.", -1),
            option("Two times three is eight.", -1),
            human="It is six.",
        ),
        step(option("So it is six plus one.", 0), option("So it is seven.\n\n# Answer\n\n7", 1), chosen=1),
    )
    [(problem, traces)] = import_records(tmp_path, "prm800k", [record])
    assert (problem.answer, problem.grading) == ("7", Grading.NUMERIC)
    [search] = traces
    assert thoughts(search) == [
        "First we multiply.", "Two times three is five.", "Two times three is eight.", "It is six.",
        "So it is seven.",
    ]  # fmt: skip
    assert parents(search) == [-1, 0, 0, 0, 3]
    assert (search.verdict, search.answer) == (Verdict.RIGHT, "The answer is 7.")
    assert search.provenance.details["ratings"] == [1, -1, -1, "human", 1]
    # Nothing is wrong with it, so it is no dead end.
    assert search.provenance.details["not_taken"] == [
        {"after": 3, "text": "So it is six plus one.", "rating": 0}
    ]
    assert list(ReasoningPath.from_trace(search).moves) == [
        Move.PROCEED, Move.BACKTRACK, Move.BACKTRACK, Move.PROCEED,
    ]  # fmt: skip


def test_other_completions_with_an_answer_are_traces(tmp_path: Path) -> None:
    record = labelled(
        step(option("Two times three is six.", 1), chosen=0),
        step(
            option("Seven then.\n\n# Answer\n\n7", 1),
            option("That makes eight.\n\n# Answer\n\n8", 0),
            option("No, nine.\n\n# Answer\n\n9", -1),
            chosen=0,
        ),
    )
    [(_, traces)] = import_records(tmp_path, "prm800k", [record])
    kinds = by_kind(traces)
    assert [t.verdict for t in kinds["other end"]] == [Verdict.WRONG]
    assert thoughts(kinds["other end"][0]) == ["Two times three is six.", "That makes eight."]
    assert thoughts(kinds["search"][0]) == ["Two times three is six.", "No, nine.", "Seven then."]
    assert kinds["search"][0].verdict is Verdict.RIGHT


def test_a_found_error_gives_the_way_back_and_the_whole_wrong_solution(tmp_path: Path) -> None:
    record = labelled(
        step(option("First we multiply.", 1), chosen=0),
        step(option("Two times three is five.", -1), option("Two times three is six.", 1)),
        finish="found_error",
        pre_generated_steps=["First we multiply.", "Two times three is five.", "Plus one.", "# Answer\n\n6"],
    )
    [(_, traces)] = import_records(tmp_path, "prm800k", [record])
    kinds = by_kind(traces)
    [whole], [search] = kinds["as written"], kinds["search"]
    assert thoughts(whole) == ["First we multiply.", "Two times three is five.", "Plus one."]
    assert (whole.verdict, whole.provenance.details["wrong_step"]) == (Verdict.WRONG, 1)
    assert thoughts(search) == ["First we multiply.", "Two times three is five.", "Two times three is six."]
    assert (parents(search), search.verdict) == ([-1, 0, 0], Verdict.UNFINISHED)


def test_given_up_and_unknown_answers(tmp_path: Path) -> None:
    end = step(option("It cannot be done.", -1))
    unknown = {"ground_truth_answer": None, "problem": "And who knows?"}
    solved = step(option("It is four.\n\n# Answer\n\n4", 1), chosen=0)
    records = [
        labelled(step(option("We try.", 0), chosen=0), end, step(), finish="give_up"),
        labelled(end, finish="give_up", **unknown),
        labelled(solved, **unknown),
    ]
    file = write_lines(tmp_path / "log.jsonl", records)
    report = run_import(tmp_path / "run", [file], ImportSettings(format="prm800k"))
    found = imported(tmp_path / "run")
    assert report.unusable == 1
    assert [(p.answer, [t.verdict for t in traces]) for p, traces in found] == [
        ("7", [Verdict.UNFINISHED]),
        ("4", [Verdict.RIGHT]),
    ]


def test_the_reason_to_go_back_is_one_that_paths_take_out_again(tmp_path: Path) -> None:
    writer = TextWriter()
    for text in ("Two times three is five.", "It is eight.", "Nine, then.", "Ten it is.", "No: eleven."):
        lost = given_up(step_of(text))
        assert writer.before_backtrack(None, lost, None) == lost  # type: ignore[arg-type]
        assert writer.before_proceed(None, lost, None).reflection != lost.reflection  # type: ignore[arg-type]


ROUTE = "We look at the numbers that the question gives us and put them in order. "


def tree(*children: dict[str, Any]) -> dict[str, Any]:
    return {
        "question": "What is two plus two?",
        "final_answer": "4",
        "reasoning_steps": {"text": "What is two plus two?", "mc_value": 0.5, "children": list(children)},
    }


def node(text: str, value: float, *children: dict[str, Any]) -> dict[str, Any]:
    return {"text": text, "mc_value": value, "children": list(children)}


def test_each_leaf_is_a_trace_and_common_nodes_are_common_steps(tmp_path: Path) -> None:
    ends = [
        f"Adding the two numbers to each other gives {n}, and that is all. So it is \\boxed{{{n}}}."
        for n in (4, 5)
    ]
    record = tree(
        node(
            ROUTE,
            0.5,
            node(ends[0], 1.0),
            node(ends[1], 0.0),
            node("Then we go on to multiply them in the", 0.0),
        ),
        node(ends[0], 1.0),
    )
    [(_, traces)] = import_records(tmp_path, "omegaprm", [record])
    assert [t.verdict for t in traces] == [Verdict.RIGHT, Verdict.WRONG, Verdict.UNFINISHED, Verdict.RIGHT]
    first, second, cut, alone = traces
    assert first.steps[0] == second.steps[0] == cut.steps[0]
    assert first.steps[0].step.thought == ROUTE.strip()
    assert [item.step for item in first.steps[1:]] == [item.step for item in alone.steps]
    assert first.provenance.details["values"] == [0.5] + [1.0] * (len(first.steps) - 1)
    assert first.provenance.details["question_value"] == 0.5
    # What was cut off in mid-sentence is no step.
    assert len(cut.steps) == 1


def test_deep_trees(tmp_path: Path) -> None:
    below = node("Adding them gives \\boxed{4}, which is the number that was asked for.", 1.0)
    for depth in range(400):
        below = node(f"This is thought number {depth} on the long way to the answer.", 0.5, below)
    [(_, [trace])] = import_records(tmp_path, "omegaprm", [tree(below)])
    assert len(trace.steps) == 401
    assert trace.verdict is Verdict.RIGHT


OPTIONS = "Three are in a row.\nQ: Which is true?\nOptions:\n(A) Ann is first.\n(B) Bob is first."


def test_mistakes(tmp_path: Path) -> None:
    steps = ["Ann stands before Bob.", "So Bob must be the first of them.", "So the answer is (B)."]
    records: list[dict[str, Any]] = [
        {"input": OPTIONS, "steps": steps, "answer": "(B)", "target": "(A)", "mistake_index": 1},
        {"input": "1 + 2 =", "steps": ["We add: 1 + 2 = 3. So the answer is 3"], "answer": "3", "target": "3",
         "mistake_index": None},
        {"input": "Sort: b a", "steps": ["a goes before b"], "answer": "a  b", "target": "a b",
         "mistake_index": None},
        {"input": "Sort: d c", "steps": ["c before d"], "answer": None, "target": "c d", "mistake_index": 0},
    ]  # fmt: skip
    found = import_records(tmp_path, "bbm", records)
    assert [(p.grading, p.answer) for p, _ in found] == [
        (Grading.CHOICE, "A"), (Grading.NUMERIC, "3"), (Grading.EXACT, "a b"), (Grading.EXACT, "c d"),
    ]  # fmt: skip
    first = found[0]
    assert first[0].choices == ("Ann is first.", "Bob is first.")
    assert first[0].question == "Three are in a row.\nQ: Which is true?"
    assert thoughts(first[1][0])[:2] == steps[:2]
    assert first[1][0].provenance.details["wrong_step"] == 1
    assert first[1][0].answer == "The answer is (B)."
    assert thoughts(found[1][1][0]) == ["We add: 1 + 2 = 3."]
    assert [t.verdict for _, [t] in found] == [
        Verdict.WRONG, Verdict.RIGHT, Verdict.RIGHT, Verdict.UNFINISHED,
    ]  # fmt: skip


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    for name, files, counts in (
        ("prm800k", ["prm/samples_prm800k.jsonl"], (6, 11, 8, 1)),
        ("omegaprm", ["prm/samples_omegaprm_tree.jsonl"], (3, 140, 135, 0)),
        ("bbm", ["big_bench_mistake/logical_deduction.jsonl", "big_bench_mistake/multistep_arithmetic.jsonl"],
         (600, 600, 90, 509)),
    ):  # fmt: skip
        paths = [shared_data / file for file in files]
        if not all(path.exists() for path in paths):
            pytest.skip(f"not all of {files} in {shared_data}")
        report = run_import(tmp_path / name, paths, ImportSettings(format=name))
        right = sum(item.right for item in report.teachers.values())
        wrong = sum(item.wrong for item in report.teachers.values())
        assert (report.problems, report.traces, right, wrong) == counts
