"""What RL asks is what the dataset asked."""

from __future__ import annotations

from steiner.core import Grading, Problem, Settings
from steiner.graph import build_graph
from steiner.protocol import Message, encode_prompt
from steiner.store import RunDir, Stage, StoredRecord
from steiner.train.rl import _problems
from steiner.train.settings import RlSettings


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
