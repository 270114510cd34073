"""Classes, questions and paths out of inspect-ai's logs; nothing of hidden questions."""

from __future__ import annotations

import csv
import json

import pytest
from planted import DEAD, GOOD, HIT, PROBLEM, SUM, B, P

from steiner.cli.report import app
from steiner.core import Move, Step, StepBudget
from steiner.evaluate import FailureKind
from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark
from steiner.evaluate.gather import read_saved
from steiner.evaluate.inspect_provider import Answered, Asked, hand_in
from steiner.evaluate.inspect_run import limits_of, run_task
from steiner.evaluate.inspect_task import generation, make_task
from steiner.protocol.outline import read_outline, write_outline

CONFIG = generation(temperature=0.0, max_tokens=64, limits=limits_of(StepBudget(max_steps=4)))


def thought(summary: str) -> Step:
    return Step(name="Add", thought="one and one", summary=summary, reflection="fine")


class Scripted:
    """Answers «What is N + 1?» in a way of its own for every N."""

    async def ask(self, asked: Asked) -> Answered:
        number = int(asked.prompt.split()[2])
        right = f"That makes {number + 1}."
        facts: dict[str, object] = {"steps": 2, "closed": True, "well_formed": True, "completion_tokens": 9}
        steps, moves, answer = (thought("Hm."), thought("Hm.")), (Move.PROCEED,), "It is 99."
        if number == 1:
            facts |= {"well_formed": False, "broken": "text where the end must follow"}
        elif number == 2:
            steps = (thought("Hm."), thought(right))
        elif number == 3:
            steps, moves = (thought(right), thought("Hm.")), (Move.BACKTRACK,)
        elif number == 4:
            facts |= {"closed": False, "forced": True}
        elif number == 5:
            answer = "I do not know."
        elif number == 6:
            answer = f"It is {number + 1}."
        elif number == 7:
            facts |= {"steps": 4}
        return Answered(answer=answer, reasoning=write_outline(steps, moves), **facts)


def test_a_log_gives_classes_questions_and_paths(tmp_path):
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(8)]
    path.write_text("\n".join(map(json.dumps, rows)))
    loaded = load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(str(path),)))
    run = run_task(make_task(loaded), hand_in("classes", Scripted()), CONFIG, tmp_path / "logs", at_once=4)
    prompts = {question.problem_id: question.prompt for question in run.questions}
    kinds = {
        prompts[sample.problem_id].split()[2]: sample.failure.kind if sample.failure else None
        for sample in run.samples
    }
    assert kinds == {
        "0": FailureKind.ACCEPTED_WRONG,
        "1": FailureKind.ILL_FORMED,
        "2": FailureKind.ANSWER_DIFFERS,
        "3": FailureKind.LEFT_GOOD,
        "4": FailureKind.OUT_OF_BUDGET,
        "5": FailureKind.NEVER_FOUND,
        "6": None,
        "7": FailureKind.OUT_OF_BUDGET,
    }
    assert [one.problem_id for one in run.written] == [sample.problem_id for sample in run.samples]
    assert {len(one.steps) for one in run.written} == {2}
    again = read_saved(tmp_path / "logs" / run.log.rsplit("/", 1)[-1])
    assert (again.samples, again.questions, again.written) == (run.samples, run.questions, run.written)


def test_hidden_questions_get_a_class_and_stay_hidden(tmp_path):
    from typer.testing import CliRunner

    class Letter:
        async def ask(self, asked: Asked) -> Answered:
            return Answered(
                answer=f"I read: {asked.prompt}. The answer is (B).",
                reasoning=asked.prompt,
                broken=asked.prompt,
            )

    path = tmp_path / "gpqa.csv"
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
    lines = [[f"SECRET-QUESTION {n}", *(f"SECRET-{n}-{k}" for k in range(4))] for n in range(6)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    loaded = load_benchmark(find_benchmark("gpqa-diamond"), DataOptions(data=(str(path),)))
    run = run_task(make_task(loaded), hand_in("hidden", Letter()), CONFIG, tmp_path / "logs", at_once=2)
    wrong = [sample for sample in run.samples if not sample.right]
    assert wrong
    assert {sample.failure.kind for sample in wrong if sample.failure} == {FailureKind.ACCEPTED_WRONG}
    assert {question.prompt for question in run.questions} == {""}
    done = CliRunner().invoke(app, [run.log, "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    for name in ("report.html", "report.json", "model-card.md"):
        assert "SECRET" not in (tmp_path / "out" / name).read_text()
    assert "must not be published" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("steps", [(DEAD, SUM, GOOD, HIT), (thought("a\nb"),)])
def test_an_outline_brings_steps_back(steps):
    moves = (P, B, P)[: len(steps) - 1]
    path = read_outline(write_outline(steps, moves), PROBLEM.answer)
    assert path is not None
    assert (path.steps, path.moves) == (steps, moves)
