"""The Game of 24: operations are checked, searches and samples become traces with exact states."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from importing import import_records, imported, parents, run_import, thoughts

from steiner.cli.sample import writer_for
from steiner.core import InputError, ReasoningPath, Step, Verdict
from steiner.graph import SampleSettings, TextWriter, sample_paths
from steiner.graph.build import build_graph
from steiner.graph.stage import GraphSettings, label_steps
from steiner.problems.game24 import make_game24
from steiner.problems.grading import grade
from steiner.synthesis.importers import ImportSettings
from steiner.synthesis.importers.operations24 import (
    Done,
    Refused,
    done_step,
    number,
    perform,
    read_operation,
    state_of,
)
from steiner.synthesis.importers.tot24 import EXPECTED
from steiner.synthesis.importers.writer24 import Game24Writer


def pool(*values: object) -> tuple[Fraction, ...]:
    return tuple(sorted(Fraction(str(value)) for value in values))


@pytest.mark.parametrize(
    ("left", "line", "equation", "state"),
    [
        ((4, 5, 6, 10), "4 + 5 = 9 (left: 6 9 10)", "4 + 5 = 9", "6,9,10"),
        ((3, 4, 7), "4 / 3 = 1.33 (left: 1.33 7) (if decimals are allowed)", "4 / 3 = 4/3", "4/3,7"),
        (("4/3", 7), "1.33 * 7 ≈ 9.31 (left: 9.31)", "(4/3) * 7 = 28/3", "28/3"),
        (("5/3", 20), "5/3 * 20 = 100/3 (left: 100/3)", "(5/3) * 20 = 100/3", "100/3"),
        ((3, 5, 20), "5/3 = 1.667 (left: 1.667 20)", "5 / 3 = 5/3", "5/3,20"),
        ((-1, 6, 10), "10 + (-1) = 9 (left: 6 9)", "10 + (-1) = 9", "6,9"),
        ((2, 4, 7), "2 - 7 = -5 (left: -5 4)", "2 - 7 = -5", "-5,4"),
        ((1, 3, 5, 6, 7), "6 / (7 - 5) = 3 (left: 1 3 3)", "6 / (7 - 5) = 3", "1,3,3"),
        ((2, 12), "12 × 2 = 24", "12 * 2 = 24", "24"),
        ((6, 40), "40 / 6 = 6.67 (approximately, left: 6.67)", "40 / 6 = 20/3", "20/3"),
        ((3, 17), "17 / 3 = approx. 5.67 (left: approx. 5.67)", "17 / 3 = 17/3", "17/3"),
    ],
)  # fmt: skip
def test_allowed_operations(left: tuple[object, ...], line: str, equation: str, state: str) -> None:
    operation = read_operation(line)
    assert operation is not None
    done = perform(pool(*left), operation)
    assert isinstance(done, Done), done
    assert (done.text, state_of(done.left)) == (equation, state)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("10 * 1 = 24 (left: 24)", "1 is not left"),
        ("4 * 5 = 24 (left: 6 10 24)", "4 * 5 is 20 , not 24"),
        ("4 + 5 = 9 (left: 6 9)", "left is 6 9 10 , not 6 9"),
        ("4 + 4 = 8 (left: 5 6 8 10)", "4 is not left"),
        ("4 / (10 - 4 - 6) = 1", "4 is not left"),
        ("6 / (10 - 4 - 6) = 1", "6 is not left"),
        ("6 + (4 = 10", "a bracket is not closed"),
        ("4 + 5 = many", "4 + 5 is 9 , 4 + 5"),
    ],
)
def test_refused_operations_say_why(line: str, reason: str) -> None:
    operation = read_operation(line)
    assert operation is not None
    assert perform(pool(4, 5, 6, 10), operation) == Refused(reason)


def test_division_by_zero_is_refused() -> None:
    operation = read_operation("5 / (4 - 4) = 0")
    assert operation is not None
    assert perform(pool(4, 4, 5), operation) == Refused("divides by zero")


@pytest.mark.parametrize(
    "line",
    ["Steps:", "Answer: None", "Round the number: round(2.18) = 2", "24 = 24", "", "1" * 300 + " + 1 = 2"],
)
def test_remarks_are_no_operations(line: str) -> None:
    assert read_operation(line) is None


@given(st.text(alphabet="0123456789 +-*/().=≈left:", max_size=60))
def test_nothing_that_is_written_breaks_it(line: str) -> None:
    operation = read_operation(line)
    if operation is not None:
        perform(pool(1, 2, 3, 4), operation)


@st.composite
def derivations(draw: st.DrawFn) -> tuple[list[int], list[Step], Fraction]:
    """Numbers, the steps of random operations on them, and what they come to."""
    given_numbers = draw(st.lists(st.integers(1, 13), min_size=4, max_size=4))
    left, steps = pool(*given_numbers), []
    while len(left) > 1:
        i, j = draw(st.permutations(range(len(left))))[:2]
        sign = draw(st.sampled_from("+-*/"))
        assume(sign != "/" or left[j])
        operands = [f"({number(v)})" if v < 0 or v.denominator > 1 else number(v) for v in (left[i], left[j])]
        values = {"+": left[i] + left[j], "-": left[i] - left[j], "*": left[i] * left[j]}
        value = left[i] / left[j] if sign == "/" else values[sign]
        assume(value.denominator < 10**4)
        operation = read_operation(f"{operands[0]} {sign} {operands[1]} = {number(value)}")
        assert operation is not None
        done = perform(left, operation)
        assert isinstance(done, Done), (left, operation, done)
        steps.append(done_step(left, done))
        left = done.left
    return given_numbers, steps, left[0]


@given(derivations())
def test_the_answer_of_a_path_is_its_own_steps(made: tuple[list[int], list[Step], Fraction]) -> None:
    numbers, steps, value = made
    problem = make_game24(numbers)
    answer = Game24Writer(TextWriter()).answer(problem, steps, ["of another route"])
    if value == 24:
        assert grade(problem, answer).right, (answer, grade(problem, answer))
    else:
        assert answer == "of another route"


def level(given_numbers: str, texts: list[str], kept: list[str]) -> dict[str, Any]:
    values = [float(len(text)) for text in texts]
    return {"x": given_numbers, "ys": [], "new_ys": texts, "values": values, "select_new_ys": kept}


A, B, C = "4 + 5 = 9 (left: 6 9 10)\n", "4 * 5 = 20 (left: 6 10 20)\n", "10 - 4 = 6 (left: 5 6)\n"
B1, B2 = B + "10 - 6 = 4 (left: 4 20)\n", B + "20 - 6 = 14 (left: 10 14)\n"
A1 = A + "6 + 9 = 15 (left: 10 15)\n"
B1X, B1Y = B1 + "4 + 20 = 24 (left: 24)\n", B1 + "20 - 4 = 16 (left: 16)\n"
B2X = B2 + "10 + 14 = 24 (left: 24)\n"
RIGHT, ALSO = B1X + "Answer: (4 * 5) + (10 - 6) = 24\n", B2X + "Answer: (4 * 5) - 6 + 10 = 24\n"
WRONG = B1Y + "Answer: (4 * 5) - (10 - 6) = 24\n"
SEARCH = {
    "idx": 900,
    "steps": [
        level("4 5 6 10", [A, B, C, "Any remark.\n"], [A, B]),
        level("4 5 6 10", [B1, B2, A1, B1, C + "6 * 5 = 30 (left: 30)\n"], [B1, B2]),
        level("4 5 6 10", [B1X, B1Y, B2X], [B1X, B1Y, B2X]),
        level("4 5 6 10", [RIGHT, WRONG, B1Y + "16 + 8 = 24 (left: 24)\n"], [RIGHT]),
    ],
    "ys": [WRONG, RIGHT, ALSO, B1Y],
    "infos": [{"r": 0}, {"r": 1}, {"r": 1}, {"r": 0}],
}


def test_a_search_is_one_trace_depth_first_with_the_right_way_last(tmp_path: Path) -> None:
    [(problem, traces)] = import_records(tmp_path, "tot24", [SEARCH])
    assert problem == make_game24([4, 5, 6, 10], "game24:log.jsonl")
    search = traces[0]
    assert thoughts(search) == [
        "4 + 5 = 9", "6 + 9 = 15", "10 - 4 = 6 (left: 5 6)",
        "4 * 5 = 20", "20 - 6 = 14", "10 + 14 = 24", "10 - 6 = 4", "20 - 4 = 16", "4 + 20 = 24",
    ]  # fmt: skip
    assert parents(search) == [-1, 0, -1, -1, 3, 4, 3, 6, 6]
    assert [item.state for item in search.steps] == [
        "6,9,10", "10,15", None, "6,10,20", "10,14", "24", "4,20", "16", "24",
    ]  # fmt: skip
    assert (search.verdict, search.answer) == (Verdict.RIGHT, "(4 * 5) + (10 - 6) = 24")
    reasons = [item.step.reflection for item in search.steps]
    assert reasons[:3] == ["go on", "dead end , go back", "not allowed , left is 5 6 6 , not 5 6"]
    assert reasons[7:] == ["target 24 , got 16 , off by 8", "target 24 , got 24 , off by 0"]
    details = search.provenance.details
    assert details["kept"] == [True, False, False, True, True, True, True, True, True]
    assert details["values"][1] == float(len(A1))
    assert (details["remarks"], details["after_the_end"], details["after_mistakes"]) == (1, 1, 1)


def test_other_answers_are_traces(tmp_path: Path) -> None:
    [(_, traces)] = import_records(tmp_path, "tot24", [SEARCH])
    assert [(t.provenance.details["kind"], t.verdict) for t in traces[1:]] == [
        ("answer", Verdict.WRONG),
        ("answer", Verdict.RIGHT),
    ]
    assert thoughts(traces[2]) == ["4 * 5 = 20", "20 - 6 = 14", "10 + 14 = 24"]
    assert parents(traces[2]) == [-1, 0, 1]


def test_a_search_without_an_answer_is_unfinished(tmp_path: Path) -> None:
    [(_, [search])] = import_records(tmp_path, "tot24", [SEARCH | {"ys": [B1Y]}])
    assert (search.verdict, search.answer, len(search.steps)) == (Verdict.UNFINISHED, "", 9)


def test_sampled_paths_of_a_search_backtrack_and_answer_with_their_own_steps(tmp_path: Path) -> None:
    [(problem, traces)] = import_records(tmp_path, "tot24", [SEARCH])
    paths = sampled(problem, traces, 30)
    assert any(path.backtracks for path in paths)
    for path in paths:
        assert grade(problem, path.answer).right
        ends = "10 - 6" in path.answer
        assert ends == any(step.thought == "10 - 6 = 4" for step in route(path))


def sampled(problem: Any, traces: list[Any], count: int) -> tuple[ReasoningPath, ...]:
    graph = build_graph(problem, traces, label_steps(problem, traces, GraphSettings()))
    settings = SampleSettings(paths_per_question=count)
    return sample_paths(
        problem, graph, settings, count=count, writer=writer_for(problem), traces=traces
    ).paths


def route(path: ReasoningPath) -> list[Step]:
    at, found = len(path.steps) - 1, []
    while at >= 0:
        found.append(path.steps[at])
        at = path.parents[at]
    return found[::-1]


def sample(*lines: str) -> str:
    return "Steps:\n" + "\n".join(lines)


def test_samples(tmp_path: Path) -> None:
    ys = [
        sample("4 * 5 = 20 (left: 6 10 20)", "10 - 6 = 4 (left: 4 20)", "20 + 4 = 24 (left: 24)",
               "Answer: (4 * 5) + (10 - 6) = 24", "Note: fine."),
        # Goes back to the question of its own accord.
        sample("4 + 5 = 9 (left: 6 9 10)", "6 + 9 = 15 (left: 10 15)", "4 * 5 = 20 (left: 6 10 20)",
               "10 - 6 = 4 (left: 4 20)", "20 + 4 = 24 (left: 24)", "Answer: (10 - 6) + 4 * 5 = 24"),
        sample("10 - 4 = 6 (left: 5 6 6)", "6 / 6 = 1 (left: 1 5)", "1 * 5 = 24 (left: 24)",
               "Answer: 6 / 6 * 5 = 24"),
        sample("10 - 4 = 6 (left: 5 6 6)", "Answer: not possible"),
        # A right answer that does not follow.
        sample("10 - 4 = 6 (left: 5 6 6)", "6 * 4 = 24 (left: 24)", "Answer: (4 * 5) + (10 - 6) = 24"),
        "There is no solution.",
    ]  # fmt: skip
    [(problem, traces)] = import_records(tmp_path, "tot24", [{"idx": 900, "ys": ys, "infos": []}])
    assert problem.facts["numbers"] == [4, 5, 6, 10]
    assert [t.verdict for t in traces] == [
        Verdict.RIGHT, Verdict.RIGHT, Verdict.WRONG, Verdict.UNFINISHED, Verdict.UNFINISHED,
    ]  # fmt: skip
    assert parents(traces[1]) == [-1, 0, -1, 2, 3]
    assert traces[1].steps[1].step.reflection == "dead end , go back"
    assert traces[2].provenance.details["not_allowed"] == [2]
    assert traces[2].steps[2].step.reflection == "not allowed , 1 * 5 is 5 , not 24"
    assert traces[4].provenance.details["answer_without_steps"] == "(4 * 5) + (10 - 6) = 24"


def test_a_puzzle_without_numbers_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    file.write_text(json.dumps([{"idx": 1, "ys": ["no idea"], "infos": [{"r": 0}]}, SEARCH]))
    report = run_import(tmp_path / "run", [file], ImportSettings(format="tot24"))
    assert (report.problems, report.unusable) == (1, 1)
    file.write_text(json.dumps([{"steps": 7, "ys": []}]))
    with pytest.raises(InputError, match="item 1: Its steps are not all objects"):
        run_import(tmp_path / "other", [file], ImportSettings(format="tot24"))
    assert "select_new_ys" in EXPECTED


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "game24"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    with (folder / "24.csv").open() as file:
        puzzles = [sorted(map(int, row["Puzzles"].split())) for row in csv.DictReader(file)]
    for name in ("tot_gpt4_100", "cot_gpt4_100x100"):
        log = json.loads((folder / f"{name}.json").read_bytes())
        if name.startswith("cot"):
            log = [item | {"ys": item["ys"][:30], "infos": item["infos"][:30]} for item in log]
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(log))
        run_import(tmp_path / name, [path], ImportSettings(format="tot24"))
        found = imported(tmp_path / name)
        assert [problem.facts["numbers"] for problem, _ in found] == [puzzles[item["idx"]] for item in log]
        # Whoever made the logs graded them, too.
        for item, (_, traces) in zip(log, found, strict=True):
            said = {t.answer for t in traces if t.verdict is Verdict.RIGHT}
            said |= {t.provenance.details.get("answer_without_steps", "") for t in traces} - {""}
            wanted = {
                text.split("Answer:")[1].strip().split("\n")[0]
                for text, info in zip(item["ys"], item["infos"], strict=True)
                if info["r"]
            }
            assert said <= wanted
            assert bool(said) == bool(wanted)
        if name.startswith("tot"):
            for problem, traces in found[:15]:
                for path_ in sampled(problem, traces, 6):
                    assert grade(problem, path_.answer).right
