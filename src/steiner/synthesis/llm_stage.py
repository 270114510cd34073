"""The `traces` stage with a language model as the teacher: every call kept, paid once, and counted."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import Field, TypeAdapter

from steiner.core import InputError, NoProgress, Problem, Progress, Settings, SteinerError, Trace
from steiner.store import RunDir, Stage, StoredRecord
from steiner.store.stage import stage_digest
from steiner.synthesis.accounts import (
    ACCOUNTS,
    LlmReport,
    account,
    account_failure,
    failed_questions,
    total_yield,
)
from steiner.synthesis.calls import CallBook, Tally
from steiner.synthesis.collector import patient_collector
from steiner.synthesis.crowd import Crowd, Finished
from steiner.synthesis.money import Budget
from steiner.synthesis.outcome import SynthesisYield
from steiner.synthesis.pipeline import synthesise_async
from steiner.synthesis.prices import DOLLAR
from steiner.synthesis.settings import PlanSettings
from steiner.synthesis.stage import PROBLEMS, TRACES, is_right
from steiner.teacher.chat.client import ChatClient, ClientLimits
from steiner.teacher.chat.types import ChatFailure, ChatRequest, Endpoint, FailureKind, Reply
from steiner.teacher.llm.language import choose_language, detect_language
from steiner.teacher.llm.teacher import LlmSettings, LlmTeacher
from steiner.teacher.llm.templates import Prompts

REFUSED = 8
"""Questions that may fail of requests the endpoint calls bad, before its first reply, until the run stops."""

RETRIES = "retries"
"""Input of the stage that changes when failed questions are taken up again, so that later stages notice."""

_TRACES = TypeAdapter(list[Trace])


class LlmSynthesisSettings(PlanSettings):
    """What decides the traces that a language model writes, the endpoint and the prompts apart."""

    truncations: int = Field(default=4, ge=0)
    """Cuts per question, each of a draft drawn at random."""
    max_attempt_steps: int = Field(default=6, ge=1)
    """A blind attempt stops after so many steps of its own."""
    teacher: LlmSettings = LlmSettings()
    """How the calls are made: temperatures, lengths, how often a call is made until its reply can be used."""
    language: str | None = None
    """In which to reason; None: in the question's."""
    shares: dict[str, float] = Field(default_factory=lambda: {"zh": 0.1})
    """Language → share of all questions that is reasoned about in it, whatever theirs is."""


_DECISIVE = {"base_url", "model", "structured", "extra_body"}
"""What of an endpoint decides its replies, as in the keys of calls."""


class _StageSettings(Settings):
    """All that decides the outcome: what the stage's digest covers."""

    plan: LlmSynthesisSettings
    endpoint: dict[str, Any]
    prompts: str
    """Digest of the prompts."""


class LlmRun(NamedTuple):
    """What a command is given."""

    settings: LlmSynthesisSettings
    endpoint: Endpoint
    limits: ClientLimits
    budget: Budget
    prompts: Prompts


def synthesise_with_llm(
    run: RunDir,
    given: LlmRun,
    *,
    force: bool = False,
    retry_failed: bool = False,
    progress: Progress | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> tuple[SynthesisYield, LlmReport]:
    """Write the traces of all problems of a run, going on where an earlier call stopped.

    Every reply is stored before it is used, under the digest of everything that determines it: no call is
    ever made twice, not even with `force`. Work ends early, without loss, when the budget is used up, when no
    call can succeed, when the disk is full, and on Ctrl-C; `LlmReport.stopped` then says why.

    Args:
        run: the run directory, open for writing.
        given: what decides the traces, what is called, how hard, for how much, and with which prompts.
        force: discard traces that were made with other settings or from other problems.
        retry_failed: take up again the questions that failed for good.
        progress: told how many problems are done.
        notice: told what the user should read at once.

    Returns:
        What came of all problems so far, those of earlier calls included; and what this call did.

    Raises:
        InputError: if the run has no problems, or the endpoint needs a key and there is none.
        ResumeError: if the run holds traces of other settings or problems.
        StorageError: if the journal cannot be read.
    """
    started = time.monotonic()
    stage = _begin(run, given, force)
    if retry_failed:
        stage = _forget_failed(run, given, stage)
    done_before = run.journal.count(TRACES)
    if stage.is_complete:
        spent = CallBook(run.journal, given.endpoint, _never, given.budget)
        report = _report(spent, None, done_before, time.monotonic() - started)
        return SynthesisYield.model_validate(stage.summary), report
    work = _Run(run, given, progress or NoProgress(), notice)
    with patient_collector():
        asyncio.run(work.go())
    stopped = work.crowd.stopped
    if stopped is not None and not isinstance(stopped, (SteinerError, KeyboardInterrupt)):
        raise stopped
    total = total_yield(run)
    if stopped is None:
        stage.finish(total.model_dump())
    return total, _report(work.book, work.crowd, done_before, time.monotonic() - started)


class _Run:
    """One command at work."""

    def __init__(self, run: RunDir, given: LlmRun, progress: Progress, notice: Callable[[str], None]) -> None:
        self._journal = run.journal
        self._given = given
        self._progress = progress
        self._notice = notice
        self._started = time.monotonic()
        self._refused = 0
        self._before = self._journal.count(TRACES)
        self._client = ChatClient(given.endpoint, given.limits, notice)
        self.book = CallBook(self._journal, given.endpoint, self._client.complete, given.budget)
        self.crowd = Crowd(self._journal, self.book, self._work, self._wanted_calls, self._show, notice)

    async def go(self) -> None:
        """Work on all questions that have no traces yet."""
        self._progress.start(TRACES, self._journal.count(PROBLEMS))
        self._progress.update(self._before)
        async with self._client:
            await self.crowd.run(self._journal.missing(PROBLEMS, TRACES))
        self._progress.update(self._before + self.crowd.done, self._note())
        self._progress.finish()

    async def _work(self, record: StoredRecord) -> Finished:
        problem = Problem.model_validate_json(record.body)
        settings = self._given.settings
        stated = detect_language(problem.question, problem.language)
        language = choose_language(problem.id, stated, settings.shares, settings.seed, settings.language)
        tally = Tally()
        complete = functools.partial(self.book.complete, tally=tally)
        teacher = LlmTeacher(complete, self._given.endpoint, settings.teacher, self._given.prompts)
        traces: list[Trace] = []
        try:
            outcome = await synthesise_async(problem, teacher, is_right, settings, language)
            traces, accounts = outcome.traces, account(outcome, settings, tally, language)
        except ChatFailure as failure:
            if failure.stops_run or self._refuses_all(failure):
                raise
            accounts = account_failure(failure, tally, language)
        bodies = {TRACES: _TRACES.dump_json(traces), ACCOUNTS: accounts.model_dump_json().encode()}
        return Finished(bodies, accounts.error is not None)

    def _refuses_all(self, failure: ChatFailure) -> bool:
        """Tell whether the endpoint finds fault with each and every request, as with a wrong field."""
        if failure.kind is not FailureKind.BAD_REQUEST or self._client.stats.succeeded or self.book.cached:
            return False
        self._refused += 1
        return self._refused >= REFUSED

    def _wanted_calls(self) -> int:
        """A quarter more than the client has in flight now: it grows while there are calls that wait."""
        flight = self._client.stats.concurrency
        return flight + max(16, flight // 4)

    def _show(self, done: int) -> None:
        self._progress.update(self._before + done, self._note())

    def _note(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        parts = [_rate(self.crowd.done, seconds, "questions"), _rate(self.book.sent, seconds, "calls")]
        if self.book.cached:
            parts.append(f"{self.book.cached:,} cached")
        if self.crowd.failed:
            parts.append(f"{self.crowd.failed:,} failed")
        budget = self._given.budget
        if budget.prices is not None:
            parts.append(f"${budget.spent.cost / DOLLAR:,.4f}")
        else:
            parts.append(f"{budget.spent.tokens:,} tokens")
        return ", ".join(parts)


def _rate(count: int, seconds: float, what: str) -> str:
    """Return how fast it goes, per minute where a second is too short to see something."""
    rate = count / seconds
    if rate < 1:
        return f"{rate * 60:,.1f} {what}/min"
    return f"{rate:,.{0 if rate >= 10 else 1}f} {what}/s"


def _begin(run: RunDir, given: LlmRun, force: bool) -> Stage:
    """Begin the stage or go on with it."""
    inputs = {PROBLEMS: stage_digest(run, PROBLEMS)}
    if not run.journal.count(PROBLEMS):
        raise InputError(f"{run.path} holds no problems: make some with `steiner problems` first.")
    known = run.journal.stage(TRACES)
    if known is not None and RETRIES in known.inputs:
        inputs[RETRIES] = known.inputs[RETRIES]
    endpoint = given.endpoint.model_dump(include=_DECISIVE)
    settings = _StageSettings(plan=given.settings, endpoint=endpoint, prompts=given.prompts.digest)
    return Stage(run, TRACES, settings, inputs, force=force)


def _forget_failed(run: RunDir, given: LlmRun, stage: Stage) -> Stage:
    """Delete the records of the questions that failed, so that they are made again."""
    failed = failed_questions(run)
    if not failed:
        return stage
    known = run.journal.stage(TRACES)
    assert known is not None
    inputs = known.inputs | {RETRIES: str(int(known.inputs.get(RETRIES, "0")) + 1)}
    run.journal.forget(TRACES, failed, inputs)
    return _begin(run, given, force=False)


def _report(book: CallBook, crowd: Crowd | None, done_before: int, seconds: float) -> LlmReport:
    budget, before = book.budget, book.spent_before
    now = budget.spent.minus(before)
    priced = budget.prices is not None
    return LlmReport(
        done_before=done_before,
        done_now=crowd.done if crowd else 0,
        failed_now=crowd.failed if crowd else 0,
        seconds=seconds,
        sent=book.sent,
        cached=book.cached,
        failed_calls=book.failed,
        tokens=now.tokens,
        usd=now.cost / DOLLAR if priced else None,
        run_tokens=budget.spent.tokens,
        run_usd=budget.spent.cost / DOLLAR if priced else None,
        stopped=crowd.stopped if crowd else None,
    )


async def _never(request: ChatRequest, before_try: object) -> Reply:
    raise AssertionError("a finished stage makes no calls")
