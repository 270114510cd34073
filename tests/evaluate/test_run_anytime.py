"""Breaking one long completion off gives exactly what separate runs under smaller limits give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from steiner.core import Move, Problem, ReasoningPath, Step, StepBudget
from steiner.dataset.tokenizer import train_tokenizer
from steiner.decode.engine import LocalEngine
from steiner.evaluate import SampleResult
from steiner.evaluate.run import evaluate
from steiner.protocol import Parsed
from tiny_model import searching_model

LIMITS = (1, 2, 4)
PROBLEMS = [Problem(question=f"Make {n} from 3 5 {n} .", answer=str(n)) for n in range(8)]


def ends_in_an_even_sign(problem: Problem, answer: str) -> bool:
    return (ord(answer[-1]) + len(problem.question)) % 2 == 0


def separately(engine, problems: Sequence[Problem], **values: object) -> list[SampleResult]:
    """Evaluate with a run of its own for each limit."""
    samples: list[SampleResult] = []
    for limit in LIMITS:
        samples += evaluate(engine, problems, (limit,), ends_in_an_even_sign, **values)[0]  # type: ignore[arg-type]
    return samples


class Completed(NamedTuple):
    completion_ids: tuple[int, ...]
    parsed: Parsed
    reasoning_tokens: int


class ScriptedEngine:
    """Thinks as many steps as the question says, a token each, and answers with their number."""

    def __init__(self) -> None:
        self.generated: list[tuple[int, int]] = []
        """Questions and step limit of each call."""
        self.answered: list[tuple[int, int]] = []

    def generate(self, questions, budget: StepBudget, progress=None) -> list[Completed]:
        self.generated.append((len(questions), budget.max_steps))
        return [self._completed(min(self._wishes(q), budget.max_steps)) for q in questions]

    def answer_after(self, questions, completions, steps: int) -> list[Completed]:
        self.answered.append((len(questions), steps))
        return [self._completed(min(len(ids), steps)) for ids in completions]

    @staticmethod
    def _wishes(question: str) -> int:
        return int(question.split()[1]) + 1

    @staticmethod
    def _completed(steps: int) -> Completed:
        made = [Step(name=str(n), thought="", summary="", reflection="") for n in range(steps)]
        moves = tuple(Move.PROCEED if n % 3 else Move.BACKTRACK for n in range(1, steps))
        path = ReasoningPath(steps=tuple(made), moves=moves, answer=f"after {steps}")
        parsed = Parsed(steps=path.steps, moves=path.moves, answer=path.answer, violations=())
        return Completed(tuple(range(steps)), parsed, 10 * steps)


def test_a_scripted_engine_is_asked_once_and_broken_off():
    engine = ScriptedEngine()
    together, whole = evaluate(engine, PROBLEMS, LIMITS, ends_in_an_even_sign)
    # Under 4 steps all are generated; 7 of 8 wish for more than one step, 6 for more than two.
    assert engine.generated == [(8, 4)]
    assert engine.answered == [(7, 1), (6, 2)]
    assert together == separately(ScriptedEngine(), PROBLEMS)
    assert [len(one.parsed.steps) for one in whole] == [1, 2, 3, 4, 4, 4, 4, 4]
    assert [sample.max_steps for sample in together] == [1] * 8 + [2] * 8 + [4] * 8
    assert [sample.steps for sample in together[8:16]] == [1, 2, 2, 2, 2, 2, 2, 2]
    assert {sample.right for sample in together} == {True, False}


def test_limits_come_out_ascending_and_once():
    samples, _ = evaluate(ScriptedEngine(), PROBLEMS[:1], (4, 1, 4, 2), ends_in_an_even_sign)
    assert [sample.max_steps for sample in samples] == [1, 2, 4]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([problem.question for problem in PROBLEMS], 512, 30)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    return searching_model(tokenizer, end=7.0)


@pytest.mark.parametrize("max_reasoning_tokens", [None, 60])
def test_a_model_at_temperature_0_agrees_exactly(model, tokenizer, max_reasoning_tokens):
    def engine() -> LocalEngine:
        return LocalEngine(model, tokenizer, max_answer_tokens=5, batch_size=1)

    together, whole = evaluate(
        engine(), PROBLEMS, LIMITS, ends_in_an_even_sign, max_reasoning_tokens=max_reasoning_tokens
    )
    assert together == separately(engine(), PROBLEMS, max_reasoning_tokens=max_reasoning_tokens)
    # The comparison means something only if searches are cut off, end by themselves, and answer differently.
    lengths = {len(one.parsed.steps) for one in whole}
    assert max(lengths) > 2
    assert len(lengths) > 1
    assert len({sample.answer for sample in together}) > 3
    assert all(sample.well_formed for sample in together)
