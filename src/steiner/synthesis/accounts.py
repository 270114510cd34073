"""What a language model's work on questions came to: per question, and per command."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from steiner.core import Record
from steiner.store import RunDir
from steiner.synthesis.calls import Tally
from steiner.synthesis.outcome import QuestionOutcome, SynthesisYield
from steiner.synthesis.prices import DOLLAR
from steiner.synthesis.settings import PlanSettings
from steiner.teacher.chat.types import ChatFailure
from steiner.teacher.llm.types import Rejected

ACCOUNTS = "traces/accounts"
"""Records that belong to the stage `traces`: one `QuestionAccounts` per problem."""


class QuestionFailure(Record):
    """What a question failed of for good."""

    kind: str
    """A `FailureKind`."""
    message: str


class QuestionAccounts(Record):
    """What one question took and gave."""

    result: SynthesisYield
    language: str
    """That the reasoning was asked for in."""
    rejected: tuple[Rejected, ...] = ()
    """Calls that gave nothing usable, and why."""
    error: QuestionFailure | None = None
    """Where a call failed for good: the question has no traces."""


class LlmReport(NamedTuple):
    """What one command did."""

    done_before: int
    """Questions that earlier commands had finished."""
    done_now: int
    failed_now: int
    """Of `done_now`, those that a call failed for good of; `--retry-failed` takes them up again."""
    seconds: float
    sent: int
    """Calls that were made, those that failed for good included."""
    cached: int
    """Calls that the journal, or an equal call on its way, answered: nothing was paid."""
    failed_calls: int
    tokens: int
    """Of prompts and replies, paid by this command."""
    usd: float | None
    """Paid by this command; None where no price is known."""
    run_tokens: int
    """Paid by all commands on this run directory."""
    run_usd: float | None
    stopped: BaseException | None = None
    """Why not all questions are done: `BudgetReached`, `StorageError`, a `ChatFailure` that no other call can
    escape, or `KeyboardInterrupt`. Show the report, then raise it."""


def account(
    outcome: QuestionOutcome, settings: PlanSettings, tally: Tally, language: str
) -> QuestionAccounts:
    """Return the accounts of a question that was worked through."""
    reasons = Counter(f"{item.call}: {item.reason.value}" for item in outcome.rejected)
    unsent = sum(1 for item in outcome.rejected if not item.asks)
    result = SynthesisYield.of(outcome.traces, settings).model_copy(
        update={
            "attempts": outcome.attempts,
            "repeated": outcome.repeated,
            "rejected": dict(sorted(reasons.items())),
            "asked_again": max(0, tally.calls - (outcome.calls - unsent)),
            **_paid(tally),
        }
    )
    return QuestionAccounts(result=result, language=language, rejected=outcome.rejected)


def account_failure(failure: ChatFailure, tally: Tally, language: str) -> QuestionAccounts:
    """Return the accounts of a question that failed for good."""
    return QuestionAccounts(
        result=SynthesisYield(questions=1, failed=1, **_paid(tally)),
        language=language,
        error=QuestionFailure(kind=failure.kind.value, message=failure.message),
    )


def total_yield(run: RunDir) -> SynthesisYield:
    """Add up the accounts of all finished questions of a run."""
    total = SynthesisYield()
    for record in run.journal.records(ACCOUNTS):
        total += QuestionAccounts.model_validate_json(record.body).result
    return total


def failed_questions(run: RunDir) -> list[str]:
    """Return the ids of the problems that failed for good."""
    return [
        record.key
        for record in run.journal.records(ACCOUNTS)
        if QuestionAccounts.model_validate_json(record.body).error is not None
    ]


def _paid(tally: Tally) -> dict[str, int | float | None]:
    return {
        "calls": tally.calls,
        "cached": tally.cached,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "usd": None if tally.cost is None else tally.cost / DOLLAR,
    }
