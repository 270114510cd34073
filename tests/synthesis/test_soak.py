"""A bad endpoint costs time and money, and changes nothing: the same traces as from a good one."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_runs import KEY, SETTINGS, Source

from steiner.core import Settings
from steiner.store import RunDir, Stage, StoredRecord
from steiner.synthesis.accounts import LlmReport
from steiner.synthesis.llm_stage import LlmRun, LlmSynthesisSettings, synthesise_with_llm
from steiner.synthesis.money import Budget
from steiner.synthesis.outcome import SynthesisYield
from steiner.teacher.chat.client import ClientLimits
from steiner.teacher.chat.types import Endpoint
from steiner.teacher.llm.templates import load_prompts
from steiner.testing import ArithmeticModel, Fault, Faults, FaultyServer, ServerStats, arithmetic_problems

PATIENT = ClientLimits(
    concurrency=256,
    backoff_seconds=0.02,
    longest_backoff_seconds=0.5,
    total_timeout=60,
    # After at most three faults, and as many refusals in storms, a request gets its reply.
    tries=8,
    bad_reply_tries=8,
)


class Soaked(Settings):
    """One run and what its server saw."""

    total: SynthesisYield
    traces: dict[str, bytes]
    """Problem id → the record as stored."""
    server: ServerStats


def soak(path: Path, count: int, settings: LlmSynthesisSettings, faults: Faults, seed: int = 0) -> Soaked:
    """Synthesise the traces of `count` questions with a server that has these faults."""
    with RunDir(path) as run, FaultyServer(ArithmeticModel(), faults, seed, api_key=KEY) as server:
        stage = Stage(run, "problems", Source(count=count))
        problems = arithmetic_problems(count, chinese=0.2)
        stage.put(StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(problems))
        stage.finish({})
        endpoint = Endpoint(model="m", base_url=server.base_url, key_env="STEINER_TEST_KEY")
        total, report = synthesise_with_llm(
            run, LlmRun(settings, endpoint, PATIENT, Budget(), load_prompts())
        )
        check(report, count)
        return Soaked(
            total=total,
            traces={record.key: record.body for record in run.journal.records("traces")},
            server=server.stats(),
        )


def check(report: LlmReport, count: int) -> None:
    assert report.stopped is None
    assert (report.done_now, report.failed_now, report.failed_calls) == (count, 0, 0)


def compare(clean: Soaked, faulty: Soaked, count: int) -> None:
    """Hold a run through faults against one without."""
    assert len(clean.traces) == count
    assert faulty.traces == clean.traces
    for run in (clean, faulty):
        assert run.server.delivered_again == 0
        assert run.server.delivered == run.total.calls - run.total.cached
    paid = {"prompt_tokens", "completion_tokens"}  # of replies that came broken, too
    assert faulty.total.model_dump(exclude=paid) == clean.total.model_dump(exclude=paid)
    assert clean.server.requests == clean.server.delivered


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEINER_TEST_KEY", KEY)


def test_sixty_questions_through_all_faults_have_the_traces_of_a_good_endpoint(tmp_path: Path) -> None:
    clean = soak(tmp_path / "clean", 60, SETTINGS, Faults())
    faults = Faults.transport(0.3, retry_after_s=0.02, drip_s=0.1)
    faulty = soak(tmp_path / "faulty", 60, SETTINGS, faults, seed=5)
    compare(clean, faulty, 60)
    assert len(set(faulty.server.outcomes) & set(Fault)) > 10


@pytest.mark.slow
def test_five_thousand_questions_through_faults_and_storms(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"drafts": 1, "truncations": 2})
    clean = soak(tmp_path / "clean", 5_000, settings, Faults())
    storms = {"storm_every_s": 7.0, "storm_s": 0.5, "storm_in_flight": 1}
    faults = Faults.transport(0.2, retry_after_s=0.05, drip_s=0.3, **storms)
    faulty = soak(tmp_path / "faulty", 5_000, settings, faults)
    compare(clean, faulty, 5_000)
    assert {fault for fault, rate in faults.rates.items() if rate} <= set(faulty.server.outcomes)
    assert faulty.server.outcomes["storm"] > 0
    assert clean.total.recovered > 1_000
