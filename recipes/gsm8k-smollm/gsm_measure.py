"""Answers without step control: of a model that knows no control tokens, and of one that should."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from steiner.core import Problem
    from steiner.evaluate.records import SampleResult
    from steiner.evaluate.saved import WrittenPath


def measure_plain(model: Path, test: Path, output: Path, count: int, tokens: int, batch: int) -> None:
    """Let a model answer in plain text, greedily, and save what is right, unless that was done.

    Args:
        model: folder of a chat model as it was published.
        test: run directory with the problems.
        output: JSON file to write.
        count: problems.
        tokens: most tokens of an answer.
        batch: answers that are written at once.
    """
    from steiner.cli.evaluate import read_problems

    if output.exists():
        return
    problems, stage = read_problems(test, None, count)
    started = time.monotonic()
    answers = plain_answers(model, [one.blind().prompt for one in problems], tokens, batch)
    samples = [plain_result(*pair) for pair in zip(problems, answers, strict=True)]
    _save(output, model, test, stage, samples, None, time.monotonic() - started)


def plain_result(problem: Problem, answer: str) -> SampleResult:
    """Grade a text by the number that it ends with or states; without any it is not well-formed."""
    from steiner.evaluate.records import SampleResult
    from steiner.problems.grading import grade

    found = grade(problem, answer)
    return SampleResult(
        problem_id=problem.id, max_steps=None, right=found.right, well_formed=bool(found.extracted),
        steps=0, backtracks=0, reasoning_tokens=0, answer=answer,
    )  # fmt: skip


def plain_answers(model: Path, questions: Sequence[str], tokens: int, batch: int) -> list[str]:
    """Return what a chat model answers, greedily; questions of like length share a batch."""
    import torch
    from transformers import AutoModelForCausalLM

    from steiner.protocol import Message, encode_prompts
    from steiner.train.model import load_tokenizer
    from steiner.train.settings import ModelSettings

    tokenizer = load_tokenizer(ModelSettings(path=str(model)))
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto", use_safetensors=True).eval()
    prompts = encode_prompts(tokenizer, [(Message("user", one),) for one in questions])
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers = [""] * len(prompts)
    for begin in range(0, len(order), batch):
        rows = order[begin : begin + batch]
        padded = tokenizer.pad(
            {"input_ids": [prompts[i] for i in rows]}, padding_side="left", return_tensors="pt"
        )
        with torch.inference_mode():
            found = loaded.generate(
                **padded, max_new_tokens=tokens, do_sample=False, eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        for index, row in zip(rows, found[:, padded["input_ids"].shape[1] :], strict=True):
            answers[index] = tokenizer.decode(row, skip_special_tokens=True).strip()
        typer.echo(f"plain answers: {begin + len(rows)}/{len(order)}")
    return answers


def measure_free(model: Path, test: Path, output: Path, count: int, reasoning: int, batch: int) -> None:
    """Let a trained model think without step control, greedily, and save the samples, unless that was done.

    Args:
        model: folder of a model with control tokens.
        test: run directory with the problems.
        output: JSON file to write.
        count: problems.
        reasoning: tokens after which a completion is cut, room for the answer apart.
        batch: completions that are written at once.
    """
    from steiner.cli.common import is_right
    from steiner.cli.evaluate import read_problems
    from steiner.core import StepBudget
    from steiner.decode.control import Mode
    from steiner.decode.engine import LocalEngine
    from steiner.evaluate.run import sample_result
    from steiner.evaluate.saved import WrittenPath

    if output.exists():
        return
    problems, stage = read_problems(test, None, count)
    started = time.monotonic()
    engine = LocalEngine.load(model, mode=Mode.OFF, batch_size=batch)
    thoughts = engine.generate(
        [one.blind().prompt for one in problems], StepBudget(max_reasoning_tokens=reasoning)
    )
    pairs = list(zip(problems, thoughts, strict=True))
    samples = [sample_result(problem, thought, None, is_right, reasoning) for problem, thought in pairs]
    written = [
        WrittenPath(problem_id=problem.id, steps=thought.parsed.steps, moves=thought.parsed.moves)
        for problem, thought in pairs
    ]
    _save(output, model, test, stage, samples, reasoning, time.monotonic() - started, written)


def _save(
    output: Path,
    model: Path,
    test: Path,
    stage: str,
    samples: Sequence[SampleResult],
    reasoning: int | None,
    seconds: float,
    written: Sequence[WrittenPath] = (),
) -> None:
    from steiner.cli.circumstances import circumstances
    from steiner.evaluate import saved
    from steiner.evaluate.metrics import curve_point

    where = circumstances().model_copy(update={"command": shlex.join(["python", *sys.argv])})
    evaluation = saved.SavedEvaluation(
        model=str(model),
        run=str(test),
        stage=stage,
        temperature=0.0,
        seed=0,
        max_reasoning_tokens=reasoning,
        seconds=seconds,
        curve=(curve_point(samples, None),),
        samples=tuple(samples),
        written=tuple(written),
        circumstances=where,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    saved.save(evaluation, output)
