"""One sample of a log: its result, its question, and what was written. Hidden questions stay hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from steiner.core import Problem
from steiner.evaluate.failures import Attempt, classify, failure_of, repeated_steps
from steiner.evaluate.records import Failure, SampleResult
from steiner.evaluate.saved import AskedQuestion, WrittenPath
from steiner.evaluate.wording import steps_used

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

    from steiner.evaluate.benchmarks.reading import Reading

CUT = "the tokens for all of it ran out"
FORCED = "the reasoning did not end within its tokens"
OPEN = "the reasoning never ended"
UNKNOWN = "it did not follow the grammar"


class ReadSample(NamedTuple):
    """A sample of a log."""

    result: SampleResult
    question: AskedQuestion
    written: WrittenPath


def read_sample(sample: EvalSample, max_steps: int | None) -> ReadSample:
    """Read an answered sample."""
    from steiner.evaluate.benchmarks.reading import read_reply
    from steiner.evaluate.inspect_task import reasoning_of

    facts = facts_of(sample)
    score = next(iter((sample.scores or {}).values()))
    name = str(sample.metadata.get("problem_id", sample.id))
    stored = sample.metadata.get("problem")
    problem = None if stored is None else Problem.model_validate(stored)
    # Of a hidden question neither text nor reasoning was logged; what is left of the answer is a letter.
    reading = read_reply(sample.output.completion, reasoning_of(sample.output))
    path = reading.path
    right = is_right(sample)
    known = facts.get("well_formed")
    result = SampleResult(
        problem_id=name,
        max_steps=max_steps,
        right=right,
        well_formed=bool(known if known is not None else facts.get("closed")),
        steps=_count(facts, "steps"),
        backtracks=_count(facts, "backtracks"),
        reasoning_tokens=_count(facts, "reasoning_tokens"),
        answer=score.answer or "",
        repeated_steps=repeated_steps(path.steps) if path else 0,
        tokens=_count(facts, "completion_tokens") or None,
        seconds=_seconds(facts),
        failure=None if right else _failure(problem, reading, facts, max_steps, bool(score.answer)),
    )
    return ReadSample(
        result,
        AskedQuestion(
            problem_id=name,
            prompt="" if problem is None else problem.blind().prompt,
            reference="" if problem is None else problem.answer,
        ),
        WrittenPath(problem_id=name, text="" if problem is None else reading.reasoning)
        if path is None
        else WrittenPath(problem_id=name, steps=path.steps, moves=path.moves),
    )


def facts_of(sample: EvalSample) -> dict[str, object]:
    """Return what the solver noted of the reasoning."""
    found = sample.metadata.get("thinking")
    return found if isinstance(found, dict) else {}


def is_right(sample: EvalSample) -> bool:
    """Say whether a sample was graded as right."""
    return any(score.value in ("C", 1, 1.0, True) for score in (sample.scores or {}).values())


def _failure(
    problem: Problem | None,
    reading: Reading,
    facts: dict[str, object],
    max_steps: int | None,
    has_result: bool,
) -> Failure:
    closed, cut = bool(facts.get("closed", True)), bool(facts.get("cut"))
    limit = ""
    if not closed:
        limit = FORCED if facts.get("forced") else CUT if cut else ""
    elif max_steps is not None and _count(facts, "steps") >= max_steps:
        limit = steps_used(max_steps)
    elif cut:
        limit = CUT
    broken = str(facts.get("broken") or "")
    if not broken and not limit:
        broken = OPEN if not closed else UNKNOWN if facts.get("well_formed") is False else ""
    path = reading.path
    attempt = Attempt(
        steps=path.steps if path else (),
        moves=path.moves if path else (),
        answer=reading.answer,
        broken=broken,
        limit=limit,
        cut=cut and not facts.get("forced"),
        has_result=has_result,
    )
    return classify(attempt) if problem is None else failure_of(problem, attempt)


def _count(facts: dict[str, object], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0


def _seconds(facts: dict[str, object]) -> float | None:
    value = facts.get("seconds")
    return float(value) if isinstance(value, int | float) else None
