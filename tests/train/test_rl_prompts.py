"""What RL asks is what the dataset asked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steiner.cli.train import solved_shares
from steiner.core import Grading, InputError, Problem, Settings
from steiner.evaluate.records import SampleResult
from steiner.evaluate.saved import SavedEvaluation, save
from steiner.graph import build_graph
from steiner.protocol import Message, encode_prompt
from steiner.store import RunDir, Stage, StoredRecord
from steiner.train.rl import _problems
from steiner.train.settings import DifficultySettings, RlSettings

SETTINGS = {"output": "o", "model": {"path": "m"}, "run": "r", "steps": 4, "prompts": 2}


def test_the_options_of_a_question_are_part_of_its_prompt(tmp_path, tokenizer):
    problem = Problem(question="How many?", answer="B", choices=("one", "two"), grading=Grading.CHOICE)
    settings = RlSettings.model_validate(
        {"output": "o", "model": {"path": "m"}, "run": "r", "steps": 1, "prompts": 1}
    )
    graph = build_graph(problem, [], ())
    with RunDir(tmp_path / "run") as run:
        for name, body in (("problems", problem), ("graphs", graph)):
            record = StoredRecord(problem.id, 0, body.model_dump_json().encode())
            Stage(run, name, Settings()).put([record])
        (chosen,) = _problems(run, settings, tokenizer)
    asked = Message(role="user", content="How many?\nA. one\nB. two")
    assert list(chosen.prompt_ids) == list(encode_prompt(tokenizer, [asked]))


def save_problems(run):
    """Give a run three problems with graphs; return their ids."""
    problems = [Problem(question=f"How many are {n}?", answer=str(n)) for n in range(3)]
    records = [(problem.id, build_graph(problem, [], ())) for problem in problems]
    for name, bodies in (("problems", problems), ("graphs", [graph for _, graph in records])):
        stored = [
            StoredRecord(problem.id, place, body.model_dump_json().encode())
            for place, (problem, body) in enumerate(zip(problems, bodies, strict=True))
        ]
        Stage(run, name, Settings()).put(stored)
    return [problem.id for problem in problems]


def test_only_problems_that_are_solved_sometimes_are_asked(tmp_path, tokenizer):
    settings = RlSettings.model_validate(SETTINGS | {"difficulty": {"evaluation": "e.json"}})
    with RunDir(tmp_path / "run") as run:
        never, sometimes, always = save_problems(run)
        solved = {never: 0.0, sometimes: 0.9, always: 1.0}
        (chosen,) = _problems(run, settings, tokenizer, solved)
        assert chosen.problem.id == sometimes
        with pytest.raises(InputError, match=r"solved in 10% to 90% .* e\.json"):
            _problems(run, settings, tokenizer, {"another": 0.5})


def test_shares_are_those_under_the_largest_limit(tmp_path):
    def sample(problem, max_steps, right):
        return SampleResult(
            problem_id=problem, max_steps=max_steps, right=right, well_formed=True, steps=1, backtracks=0,
            reasoning_tokens=9, answer="1",
        )  # fmt: skip

    samples = [sample("a", 2, False), sample("a", 4, True), sample("a", 4, False), sample("b", 4, True)]
    evaluation = SavedEvaluation(
        model="m", run="r", stage="problems", temperature=1.0, seed=0, max_reasoning_tokens=None,
        seconds=1.0, curve=(), samples=tuple(samples),
    )  # fmt: skip
    save(evaluation, tmp_path / "e.json")
    assert solved_shares(tmp_path / "e.json") == {"a": 0.5, "b": 1.0}
    unlimited = evaluation.model_copy(update={"samples": (*samples, sample("b", None, False))})
    save(unlimited, tmp_path / "u.json")
    assert solved_shares(tmp_path / "u.json") == {"b": 0.0}


def test_least_is_at_most_most():
    with pytest.raises(ValidationError, match=r"least 0\.8 is more than most 0\.2"):
        DifficultySettings(evaluation="e.json", least=0.8, most=0.2)
