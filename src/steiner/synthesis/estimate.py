"""What a run would take, before anything is sent."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from steiner.core import InputError, Problem, Record, Step, TraceStep
from steiner.store import RunDir
from steiner.synthesis.llm_stage import LlmRun
from steiner.synthesis.money import prompt_bound
from steiner.synthesis.prices import DOLLAR, Prices
from steiner.synthesis.stage import PROBLEMS, TRACES
from steiner.teacher import Attempt
from steiner.teacher.chat.types import ChatRequest, Reply
from steiner.teacher.llm.language import choose_language, detect_language
from steiner.teacher.llm.teacher import LlmSettings, LlmTeacher

SAMPLE = 40
"""Questions whose prompts are rendered."""
BYTES_PER_TOKEN = 4.0
"""Of English and, in UTF-8, of Chinese text, for most tokenizers."""


class Scenario(NamedTuple):
    """What is assumed of a model."""

    name: str
    steps: int
    """Of a draft. Cuts keep half of them; an attempt and a resolution write the other half and one more."""
    step_tokens: int
    """Of one step, the names of its fields included."""
    right: float
    """Share of attempts that find the answer: the others are resolved."""
    asks: float
    """Requests per call: more than 1 where replies are rejected."""

    def __str__(self) -> str:
        """Say it in words."""
        return (
            f"{self.name}: {self.steps} steps per draft, {self.step_tokens} tokens per step, "
            f"{self.right:.0%} of attempts right, {self.asks:g} requests per call"
        )


LOW = Scenario("low", 4, 70, 0.9, 1.0)
TYPICAL = Scenario("typical", 6, 110, 0.6, 1.15)


class Amount(Record):
    """Calls and what they take."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    """None where the price is not known."""


class StageEstimate(Record):
    """One kind of call."""

    low: Amount
    typical: Amount
    worst: Amount
    """Every attempt wrong, every call made as often as allowed, every reply as long as allowed."""


class DryRun(Record):
    """What is still to do in a run directory."""

    questions: int
    """Without traces yet. Calls that an interrupted command made already are counted all the same."""
    stages: dict[str, StageEstimate]
    """By kind of call: draft, attempt, resolve."""
    assumptions: tuple[str, ...]

    @property
    def total(self) -> StageEstimate:
        """The sum of all stages."""
        parts = list(self.stages.values())
        return StageEstimate(
            low=_sum([part.low for part in parts]),
            typical=_sum([part.typical for part in parts]),
            worst=_sum([part.worst for part in parts]),
        )


class _Requests(NamedTuple):
    """One request of each kind, None where the teacher would send none."""

    draft: ChatRequest | None
    attempt: ChatRequest | None
    resolve: ChatRequest | None


class _Shown(Exception):  # noqa: N818 - carries a request out of a teacher
    def __init__(self, request: ChatRequest) -> None:
        super().__init__()
        self.request = request


def estimate(run: RunDir, given: LlmRun) -> DryRun:
    """Estimate calls, tokens and cost of all questions without traces, from really rendered prompts.

    Raises:
        InputError: if the run has no problems.
    """
    questions = run.journal.count(PROBLEMS) - run.journal.count(TRACES)
    if not run.journal.count(PROBLEMS):
        raise InputError(f"{run.path} holds no problems: make some with `steiner problems` first.")
    every = max(1, questions // SAMPLE)
    missing = itertools.islice(run.journal.missing(PROBLEMS, TRACES), 0, every * SAMPLE, every)
    problems = [Problem.model_validate_json(record.body) for record in missing]
    parts = [_of_scenario(problems, questions, given, scenario) for scenario in (LOW, TYPICAL)]
    worst = _worst(problems, questions, given)
    stages = {
        kind: StageEstimate(low=parts[0][kind], typical=parts[1][kind], worst=worst[kind])
        for kind in _Requests._fields
    }
    return DryRun(questions=questions, stages=stages, assumptions=_assumptions(len(problems), given))


def _assumptions(sample: int, given: LlmRun) -> tuple[str, ...]:
    teacher = given.settings.teacher
    longest = (teacher.draft_max_tokens, teacher.attempt_max_tokens, teacher.resolve_max_tokens)
    return (
        f"prompts: rendered for {sample:,} questions spread over the run, {BYTES_PER_TOKEN:g} bytes per "
        "token (worst: 1 byte)",
        str(LOW),
        str(TYPICAL),
        f"worst: every attempt wrong, {teacher.asks} requests per call, replies of "
        f"{longest[0]:,}, {longest[1]:,} and {longest[2]:,} tokens (draft, attempt, resolve)",
        "models that reason before they answer write several times as much as low and typical say",
    )


def _of_scenario(
    problems: Sequence[Problem], questions: int, given: LlmRun, scenario: Scenario
) -> dict[str, Amount]:
    settings = given.settings
    half = scenario.steps // 2
    rest = scenario.steps - half + 1
    tried = min(rest, settings.max_attempt_steps)
    attempts = settings.truncations * settings.attempts
    calls = {"draft": settings.drafts, "attempt": attempts, "resolve": attempts * (1 - scenario.right)}
    written = {"draft": scenario.steps, "attempt": tried, "resolve": rest}
    prompts = dict.fromkeys(calls, 0.0)
    for problem in problems:
        shown = _filler(scenario, half), _filler(scenario, half + tried)
        for kind, request in _sent(_render(problem, given, *shown)):
            prompts[kind] += _size(request) / BYTES_PER_TOKEN / max(len(problems), 1)
    return {
        kind: _amount(
            questions * calls[kind] * scenario.asks,
            prompts[kind],
            written[kind] * scenario.step_tokens,
            given.budget.prices,
        )
        for kind in calls
    }


def _worst(problems: Sequence[Problem], questions: int, given: LlmRun) -> dict[str, Amount]:
    settings, teacher = given.settings, given.settings.teacher
    attempts = settings.truncations * settings.attempts
    calls = {"draft": settings.drafts, "attempt": attempts, "resolve": attempts}
    # What was written is shown again later on.
    shown = {
        "draft": 0,
        "attempt": teacher.draft_max_tokens,
        "resolve": teacher.draft_max_tokens + teacher.attempt_max_tokens,
    }
    prompts = dict.fromkeys(calls, 0.0)
    for problem in problems:
        for kind, request in _sent(_render(problem, given, (), ())):
            prompts[kind] += (prompt_bound(request) + shown[kind]) / max(len(problems), 1)
    return {
        kind: _amount(
            questions * calls[kind] * teacher.asks,
            prompts[kind],
            _longest(teacher, kind),
            given.budget.prices,
        )
        for kind in calls
    }


def _sent(requests: _Requests) -> list[tuple[str, ChatRequest]]:
    return [(kind, request) for kind, request in requests._asdict().items() if request is not None]


def _longest(teacher: LlmSettings, kind: str) -> int:
    return int(getattr(teacher, f"{kind}_max_tokens"))


def _amount(calls: float, prompt: float, completion: float, prices: Prices | None) -> Amount:
    """Return so many calls of so many tokens each."""
    prompt_tokens, completion_tokens = round(calls * prompt), round(calls * completion)
    cost = None if prices is None else prices.cost(prompt_tokens, completion_tokens) / DOLLAR
    return Amount(
        calls=round(calls), prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, usd=cost
    )


def _sum(amounts: Sequence[Amount]) -> Amount:
    prices = [amount.usd for amount in amounts if amount.usd is not None]
    return Amount(
        calls=sum(amount.calls for amount in amounts),
        prompt_tokens=sum(amount.prompt_tokens for amount in amounts),
        completion_tokens=sum(amount.completion_tokens for amount in amounts),
        usd=sum(prices) if len(prices) == len(amounts) else None,
    )


def _size(request: ChatRequest) -> int:
    """Return the bytes that a model reads, without the reserve of `prompt_bound`."""
    size = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages)
    return size + len(str(request.response_schema or ""))


def _filler(scenario: Scenario, count: int) -> tuple[TraceStep, ...]:
    """Return steps of the right length without meaning; a colon at the end, so that nothing is asserted."""
    text = "so far: " * max(1, round(scenario.step_tokens * BYTES_PER_TOKEN / 3 / 8))
    step = Step(name="step:", thought=text, summary=text, reflection=text)
    return tuple(TraceStep(step=step, parent=index - 1) for index in range(count))


def _render(
    problem: Problem, given: LlmRun, prefix: tuple[TraceStep, ...], attempted: tuple[TraceStep, ...]
) -> _Requests:
    """Return the first request of each kind of call, exactly as it would be sent."""
    settings = given.settings
    teacher = LlmTeacher(_show, given.endpoint, settings.teacher, given.prompts)
    stated = detect_language(problem.question, problem.language)
    language = choose_language(problem.id, stated, settings.shares, settings.seed, settings.language)
    attempt = Attempt(prefix_length=len(prefix), steps=attempted, answer="")
    return _Requests(
        _seen(teacher.draft(problem, language, 0)),
        _seen(teacher.attempt(problem.blind(), prefix, settings.max_attempt_steps, language, 0)),
        _seen(teacher.resolve(problem, attempt, language, 0)),
    )


async def _show(request: ChatRequest) -> Reply:
    raise _Shown(request)


def _seen(call: Coroutine[Any, Any, object]) -> ChatRequest | None:
    """Run a teacher's call up to its first request; None if it decides to send none."""
    try:
        call.send(None)
    except _Shown as shown:
        return shown.request
    except StopIteration:
        return None
    raise AssertionError("the teacher waits for something else than its request")
