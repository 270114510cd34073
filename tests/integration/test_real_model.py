"""GSM8K questions, taught by a real language model on a real server: everything is stored, and adds up."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from vllm_server import MODEL, Served, VllmServer

from killing import POLL_SECONDS, steiner, stored
from steiner.core import Problem, Trace, Verdict
from steiner.store import RunDir
from steiner.synthesis.accounts import ACCOUNTS, QuestionAccounts, total_yield
from steiner.synthesis.outcome import SynthesisYield
from steiner.synthesis.stage import is_right
from steiner.teacher.chat.types import Finish, Reply
from steiner.teacher.llm.types import RejectReason

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

HERE = Path(__file__).parent
CONFIG = HERE / "synthesis.toml"
SETTINGS = tomllib.loads(CONFIG.read_text())
PLAN = SETTINGS["synthesis"]
ASKS = PLAN["teacher"]["asks"]
IN_FLIGHT = SETTINGS["limits"]["concurrency"]
QUESTIONS = 20
SPENT = re.compile(r"([\d,]+) calls sent, ([\d,]+) answered by the journal, ([\d,]+) failed")


class Call(NamedTuple):
    """A row of the journal."""

    kind: str
    prompt_tokens: int
    completion_tokens: int
    failures: int
    reply: Reply


class Content(NamedTuple):
    """All that a run holds in the end."""

    problems: dict[str, Problem]
    traces: dict[str, list[Trace]]
    accounts: dict[str, QuestionAccounts]
    total: SynthesisYield
    calls: dict[bytes, Call]


class Finished(NamedTuple):
    """A run that nothing disturbed."""

    path: Path
    argv: tuple[str | Path, ...]
    output: str
    served: Served


def command(run: Path, server: VllmServer, questions: int) -> tuple[str | Path, ...]:
    return (
        *("synthesize", HERE / "gsm8k20.jsonl", "--preset", "gsm8k", "--limit", str(questions)),
        *("--run", run, "--config", CONFIG, "--endpoint", f"{server.address}/v1"),
    )


def content(path: Path) -> Content:
    with RunDir(path, read_only=True) as run:
        journal = run.journal
        problems = {r.key: Problem.model_validate_json(r.body) for r in journal.records("problems")}
        traces = {
            r.key: [Trace.model_validate(trace) for trace in orjson.loads(r.body)]
            for r in journal.records("traces")
        }
        accounts = {r.key: QuestionAccounts.model_validate_json(r.body) for r in journal.records(ACCOUNTS)}
        with closing(sqlite3.connect(path / "journal.sqlite")) as database:
            keys = [row[0] for row in database.execute("SELECT key FROM calls")]
            failures = dict(database.execute("SELECT key, failures FROM calls"))
        calls = {}
        for key in keys:
            call = journal.call(key.hex())
            assert call is not None
            assert call.body is not None
            reply = Reply.model_validate_json(call.body)
            calls[key] = Call(call.kind, call.prompt_tokens, call.completion_tokens, failures[key], reply)
        return Content(problems, traces, accounts, total_yield(run), calls)


def spent(output: str) -> tuple[int, int, int]:
    """Return what a command says of its calls: sent, answered by the journal, failed."""
    match = SPENT.search(" ".join(output.split()))
    assert match is not None, output
    sent, cached, failed = (int(number.replace(",", "")) for number in match.groups())
    return sent, cached, failed


@pytest.fixture(scope="module")
def finished(vllm: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    path = tmp_path_factory.mktemp("real") / "run"
    argv = command(path, vllm, QUESTIONS)
    before = vllm.served()
    output = steiner(*argv).stdout
    return Finished(path, argv, output, vllm.served().minus(before))


def test_journal_server_and_report_count_the_same_calls(finished: Finished) -> None:
    calls, total = content(finished.path).calls.values(), content(finished.path).total
    assert spent(finished.output) == (len(calls), total.cached, 0)
    assert total.calls - total.cached == len(calls)
    assert finished.served.replies == sum(call.reply.tries for call in calls)
    assert finished.served.refused == 0
    assert all(call.failures == 0 for call in calls)


def test_tokens_are_those_of_the_server(finished: Finished) -> None:
    calls, total = content(finished.path).calls.values(), content(finished.path).total
    stored_tokens = (sum(c.prompt_tokens for c in calls), sum(c.completion_tokens for c in calls))
    assert stored_tokens == (finished.served.prompt_tokens, finished.served.completion_tokens)
    if not total.cached:
        assert stored_tokens == (total.prompt_tokens, total.completion_tokens)
    for call in calls:
        assert call.reply.usage.reported
        assert call.reply.model == MODEL
        limit = PLAN["teacher"][f"{call.kind}_max_tokens"]
        assert 0 < call.reply.usage.completion_tokens <= limit
        if call.reply.finish is Finish.LENGTH:
            assert call.reply.usage.completion_tokens == limit


def test_structured_outputs_are_json_unless_they_were_cut_off(finished: Finished) -> None:
    calls = content(finished.path).calls.values()
    whole = [call for call in calls if call.reply.finish is Finish.STOP]
    assert whole
    for call in whole:
        reply = orjson.loads(call.reply.text)
        assert set(reply) >= {"steps", "answer"}
        assert all(len(step) == 5 for step in reply["steps"])
        assert ("wrong_step" in reply) == (call.kind == "resolve")


def test_every_call_ends_as_a_trace_or_a_rejection(finished: Finished) -> None:
    run = content(finished.path)
    assert set(run.problems) == set(run.traces) == set(run.accounts)
    assert len(run.problems) == QUESTIONS
    for key, question in run.accounts.items():
        result = question.result
        assert question.error is None
        assert result.traces == len(run.traces[key])
        assert result.attempts == PLAN["truncations"]
        assert sum(result.rejected.values()) == len(question.rejected)
        ended = result.traces + result.repeated + len(question.rejected)
        assert ended == PLAN["drafts"] + PLAN["truncations"]
        assert sum(one.call == "draft" for one in question.rejected) <= PLAN["drafts"]
    assert run.total == sum((one.result for one in run.accounts.values()), SynthesisYield())
    # Some replies were taken and some were not, or the test would show nothing.
    assert run.total.traces > 0 or any(call.kind == "resolve" for call in run.calls.values())
    assert run.total.rejected


def test_every_time_that_was_asked_again_is_accounted_for(finished: Finished) -> None:
    run = content(finished.path)
    rejected = [one for question in run.accounts.values() for one in question.rejected]
    for one in rejected:
        assert one.asks == (0 if one.reason is RejectReason.LEAK else ASKS)
        assert one.detail
    traces = [trace for found in run.traces.values() for trace in found]
    for kind, method in (("draft", "draft"), ("resolve", "truncate-reveal")):
        known = sum(one.asks for one in rejected if one.call == kind) + sum(
            trace.provenance.details.get("asks", 0) for trace in traces if trace.provenance.method == method
        )
        made = sum(call.kind == kind for call in run.calls.values())
        # How often a trace that was dropped, because it reads like another one, was asked for is not known.
        assert 0 <= made - known <= run.total.repeated * ASKS
    assert 0 < run.total.asked_again < run.total.calls


def test_verdicts_are_those_of_the_grader(finished: Finished) -> None:
    run = content(finished.path)
    for key, found in run.traces.items():
        for trace in found:
            details = trace.provenance.details
            right = bool(trace.answer) and is_right(run.problems[key], trace.answer)
            assert (trace.verdict is Verdict.RIGHT) == right
            assert (details["outcome"] == "lost") != right
            assert trace.steps
            assert all(-1 <= step.parent < index for index, step in enumerate(trace.steps))
            if trace.provenance.method == "truncate-reveal":
                assert len(trace.steps) >= details["cut"] + details["attempt_steps"]


def test_a_second_run_sends_nothing(finished: Finished, vllm: VllmServer) -> None:
    before, first = vllm.served(), content(finished.path)
    again = steiner(*finished.argv).stdout
    assert spent(again) == (0, 0, 0)
    assert vllm.served() == before
    assert content(finished.path) == first
    table = finished.output[finished.output.index("┏") :].partition("└")[0]
    assert table in again
    # Made anew with fewer cuts, all comes from the replies that are stored.
    anew = steiner(*finished.argv, "--truncations", "1", "--force").stdout
    sent, cached, failed = spent(anew)
    assert (sent, failed) == (0, 0)
    assert 0 < cached < first.total.calls
    assert vllm.served() == before


def test_a_killed_run_goes_on_and_loses_only_what_was_in_flight(vllm: VllmServer, tmp_path: Path) -> None:
    argv = command(tmp_path / "run", vllm, 6)
    before = vllm.served()
    with subprocess.Popen(
        [sys.executable, "-m", "steiner.cli.main", *map(str, argv)], stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and stored_calls(tmp_path / "run") < 8:
            time.sleep(POLL_SECONDS)
        assert process.poll() is None
        process.kill()
    kept = stored_calls(tmp_path / "run")
    assert stored(tmp_path / "run", "traces") < 6
    output = steiner(*argv).stdout
    run = content(tmp_path / "run")
    sent, _, failed = spent(output)
    assert (sent, failed) == (len(run.calls) - kept, 0)
    assert len(run.accounts) == 6
    assert run.total.calls - run.total.cached <= len(run.calls)
    lost = vllm.served().minus(before).finished - len(run.calls)
    assert 0 <= lost <= IN_FLIGHT


def stored_calls(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{(path / 'journal.sqlite').as_uri()}?mode=ro", uri=True)) as database:
            count: int = database.execute("SELECT COUNT(*) FROM calls WHERE body IS NOT NULL").fetchone()[0]
            return count
    except sqlite3.OperationalError:
        return 0  # the journal has no tables yet
