"""The teacher that is a language model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from steiner.core import Grading, Problem, Provenance, Question, Settings, Trace, TraceStep, Verdict
from steiner.teacher.base import Attempt
from steiner.teacher.chat.types import ChatRequest, Complete, Endpoint, Finish, Reply
from steiner.teacher.llm.checks import echoed, told_phrase
from steiner.teacher.llm.language import is_in_language
from steiner.teacher.llm.languages import language_of
from steiner.teacher.llm.leak import is_unfounded
from steiner.teacher.llm.parse import Parsed, parse_reply, trace_steps
from steiner.teacher.llm.schemas import FEWEST_DRAFT_STEPS, FIELDS, response_schema, schema_name
from steiner.teacher.llm.templates import (
    Call,
    Prompts,
    ShownStep,
    again_values,
    attempt_values,
    draft_values,
    resolve_values,
)
from steiner.teacher.llm.types import Rejected, RejectReason

ASK_SHIFT = 20
"""`ChatRequest.draw` is the caller's draw, plus the number of asks before it times 2 to this power."""


_SPELLED = frozenset({"en", "zh", "ja"})
"""Languages whose numbers are also found in words."""


class LlmSettings(Settings):
    """How the calls are made."""

    draft_temperature: float | None = Field(default=0.7, ge=0)
    """None: the endpoint's own."""
    attempt_temperature: float | None = Field(default=1.0, ge=0)
    resolve_temperature: float | None = Field(default=0.7, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    draft_max_tokens: int = Field(default=3000, ge=1)
    """Longest reply. Models that reason in secret need several times as much."""
    attempt_max_tokens: int = Field(default=3000, ge=1)
    resolve_max_tokens: int = Field(default=3000, ge=1)
    draft_steps: int = Field(default=10, ge=FEWEST_DRAFT_STEPS)
    """Most steps of a draft."""
    resolve_steps: int = Field(default=10, ge=1)
    """Most steps that a resolve adds."""
    asks: int = Field(default=3, ge=1)
    """How often a call is made, at most, until a reply can be used."""
    seed: int | None = None
    """Sent to the endpoint, mixed with the draw, so that one which honours it repeats itself."""


class _Plan(NamedTuple):
    """One call, whatever it takes."""

    call: Call
    values: dict[str, Any]
    """For the prompt."""
    base: tuple[TraceStep, ...]
    """Steps that the request shows."""
    question: Question
    max_steps: int
    language: str
    draw: int


class _Accepted(NamedTuple):
    steps: tuple[TraceStep, ...]
    """Those shown included."""
    answer: str
    details: dict[str, Any]


_Join = Callable[[Parsed], tuple[TraceStep, ...] | Rejected]
"""Puts new steps behind those shown."""


class LlmTeacher:
    """Writes steps by asking a language model; an `AsyncTeacher`.

    Args:
        complete: makes a call; raises `ChatFailure`, which is passed on.
        endpoint: only its model's name is used.
        settings: how the calls are made.
        prompts: what is asked.
    """

    def __init__(
        self, complete: Complete, endpoint: Endpoint, settings: LlmSettings, prompts: Prompts
    ) -> None:
        self._complete = complete
        self._settings = settings
        self._prompts = prompts
        self._name = endpoint.model

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    async def draft(self, problem: Problem, language: str, draw: int) -> Trace | Rejected:
        """Write a path to the answer, which is known. The verdict is a placeholder."""
        most = self._settings.draft_steps
        named = language_of(language).name
        values = draft_values(problem.question, problem.choices, reference_text(problem), most, named)
        plan = _Plan("draft", values, (), problem.blind(), most, language, draw)
        result = await self._ask(plan, lambda parsed: trace_steps(parsed.steps, 0))
        return result if isinstance(result, Rejected) else self._trace(problem, "draft", result)

    async def attempt(
        self, question: Question, prefix: tuple[TraceStep, ...], max_steps: int, language: str, draw: int
    ) -> Attempt | Rejected:
        """Go on from `prefix` blind. Steps beyond `max_steps` are dropped, and the answer with them."""
        named = language_of(language).name
        values = attempt_values(question.text, question.choices, shown_steps(prefix), max_steps, named)
        plan = _Plan("attempt", values, prefix, question, max_steps, language, draw)
        result = await self._ask(plan, lambda parsed: prefix + trace_steps(parsed.steps, len(prefix)))
        if isinstance(result, Rejected):
            return result
        return Attempt(prefix_length=len(prefix), steps=result.steps, answer=result.answer)

    async def resolve(self, problem: Problem, attempt: Attempt, language: str, draw: int) -> Trace | Rejected:
        """Go back in a failed attempt and reach the answer, now known. The verdict is a placeholder."""
        most = self._settings.resolve_steps
        values = resolve_values(
            problem.question,
            problem.choices,
            shown_steps(attempt.steps),
            attempt.answer,
            reference_text(problem),
            most,
            language_of(language).name,
        )
        plan = _Plan("resolve", values, attempt.steps, problem.blind(), most, language, draw)
        result = await self._ask(plan, lambda parsed: join_resolved(attempt, parsed))
        return result if isinstance(result, Rejected) else self._trace(problem, "truncate-reveal", result)

    async def _ask(self, plan: _Plan, join: _Join) -> _Accepted | Rejected:
        """Ask until a reply can be used, each time saying what was wrong with the last one."""
        rejected: Rejected | None = None
        for ask in range(self._settings.asks):
            reply = await self._complete(self._request(plan, ask, rejected))
            result = _judge(plan, reply, join, self._prompts.instructions(plan.call))
            if not isinstance(result, Rejected):
                details = {"asks": ask + 1, "model": reply.model or self._name, "finish": str(reply.finish)}
                return _Accepted(result[0], result[1], details | {"language": plan.language})
            rejected = result.model_copy(update={"asks": ask + 1})
        assert rejected is not None  # there is at least one ask
        return rejected

    def _request(self, plan: _Plan, ask: int, rejected: Rejected | None) -> ChatRequest:
        settings, call, note = self._settings, plan.call, ""
        if rejected is not None:
            named = language_of(plan.language).name
            values = again_values(call, str(rejected.reason), rejected.detail, named, ask)
            note = self._prompts.render("again.md", values)
        draw = plan.draw + (ask << ASK_SHIFT)
        return ChatRequest(
            kind=call,
            messages=self._prompts.messages(call, plan.values, note),
            max_tokens=getattr(settings, f"{call}_max_tokens"),
            temperature=getattr(settings, f"{call}_temperature"),
            top_p=settings.top_p,
            seed=None if settings.seed is None else _mixed(settings.seed, call, draw),
            draw=draw,
            schema_name=schema_name(call),
            response_schema=response_schema(call, plan.max_steps),
        )

    def _trace(self, problem: Problem, method: str, accepted: _Accepted) -> Trace:
        return Trace(
            problem_id=problem.id,
            steps=accepted.steps,
            answer=accepted.answer,
            verdict=Verdict.WRONG,  # until somebody has graded it
            provenance=Provenance(teacher=self._name, method=method, details=accepted.details),
        )


def reference_text(problem: Problem) -> str:
    """Return the reference answer as a prompt shows it: of an option the letter and the text."""
    letter = problem.answer.strip().strip("().").upper()
    if problem.grading is Grading.CHOICE and len(letter) == 1:
        index = ord(letter) - ord("A")
        if 0 <= index < len(problem.choices):
            return f"{letter}. {problem.choices[index]}"
    return problem.answer


def shown_steps(steps: Sequence[TraceStep]) -> tuple[ShownStep, ...]:
    """Return steps as prompts show them, numbered from 1."""
    return tuple(
        ShownStep(
            number=index + 1,
            back_to=None if item.parent == index - 1 else item.parent + 1,
            **item.step.model_dump(),
        )
        for index, item in enumerate(steps)
    )


def join_resolved(attempt: Attempt, parsed: Parsed) -> tuple[TraceStep, ...] | Rejected:
    """Put the steps of a resolve behind an attempt's, whose last reflection is replaced.

    The first new step continues what the wrong step continued, so that the search goes back behind it.
    """
    shown = len(attempt.steps)
    new = trace_steps(parsed.steps, shown)
    wrong, goes_back = parsed.wrong_step, parsed.steps[0].back_to is not None
    if not shown:
        return new
    if wrong is not None and not 1 <= wrong <= shown:
        return _rejected(
            "resolve", RejectReason.NO_BACKTRACK, f'"wrong_step" is {wrong}, and there is no such step'
        )
    if wrong is None and attempt.answer and not goes_back:
        detail = "the answer of the solver is wrong, but no step is named as wrong"
        return _rejected("resolve", RejectReason.NO_BACKTRACK, detail)
    if wrong is not None:
        new = (new[0].model_copy(update={"parent": attempt.steps[wrong - 1].parent}), *new[1:])
    last = attempt.steps[-1]
    last = last.model_copy(update={"step": last.step.model_copy(update={"reflection": parsed.reflection})})
    return (*attempt.steps[:-1], last, *new)


def _judge(
    plan: _Plan, reply: Reply, join: _Join, instructions: Sequence[str]
) -> tuple[tuple[TraceStep, ...], str] | Rejected:
    """Return the steps and the answer of a reply, or why it cannot be used."""
    if reply.finish in (Finish.FILTER, Finish.REFUSAL):
        return _rejected(plan.call, RejectReason.REFUSED, "the model refused or the endpoint filtered it")
    parsed = parse_reply(
        plan.call,
        reply.text,
        shown=len(plan.base),
        max_steps=plan.max_steps,
        cut=reply.finish is Finish.LENGTH,
    )
    if isinstance(parsed, Rejected):
        return parsed.model_copy(update={"steps": plan.base + parsed.steps})
    steps = join(parsed)
    problem = steps if isinstance(steps, Rejected) else _check(plan, reply, parsed, instructions)
    if isinstance(steps, Rejected) or problem is not None:
        readable = plan.base + trace_steps(parsed.steps, len(plan.base))
        found = steps if isinstance(steps, Rejected) else problem
        assert found is not None
        return found.model_copy(update={"steps": readable, "answer": parsed.answer})
    return steps, parsed.answer


def _check(plan: _Plan, reply: Reply, parsed: Parsed, instructions: Sequence[str]) -> Rejected | None:
    """Look for what spoils a reply that could be read."""
    if reply.finish is not Finish.STOP:
        detail = "the endpoint stopped in the middle, for a reason it does not name"
        return _rejected(plan.call, RejectReason.UNPARSABLE, detail)
    texts = ["\n".join(getattr(item.step, field) for field in FIELDS) for item in parsed.steps]
    if parsed.reflection:
        texts.append(parsed.reflection)
    text = "\n\n".join(texts)
    phrase = echoed(text, instructions)
    if phrase is not None:
        return _rejected(plan.call, RejectReason.ECHO, f"it copies «{phrase}» from the instructions")
    phrase = told_phrase(f"{text}\n\n{parsed.answer}", plan.language)
    if phrase is not None:
        detail = f"it says «{phrase}», as if the answer had been known beforehand"
        return _rejected(plan.call, RejectReason.TOLD, detail)
    if not all(is_in_language(text, plan.language) for text in texts):
        detail = f"it is not written in {language_of(plan.language).name}"
        return _rejected(plan.call, RejectReason.LANGUAGE, detail)
    if plan.call != "attempt" and _is_unfounded(plan, parsed.answer, text):
        detail = "its answer is in none of its steps"
        return _rejected(plan.call, RejectReason.UNFOUNDED, detail)
    return None


def _is_unfounded(plan: _Plan, answer: str, text: str) -> bool:
    """Say whether the answer, a number, is in no step; those that may be in words we cannot read are left."""
    if len(answer) < 3 and plan.language.partition("-")[0] not in _SPELLED:
        return False
    shown = "\n".join(getattr(item.step, field) for item in plan.base for field in FIELDS)
    return is_unfounded(plan.question, answer, f"{shown}\n{text}")


def _rejected(call: Call, reason: RejectReason, detail: str) -> Rejected:
    return Rejected(call=call, reason=reason, detail=detail, asks=0)


def _mixed(seed: int, call: Call, draw: int) -> int:
    """Return a seed of 31 bits, as endpoints take it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{call}:{draw}".encode()).digest()[:4], "big") >> 1
