"""The traces stage against a real server: resumable, paid once, counted, stopped cleanly."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import llm_runs
import pytest
from llm_runs import KEY, LIMITS, SETTINGS, accounts, make_run, synthesise_at, traces

from steiner.core import BusyError, InputError, NoProgress, ResumeError, StorageError, Verdict
from steiner.store import RunDir
from steiner.store.stage import stage_digest
from steiner.synthesis.money import Budget, BudgetReached
from steiner.synthesis.outcome import SynthesisYield
from steiner.synthesis.prices import Prices
from steiner.teacher.chat.types import ChatFailure
from steiner.testing import ArithmeticModel, Faults, FaultyServer

COUNT = 12


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEINER_TEST_KEY", KEY)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", COUNT)


@pytest.fixture(scope="module")
def undisturbed(server: FaultyServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to. The server is the same, and so are the keys of all calls."""
    path = make_run(tmp_path_factory.mktemp("undisturbed") / "run", COUNT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEINER_TEST_KEY", KEY)
        synthesise_at(path, server.base_url)
    return path


def test_a_field_that_the_endpoint_refuses_stops_the_run_early(tmp_path: Path) -> None:
    """A wrong field fails every question alike: a thousand failures would say no more than eight."""
    path = make_run(tmp_path / "run", 60)
    with FaultyServer(api_key=KEY, refuses=("max_tokens",)) as server:
        _, report = synthesise_at(path, server.base_url)
        assert isinstance(report.stopped, ChatFailure)
        assert "max_tokens" in str(report.stopped)
        assert server.stats().requests < 60
        port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
    with FaultyServer(api_key=KEY, port=port) as server:
        total, report = synthesise_at(path, server.base_url, retry_failed=True)
    assert report.stopped is None
    assert (total.questions, total.failed) == (60, 0)


def test_every_question_gets_traces_with_verdicts_and_accounts(undisturbed: Path) -> None:
    found = traces(undisturbed)
    assert len(found) == COUNT
    kinds = Counter(t.provenance.details["outcome"] for ts in found.values() for t in ts)
    assert kinds["draft"] >= COUNT
    assert kinds["right-at-once"] > 0
    assert kinds["recovered"] > 0
    assert kinds["lost"] == 0
    for key, question in accounts(undisturbed).items():
        assert question.error is None
        assert question.result == SynthesisYield.of(found[key], SETTINGS).model_copy(
            update={
                "repeated": question.result.repeated, "calls": question.result.calls,
                "prompt_tokens": question.result.prompt_tokens,
                "completion_tokens": question.result.completion_tokens,
                "usd": None,
            }
        )  # fmt: skip
        assert question.result.calls >= 2 + 3
    recovered = [t for ts in found.values() for t in ts if t.provenance.details["outcome"] == "recovered"]
    assert all(t.verdict is Verdict.RIGHT for t in recovered)
    assert any(list(t.backtracks()) for t in recovered)


def test_a_second_run_sends_nothing_and_knows_the_yield(
    server: FaultyServer, undisturbed: Path, tmp_path: Path
) -> None:
    with RunDir(undisturbed, read_only=True) as opened:
        stage = opened.journal.stage("traces")
        assert stage is not None
        calls = opened.journal.call_totals()
    before = server.stats().requests
    total, report = synthesise_at(undisturbed, server.base_url)
    assert total == SynthesisYield.model_validate(stage.summary)
    assert total.calls == sum(part.answered for part in calls.values())
    assert (report.done_before, report.done_now, report.sent, report.cached) == (COUNT, 0, 0, 0)
    assert (report.tokens, report.run_tokens) == (0, total.prompt_tokens + total.completion_tokens)
    assert server.stats().requests == before


def test_no_call_is_paid_twice_even_when_the_stage_is_made_anew(server: FaultyServer, run: Path) -> None:
    first, _ = synthesise_at(run, server.base_url)
    before = server.stats().requests
    more = SETTINGS.model_copy(update={"truncations": 5})
    with pytest.raises(ResumeError, match=r"plan.truncations was 3, now 5"):
        synthesise_at(run, server.base_url, settings=more)
    second, report = synthesise_at(run, server.base_url, settings=more, force=True)
    assert report.done_before == 0
    assert report.cached == first.calls
    assert report.sent == second.calls - second.cached == server.stats().requests - before
    assert second.traces > first.traces
    third, report = synthesise_at(run, server.base_url, force=True)
    assert report.sent == 0
    assert third.model_copy(update={"cached": 0}) == first.model_copy(update={"cached": 0})


def test_the_key_is_nowhere(
    server: FaultyServer, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holds_key(folder: Path) -> list[Path]:
        return [p for p in folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]

    assert not holds_key(undisturbed)
    with sqlite3.connect(undisturbed / "journal.sqlite") as db:
        bodies = [row[0] for row in db.execute("SELECT body FROM calls UNION ALL SELECT body FROM records")]
        assert len(bodies) > 100
        assert not any(KEY.encode() in zlib.decompress(body) for body in bodies)
    # A key that is refused must not be told in what stops the run.
    wrong = "sk-wrong-and-just-as-secret-5512"
    monkeypatch.setenv("STEINER_TEST_KEY", wrong)
    path = make_run(tmp_path / "refused", 3)
    notices: list[str] = []
    total, report = synthesise_at(path, server.base_url, notice=notices.append)
    assert isinstance(report.stopped, ChatFailure)
    assert report.stopped.stops_run
    text = "".join([str(report.stopped), repr(report), repr(total), *notices])
    assert wrong not in text
    assert "STEINER_TEST_KEY" in text
    assert not any(wrong.encode() in p.read_bytes() for p in path.rglob("*") if p.is_file())
    assert report.sent < 3 * 5, "the first refusal stops the run"
    assert traces(path) == {}


def test_calls_that_fail_for_good_fail_their_question_and_retry_failed_takes_it_up(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", COUNT)
    impatient = LIMITS.model_copy(update={"tries": 1, "bad_reply_tries": 1})
    faults = Faults(server_error=0.04, max_faults_per_request=1)
    with FaultyServer(faults=faults, seed=3) as server:
        total, report = synthesise_at(path, server.base_url, limits=impatient)
        assert 0 < report.failed_now < COUNT
        assert (total.questions, total.failed) == (COUNT, report.failed_now)
        failed = {key for key, item in accounts(path).items() if item.error is not None}
        assert len(failed) == report.failed_now
        assert {key for key, found in traces(path).items() if not found} == failed
        assert {accounts(path)[key].error.kind for key in failed} == {"server"}  # type: ignore[union-attr]
        with RunDir(path, read_only=True) as run:
            digest = stage_digest(run, "traces")
        requests = server.stats().requests

        again, report = synthesise_at(path, server.base_url, limits=impatient)
        assert (again, report.sent) == (total, 0), "only --retry-failed takes them up"

        good = {key: found for key, found in traces(path).items() if found}
        for _ in range(20):
            again, report = synthesise_at(path, server.base_url, limits=impatient, retry_failed=True)
            if not again.failed:
                break
        assert again.failed == 0
        assert report.done_before == COUNT - report.done_now
        assert server.stats().requests > requests
        assert server.stats().delivered_again == 0
        now = traces(path)
        assert all(now.values())
        assert {key: now[key] for key in good} == good
        with RunDir(path, read_only=True) as run:
            assert stage_digest(run, "traces") != digest, "later stages must notice"
        requests = server.stats().requests
        synthesise_at(path, server.base_url, limits=impatient, retry_failed=True)
        assert server.stats().requests == requests


def test_traces_are_the_same_through_all_faults_of_a_bad_network(tmp_path: Path) -> None:
    clean, faulty = make_run(tmp_path / "clean", COUNT), make_run(tmp_path / "faulty", COUNT)
    patient = LIMITS.model_copy(update={"tries": 12, "bad_reply_tries": 12})
    with FaultyServer() as server:
        synthesise_at(clean, server.base_url)
    faults = Faults.transport(0.3, retry_after_s=0.01, drip_s=0.1)
    with FaultyServer(faults=faults) as server:
        _, report = synthesise_at(faulty, server.base_url, limits=patient)
        assert server.stats().delivered_again == 0
    assert report.failed_calls == 0
    assert traces(faulty) == traces(clean)


def test_rejected_replies_are_asked_for_again_and_counted_by_reason(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", COUNT)
    with FaultyServer(ArithmeticModel(told_share=0.4)) as server:
        total, _ = synthesise_at(path, server.base_url)
    assert total.asked_again > 0
    assert total.rejected
    assert all(reason.endswith(": told") for reason in total.rejected)
    counted: Counter[str] = Counter()
    for question in accounts(path).values():
        counted.update(f"{item.call}: {item.reason}" for item in question.rejected)
        assert all(item.asks == 3 and item.detail for item in question.rejected)
    assert counted == total.rejected


def test_the_budget_stops_the_run_and_more_of_it_goes_on(
    server: FaultyServer, undisturbed: Path, run: Path
) -> None:
    prices = Prices(input=1.0, output=2.0)
    spent = 0.0
    stops = 0
    for limit in (0.0, 0.05, 0.1, 0.15, 0.2, 10.0):
        before = server.stats().requests
        total, report = synthesise_at(run, server.base_url, budget=Budget(usd=limit, prices=prices))
        assert report.run_usd is not None
        assert report.usd is not None
        assert report.run_usd <= limit
        assert report.run_usd == pytest.approx(spent + report.usd)
        assert server.stats().requests - before == report.sent
        spent = report.run_usd
        if report.stopped is None:
            break
        stops += 1
        assert isinstance(report.stopped, BudgetReached)
        assert "run the same command with a larger budget" in str(report.stopped)
        assert report.done_before + report.done_now == total.questions < COUNT
    assert stops >= 3
    assert report.stopped is None
    assert traces(run) == traces(undisturbed)
    assert total.usd == pytest.approx(spent)


def test_a_full_disk_stops_cleanly_and_the_run_goes_on(
    server: FaultyServer, undisturbed: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import steiner.store.rundir as rundir

    class SmallDisk(rundir.Journal):
        def __init__(self, path: Path, *, read_only: bool = False) -> None:
            super().__init__(path, read_only=read_only)
            pages = self._db.execute("PRAGMA page_count").fetchone()[0]
            self._db.execute(f"PRAGMA max_page_count={pages + 8}")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(rundir, "Journal", SmallDisk)
            _, report = synthesise_at(run, server.base_url)
        assert isinstance(report.stopped, StorageError)
        assert report.stopped.exit_code == 74
        assert "run the same command again" in str(report.stopped)
    _, report = synthesise_at(run, server.base_url)
    assert report.stopped is None
    assert report.cached > 0
    assert traces(run) == traces(undisturbed)


def start(path: Path, base_url: str) -> subprocess.Popen[str]:
    argv = [sys.executable, llm_runs.__file__, str(path), base_url]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answered(path: Path) -> int:
    """Return how many calls are stored."""
    try:
        with sqlite3.connect(f"{(path / 'journal.sqlite').as_uri()}?mode=ro", uri=True, timeout=30) as db:
            return int(db.execute("SELECT COUNT(body) FROM calls").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def wait_for_calls(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while answered(path) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def slow_server() -> Iterator[FaultyServer]:
    """Answers late enough for a signal to come in between."""
    with FaultyServer(api_key=KEY, faults=Faults(latency_s=0.2)) as server:
        yield server


def test_ctrl_c_waits_for_what_is_on_its_way_and_the_run_goes_on(
    slow_server: FaultyServer, undisturbed: Path, run: Path
) -> None:
    slow_server.reset()
    process = start(run, slow_server.base_url)
    wait_for_calls(run, 10, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "waiting for the replies to" in err
    assert "KeyboardInterrupt" in out
    stats = slow_server.stats()
    assert answered(run) == stats.delivered == stats.requests < 12 * 5
    _, report = synthesise_at(run, slow_server.base_url)
    assert report.stopped is None
    assert slow_server.stats().delivered_again == 0
    assert slow_server.stats().delivered == answered(run)
    assert traces(run) == traces(undisturbed)


def test_ctrl_c_twice_ends_at_once_and_the_run_goes_on(undisturbed: Path, run: Path) -> None:
    with FaultyServer(api_key=KEY) as server:
        address, port = server.base_url, int(server.base_url.removesuffix("/v1").rpartition(":")[2])
        _, report = synthesise_at(run, address, budget=Budget(tokens=60_000))
        assert isinstance(report.stopped, BudgetReached)
    with FaultyServer(api_key=KEY, port=port, faults=Faults(latency_s=60.0)) as hanging:
        process = start(run, address)
        while hanging.stats().in_flight == 0:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "it waits for what is on its way"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "Stopped at once" in err
    assert process.returncode != 0
    with FaultyServer(api_key=KEY, port=port) as server:
        _, again = synthesise_at(run, address)
        assert again.stopped is None
        # Whole questions were stored, and of the others the calls.
        assert again.sent + report.sent == answered(run)
        assert server.stats().delivered == again.sent
    assert traces(run) == traces(undisturbed)


def kill_again_and_again(path: Path, server: FaultyServer, kills: int, expected: int) -> int:
    """SIGKILL the command at random moments, some of them in its start; return how many died."""
    rng = random.Random(7)
    killed = 0
    for _ in range(kills):
        process = start(path, server.base_url)
        wait_for_calls(path, answered(path) + rng.randrange(1 + expected // (2 * kills)), process)
        time.sleep(0.05 * rng.random())
        if process.poll() is None:
            process.kill()
            killed += 1
        process.communicate()
    return killed


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_sigkill_loses_at_most_what_is_on_its_way(tmp_path: Path, kills: int) -> None:
    questions = 10 + kills
    quiet, killed_run = make_run(tmp_path / "quiet", questions), make_run(tmp_path / "run", questions)
    with FaultyServer(api_key=KEY, faults=Faults(latency_s=0.02)) as server:
        total, _ = synthesise_at(quiet, server.base_url)
        server.reset()
        killed = kill_again_and_again(killed_run, server, kills, total.calls)
        assert killed >= 0.6 * kills
        _, report = synthesise_at(killed_run, server.base_url)
        assert report.stopped is None
        stats = server.stats()
        assert answered(killed_run) == answered(quiet) == total.calls
        # What was sent and is not stored was on its way when a process died: in flight, or waiting for its
        # commit, which on a slow disk may take as long as it takes others to come in.
        assert stats.requests - total.calls <= killed * 2 * LIMITS.concurrency
        assert stats.delivered_again <= killed * 2 * LIMITS.concurrency
    assert traces(killed_run) == traces(quiet)


def test_a_second_process_on_the_run_is_refused(slow_server: FaultyServer, run: Path) -> None:
    process = start(run, slow_server.base_url)
    wait_for_calls(run, 1, process)
    with pytest.raises(BusyError, match=str(process.pid)):
        synthesise_at(run, slow_server.base_url)
    process.kill()
    process.communicate()


def test_progress_tells_rates_and_cost(server: FaultyServer, run: Path) -> None:
    class Listener(NoProgress):
        def __init__(self) -> None:
            self.notes: list[str] = []
            self.done: list[float] = []

        def update(self, done: float, note: str = "") -> None:
            self.done.append(done)
            self.notes.append(note)

    heard = Listener()
    budget = Budget(prices=Prices(input=1.0, output=2.0))
    _, report = synthesise_at(run, server.base_url, progress=heard, budget=budget)
    assert heard.done[0] == 0
    assert heard.done[-1] == COUNT
    assert heard.done == sorted(heard.done)
    assert f"${report.usd:,.4f}" in heard.notes[-1]
    assert "questions/s" in heard.notes[-1]
    assert "calls/s" in heard.notes[-1]


def test_a_run_without_problems_says_what_to_do(server: FaultyServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no stage 'problems' yet"):
        synthesise_at(tmp_path / "empty", server.base_url)
    with pytest.raises(InputError, match="holds no problems"):
        synthesise_at(make_run(tmp_path / "none", 0), server.base_url)


def test_another_model_or_prompt_is_another_stage(server: FaultyServer, run: Path) -> None:
    synthesise_at(run, server.base_url)
    with pytest.raises(ResumeError, match=r"endpoint\.base_url was"):
        synthesise_at(run, server.base_url.replace("127.0.0.1", "localhost"))
    synthesise_at(run, server.base_url, limits=LIMITS.model_copy(update={"concurrency": 3}))
