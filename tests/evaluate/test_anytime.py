"""The curve of one completion a problem is that of separate runs; `steiner curve --anytime` draws it."""

from __future__ import annotations

from pathlib import Path

import pytest
from anytime_model import save_model, save_problems
from typer.testing import CliRunner

from steiner.cli import curve, evaluate
from steiner.cli.evaluate import read_limits, read_problems
from steiner.core import InputError, Problem, StepBudget
from steiner.decode import engine
from steiner.decode.engine import LocalEngine, row_seeds
from steiner.evaluate.anytime import AnytimeEngine, by_question
from steiner.evaluate.curves import ScalingCurve
from steiner.evaluate.metrics import compare
from steiner.evaluate.run import evaluate as run_evaluation
from steiner.evaluate.saved import load

LIMITS = (1, 2, 4)
ROOM = 120


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return save_problems(tmp_path_factory.mktemp("problems") / "run", 16)


@pytest.fixture(scope="module")
def problems(place) -> list[Problem]:
    return read_problems(place, None, 100)[0]


def is_lucky(problem: Problem, answer: str) -> bool:
    return (ord(answer[-1]) + len(problem.question)) % 2 == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_samples_are_those_of_separate_runs(model, problems, temperature):
    def engine() -> LocalEngine:
        return LocalEngine.load(model, temperature=temperature, seed=7, max_answer_tokens=5, batch_size=10)

    together, _ = run_evaluation(engine(), problems, LIMITS, is_lucky, max_reasoning_tokens=ROOM)
    apart = [
        sample
        for limit in LIMITS
        for sample in run_evaluation(engine(), problems, (limit,), is_lucky, max_reasoning_tokens=ROOM)[0]
    ]
    assert together == apart
    assert len({sample.steps for sample in together}) > 2
    assert {sample.right for sample in together} == {True, False}


def test_other_seeds_agree_within_the_interval(model, problems):
    """Separate runs of which each draws its own tokens."""
    many = problems * 6
    made = LocalEngine.load(model, temperature=1.0, seed=1, max_answer_tokens=5)
    together, _ = run_evaluation(made, many, LIMITS, is_lucky, max_reasoning_tokens=ROOM)
    for limit in LIMITS:
        other = LocalEngine.load(model, temperature=1.0, seed=10 + limit, max_answer_tokens=5)
        apart, _ = run_evaluation(other, many, (limit,), is_lucky, max_reasoning_tokens=ROOM)
        found = compare(together, apart, max_steps=limit, titles=("forked", "apart"))
        assert found.low <= 0 <= found.high
        assert [s.answer for s in apart] != [s.answer for s in together if s.max_steps == limit]


class Reader:
    """An engine that cannot fork."""

    def __init__(self, engine: LocalEngine) -> None:
        self.generate = engine.generate
        self.answer_after = engine.answer_after


def test_an_engine_that_cannot_fork_reads_again_and_writes_the_same(model, problems):
    made = LocalEngine.load(model, temperature=1.0, seed=3, max_answer_tokens=5)
    reader = Reader(made)
    assert isinstance(made, AnytimeEngine)
    assert not isinstance(reader, AnytimeEngine)
    questions = [problem.blind().prompt for problem in problems]
    budget = StepBudget(max_steps=4, max_reasoning_tokens=ROOM)
    forked = list(by_question(made, questions, budget, LIMITS))
    assert by_question(reader, questions, budget, LIMITS) == forked


def test_a_question_draws_the_same_wherever_it_stands_and_another_when_it_comes_again():
    one, two, again = row_seeds(5, ["a", "b", "a"])
    assert len({one, two, again}) == 3
    assert row_seeds(5, ["b", "a"]) == [two, one]
    assert row_seeds(6, ["a"]) != [one]


def test_parts_write_the_same_and_tell_of_all(model, problems, monkeypatch):
    class Told:
        def __init__(self) -> None:
            self.done: list[float] = []

        def update(self, done: float, note: str = "") -> None:
            self.done.append(done)

    questions = [problem.blind().prompt for problem in problems[:5] * 2]
    made = LocalEngine.load(model, temperature=1.0, seed=4, max_answer_tokens=5)
    budget = StepBudget(max_steps=2, max_reasoning_tokens=60)
    whole = list(made.anytime(questions, budget, (1, 2)))
    assert whole[:5] != whole[5:], "asked again, a question draws anew"
    monkeypatch.setattr(engine, "AT_ONCE", 3)
    told = Told()
    assert list(made.anytime(questions, budget, (1, 2), told)) == whole
    assert told.done == [3, 6, 9, 10]


def run(command, *arguments: object):
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def refused(result, message: str) -> None:
    with pytest.raises(InputError, match=message):
        raise result.exception


@pytest.mark.parametrize("temperature", [0, 1])
def test_the_command_draws_the_curve_of_separate_runs(model, place, tmp_path, temperature):
    options = ("--temperature", temperature, "--max-reasoning-tokens", ROOM, "--n", 12)
    files = []
    for limit in (1, 2, 3):
        files.append(tmp_path / f"{limit}.json")
        done = run(evaluate, model, "--run", place, "--limits", limit, *options, "--output", files[-1])
        assert done.exit_code == 0, done.output
    curves = [tmp_path / "apart.json", tmp_path / "together.json"]
    samples = tmp_path / "samples.json"
    apart = run(curve, *files, "--title", "model", "--output", curves[0])
    together = run(
        curve, "--anytime", model, "--problems", place, "--limits", "1-3", *options, "--title", "model",
        "--save", samples, "--output", curves[1],
    )  # fmt: skip
    assert together.exit_code == 0, together.output
    assert together.output.split("Verdict")[1] == apart.output.split("Verdict")[1]
    first, second = (ScalingCurve.model_validate_json(path.read_bytes()) for path in curves)
    assert first == second
    assert len({point.steps for point in first.points}) == 3
    assert sorted({s.max_steps for s in load(samples).samples}) == [1, 2, 3]
    refused(run(curve, "--anytime", model, "--problems", place, "--save", samples), "samples.json exists")


def test_a_benchmark_is_measured_and_hidden_questions_leave_no_text(model, tmp_path):
    path, samples = tmp_path / "gpqa.csv", tmp_path / "samples.json"
    columns = "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3"
    rows = [f"SECRET 3 {n},SECRET a,SECRET b,SECRET c,SECRET d" for n in range(6)]
    path.write_text("\n".join([columns, *rows]))
    done = run(
        curve, "--anytime", model, "--benchmark", "gpqa-diamond", "--data", path, "--limits", "1-2",
        "--max-reasoning-tokens", ROOM, "--n", 5, "--save", samples,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    saved = load(samples)
    assert len(saved.samples) == 10
    assert {sample.answer for sample in saved.samples} <= {"A", "B", "C", "D", ""}
    assert "SECRET" not in samples.read_text() + done.output


def test_what_does_not_go_together_is_refused(model, place, tmp_path):
    refused(run(curve), "at least one run, or --anytime")
    refused(run(curve, "--anytime", model), "needs --problems RUN, or --benchmark")
    both = ("--problems", place, "--benchmark", "gsm8k")
    refused(run(curve, "--anytime", model, *both), "needs --problems RUN, or --benchmark")
    refused(run(curve, tmp_path, "--anytime", model, "--problems", place), "either runs, or --anytime")
    refused(run(curve, tmp_path, "--problems", place), "--save go with --anytime")


def test_limits_may_be_given_as_ranges():
    assert read_limits("1,2,4") == [1, 2, 4]
    assert read_limits("7, 2-4 ,3") == [2, 3, 4, 7]
    for wrong in ("", "0", "0-3", "3-1", "1-2-3", "-2", "1,,2", "a", "1-100000", "9" * 30):
        with pytest.raises(InputError, match="--limits takes numbers of steps"):
            read_limits(wrong)


@pytest.mark.slow
def test_processes_draw_what_one_engine_draws(model, problems):
    from steiner.decode.pool import EnginePool

    questions = [problem.blind().prompt for problem in problems] * 4
    budget = StepBudget(max_steps=4, max_reasoning_tokens=ROOM)
    options = {"temperature": 1.0, "seed": 9, "max_answer_tokens": 5}
    made = LocalEngine.load(model, **options)
    with EnginePool(model, 2, **options) as pool:
        assert isinstance(pool, AnytimeEngine)
        assert list(pool.anytime(questions, budget, LIMITS)) == list(made.anytime(questions, budget, LIMITS))
        assert pool.generate(questions, budget) == made.generate(questions, budget)
