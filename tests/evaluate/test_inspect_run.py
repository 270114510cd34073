"""Benchmarks through inspect-ai: what is asked, graded, recorded, kept out of the logs, and gone on with."""

from __future__ import annotations

import csv
import json
import os

import pytest

from steiner.core import InputError, ResumeError, StepBudget
from steiner.evaluate.benchmarks import DataOptions, Loaded, find_benchmark, load_benchmark
from steiner.evaluate.inspect_provider import Answered, Asked, hand_in
from steiner.evaluate.inspect_run import check_settings, limits_of, log_buffer, read_run, run_task
from steiner.evaluate.inspect_task import draw_seed, generation, make_task


class Adder:
    """Answers «What is N + 1?»; thinks in two steps; fails the first time where it is told."""

    def __init__(self, fails: tuple[str, ...] = (), wrong: tuple[str, ...] = ()) -> None:
        self.asked: list[Asked] = []
        self._fails = list(fails)
        self._wrong = wrong

    async def ask(self, asked: Asked) -> Answered:
        self.asked.append(asked)
        number = asked.prompt.split()[2]
        if number in self._fails:
            self._fails.remove(number)
            raise InputError("not now")
        answer = "no" if number in self._wrong else f"The answer is {int(number) + 1}."
        return Answered(
            answer=answer, reasoning="hm", closed=number != "3", forced=number == "3", steps=2, backtracks=1,
            prompt_tokens=5, completion_tokens=9, reasoning_tokens=7, well_formed=True,
        )  # fmt: skip


def sums(tmp_path, count: int = 4) -> Loaded:
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return load_benchmark(find_benchmark("gsm8k"), DataOptions(data=(str(path),)))


CONFIG = generation(temperature=0.0, max_tokens=64, limits=limits_of(StepBudget(max_steps=4)))


def test_long_runs_hold_few_finished_samples_in_memory():
    assert log_buffer(999) is None  # inspect-ai itself writes every ten
    assert log_buffer(1000) == log_buffer(100_000) <= 64


def test_all_is_asked_graded_and_recorded(tmp_path):
    adder = Adder(wrong=("1",))
    task = make_task(sums(tmp_path), seed=5, epochs=2)
    run = run_task(task, hand_in("recorded", adder), CONFIG, tmp_path / "logs", at_once=4)
    assert run.name == "gsm8k"
    assert run.counts == (8, 0, 2, 2, 0)
    assert len(run.samples) == len({asked.seed for asked in adder.asked}) == 8
    assert {asked.limits["max_steps"] for asked in adder.asked} == {4}
    # No request to think step by step: the bare question.
    assert {asked.prompt for asked in adder.asked} == {f"What is {n} + 1?" for n in range(4)}
    by_answer = {sample.answer: sample for sample in run.samples}
    assert [by_answer[answer].right for answer in ("1", "3", "")] == [True, True, False]
    # Question 3's reasoning had no end of its own: counted, and its forced answer graded.
    assert by_answer["4"].right
    sample = by_answer["1"]
    assert (sample.steps, sample.backtracks, sample.reasoning_tokens, sample.tokens) == (2, 1, 7, 9)
    assert sample.max_steps == 4


def test_only_what_failed_is_asked_again(tmp_path):
    adder = Adder(fails=("2",))
    loaded, name = sums(tmp_path), hand_in("again", adder)
    first = run_task(make_task(loaded), name, CONFIG, tmp_path / "logs", at_once=2)
    assert (first.counts.done, first.counts.errors) == (3, 1)
    adder.asked.clear()
    second = run_task(make_task(loaded), name, CONFIG, tmp_path / "logs", at_once=2)
    assert (second.counts.done, second.counts.errors) == (4, 0)
    assert [asked.prompt for asked in adder.asked] == ["What is 2 + 1?"]
    adder.asked.clear()
    third = run_task(make_task(loaded), name, CONFIG, tmp_path / "logs", at_once=2)
    assert third.samples == second.samples
    assert adder.asked == []


class Letter:
    """Chooses the second option, and quotes the question while thinking."""

    async def ask(self, asked: Asked) -> Answered:
        assert asked.hidden
        assert "SECRET-QUESTION" in asked.prompt
        return Answered(answer=f"I read: {asked.prompt}. The answer is (B).", reasoning=asked.prompt)


def test_hidden_questions_reach_the_model_and_no_file(tmp_path):
    from inspect_ai.log import read_eval_log

    path = tmp_path / "gpqa.csv"
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
    rows = [[f"SECRET-QUESTION {n}", *(f"SECRET-{n}-{k}" for k in range(4))] for n in range(3)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    loaded = load_benchmark(find_benchmark("gpqa-diamond"), DataOptions(data=(str(path),)))
    logs = tmp_path / "logs"
    run = run_task(make_task(loaded), hand_in("letter", Letter()), CONFIG, logs, at_once=2)
    assert [sample.answer for sample in run.samples] == ["B"] * 3
    assert sum(sample.right for sample in run.samples) == sum(p.answer == "B" for p in loaded.problems)
    text = read_eval_log(run.log).model_dump_json()
    assert "text not logged" in text
    assert "SECRET" not in text
    for folder, _, names in os.walk(logs):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:  # noqa: PTH118, PTH123 - of any kind
                assert b"SECRET" not in file.read()


def test_other_providers_get_no_hidden_question(tmp_path):
    from inspect_ai.model import get_model

    path = tmp_path / "gpqa.csv"
    columns = "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3"
    path.write_text(f"{columns}\nmade up,a,b,c,d\n")
    loaded = load_benchmark(find_benchmark("gpqa-diamond"), DataOptions(data=(str(path),)))
    run = run_task(make_task(loaded), get_model("mockllm/model"), CONFIG, tmp_path / "logs", at_once=1)
    assert (run.counts.done, run.counts.errors) == (0, 1)
    with pytest.raises(InputError, match="kept out of the logs"):
        make_task(loaded, template="Think! {question}")


def test_other_providers_are_read_by_their_text(tmp_path):
    from inspect_ai import eval as inspect_eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    texts = ["<think>one</think>It is 1.", "<think>for ever", "The answer is 3.", "<think>4</think>no"]
    outputs = [ModelOutput.from_content("mockllm", text) for text in texts]
    for output in outputs:  # without usage inspect-ai would count tokens with a tokenizer from the internet
        output.usage = ModelUsage(input_tokens=1, output_tokens=2, total_tokens=3)
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = inspect_eval(
        make_task(sums(tmp_path)), model=model, log_dir=str(tmp_path / "logs"), display="none", max_samples=1,
        max_connections=1,
    )  # fmt: skip
    run = read_run(log)
    assert sorted((sample.answer, sample.right) for sample in run.samples) == [
        ("", False), ("", False), ("1", True), ("3", True),
    ]  # fmt: skip
    assert run.counts.unclosed == 1


def test_other_settings_are_refused_by_name(tmp_path):
    check_settings(tmp_path, {"model": "a", "seed": 1})
    check_settings(tmp_path, {"model": "a", "seed": 1})
    with pytest.raises(ResumeError, match="seed was 1 and is 2 now"):
        check_settings(tmp_path, {"model": "a", "seed": 2})


def test_seeds_fit_endpoints_and_differ():
    seeds = {draw_seed(seed, question, epoch) for seed in (0, 1) for question in "ab" for epoch in (1, 2)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**31 for seed in seeds)
