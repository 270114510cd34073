"""The whole way from requests to files, against simulated servers on a clock that jumps."""

from __future__ import annotations

import asyncio
import csv
import io
import json

import pytest
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.cli.probe import read_series
from steiner.core import ResumeError
from steiner.probe import Measurement, ProbeReport, ProbeSettings, Series, VerdictKind
from steiner.probe.analyse import analyse
from steiner.probe.client import ProbeClient, text_of_event
from steiner.probe.prompts import make_plan
from steiner.probe.report import measurements_csv, render
from steiner.probe.run import (
    BudgetReached,
    Price,
    Target,
    prepare,
    read_measurements,
    run_probe,
    spent_so_far,
)
from steiner.store import RunDir
from steiner.teacher.chat import ChatFailure, Endpoint
from steiner.testing import EchoModel, Faults, FaultyServer
from steiner.testing.latency import BestOfServer, SerialServer
from steiner.testing.latency_server import latency_server
from steiner.testing.virtual_time import run_virtual

PLAN = ProbeSettings(requests=20, warmup=1, shortest=30, longest=1500, prompts="prose")
PRICE = Price(prompt=1.0, completion=10.0)


def target(base_url: str, label: str = "m", settings: ProbeSettings = PLAN) -> Target:
    return Target(label=label, endpoint=Endpoint(base_url=base_url, model=label), settings=settings)


async def probe(run: RunDir, aim: Target, price: Price | None = None, budget: float | None = None) -> None:
    prepare(run.journal, aim)
    clock = asyncio.get_running_loop().time
    await run_probe(run.journal, [aim], {aim.label: price}, budget, clock=clock, sleep_scale=0)


def test_a_request_asks_for_a_stream_and_its_completions():
    aim = target("http://localhost:1/v1", settings=ProbeSettings(branches=8, temperature=0.5))
    ask = make_plan(aim.settings)[0]
    body = json.loads(ProbeClient(aim.endpoint, aim.settings).body(ask))
    assert body["n"] == 8
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["max_tokens"] == ask.max_tokens
    assert body["temperature"] == 0.5


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"choices": [{"index": 0, "delta": {"content": "a"}}]}, "a"),
        ({"choices": [{"index": 0, "delta": {"reasoning_content": "r", "content": None}}]}, "r"),
        ({"choices": [{"index": 1, "delta": {"content": "b"}}]}, ""),
        ({"choices": [], "usage": {}}, ""),
        ({"choices": [{"delta": None}]}, ""),
        ([], ""),
    ],
)
def test_only_text_of_the_first_completion_is_seen(event, text):
    assert text_of_event(json.dumps(event).encode()) == text
    assert text_of_event(b"[DONE]") == ""


def test_a_cell_is_never_a_formula():
    one = Measurement(
        number=0, kind="prose", target=1, max_tokens=1, warmup=False, started=0.0, error='=HYPERLINK("x")'
    )
    fits, doubts, verdict = analyse([one], PLAN)
    series = Series(
        label="+1", base_url="http://h/v1", model="m", settings=PLAN, measurements=(one,), fits=fits,
        doubts=doubts, verdict=verdict,
    )  # fmt: skip
    row = next(csv.DictReader(io.StringIO(measurements_csv((series,)))))
    assert row["series"] == "'+1"
    assert row["error"].startswith("'=")
    assert "too few" in render(ProbeReport(created="2026-01-01T00:00:00", series=(series,)))


def test_a_virtual_hour_takes_no_time():
    async def wait() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(wait()) == pytest.approx(3600, abs=1)


def test_the_client_measures_what_the_server_did(tmp_path):
    async def main() -> None:
        quiet = SerialServer(jitter=0, start_s=0, token_s=0.01)
        async with latency_server(quiet) as base_url:
            await probe(run, target(base_url))

    with RunDir(tmp_path) as run:
        run_virtual(main())
        series = read_series(run.journal)[0]
    for one in series.measurements:
        assert one.completion_tokens is not None
        assert one.total_s == pytest.approx(0.01 * one.completion_tokens, rel=0.05, abs=0.02)
        assert one.text_bytes == 4 * one.completion_tokens
        assert one.first_s == pytest.approx(0, abs=0.02)
        assert one.last_s == pytest.approx(one.total_s, abs=0.02)
        assert one.events == 8
    assert series.verdict.kind is VerdictKind.LINEAR
    assert series.fits is not None
    assert series.fits.line_slope.value == pytest.approx(0.01, rel=0.03)


def test_branches_that_are_billed_together_are_found(tmp_path):
    async def main() -> None:
        async with latency_server(BestOfServer()) as base_url:
            await probe(run, target(base_url))

    with RunDir(tmp_path) as run:
        run_virtual(main())
        assert read_series(run.journal)[0].verdict.kind is VerdictKind.SUBLINEAR


def test_missing_usage_is_said(tmp_path):
    async def main() -> None:
        async with latency_server(SerialServer(), usage=False) as base_url:
            await probe(run, target(base_url))

    with RunDir(tmp_path) as run:
        run_virtual(main())
        series = read_series(run.journal)[0]
    assert [doubt.kind for doubt in series.doubts] == ["missing"]
    assert series.verdict.kind is VerdictKind.INCONCLUSIVE


def test_the_budget_stops_before_it_is_reached_and_more_goes_on(tmp_path):
    async def main() -> None:
        async with latency_server(SerialServer()) as base_url:
            aim = target(base_url)
            with pytest.raises(BudgetReached, match="--budget-usd"):
                await probe(run, aim, PRICE, 0.08)
            assert 0 < spent_so_far(run.journal) <= 0.08
            assert 0 < len(read_measurements(run.journal, aim)) < 21
            await probe(run, aim, PRICE, 5.0)
            found = read_measurements(run.journal, aim)
            assert len(found) == 21
            total = sum(one.cost_usd or 0 for one in found)
            assert spent_so_far(run.journal) == pytest.approx(total)
            state = run.journal.stage(aim.stage)
            assert state is not None
            assert state.complete

    with RunDir(tmp_path) as run:
        run_virtual(main())


def test_only_what_is_missing_is_sent_again(tmp_path):
    async def main() -> tuple[int, int]:
        async with FaultyServer(EchoModel()) as server:
            aim = target(server.base_url, settings=ProbeSettings(requests=6, warmup=1))
            await probe(run, aim)
            first = server.stats().requests
            await probe(run, aim)
            return first, server.stats().requests

    with RunDir(tmp_path) as run:
        assert asyncio.run(main()) == (7, 7)


def test_faults_are_survived_and_only_the_good_try_is_timed(tmp_path):
    async def main() -> None:
        async with FaultyServer(EchoModel(), Faults.transport(0.5), seed=3) as server:
            await probe(run, target(server.base_url))

    with RunDir(tmp_path) as run:
        asyncio.run(main())
        found = read_series(run.journal)[0].measurements
    assert len(found) == 21
    assert not any(one.error for one in found)
    assert max(one.tries for one in found) > 1
    assert all(one.total_s > 0 for one in found)


def test_a_request_that_was_cut_off_counts_with_its_worst(tmp_path):
    async def main() -> None:
        async with FaultyServer(EchoModel(), Faults(drop_before=1.0, max_faults_per_request=99)) as server:
            await probe(run, target(server.base_url), PRICE)

    with RunDir(tmp_path) as run:
        with pytest.raises(ChatFailure, match="in a row"):
            asyncio.run(main())
        assert spent_so_far(run.journal) > 0


def test_another_plan_is_refused(tmp_path):
    with RunDir(tmp_path) as run:
        prepare(run.journal, target("http://localhost:1/v1"))
        other = target("http://localhost:1/v1", settings=PLAN.model_copy(update={"longest": 900}))
        with pytest.raises(ResumeError, match=r"longest 1500 \(now 900\)"):
            prepare(run.journal, other)
        prepare(run.journal, other, force=True)


def test_a_wrong_key_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-the-right-one")

    async def main() -> None:
        async with FaultyServer(EchoModel(), api_key="sk-right") as server:
            await probe(run, target(server.base_url))

    with RunDir(tmp_path) as run, pytest.raises(ChatFailure, match="OPENAI_API_KEY") as caught:
        asyncio.run(main())
    assert "sk-not" not in str(caught.value)


def test_the_command_overlays_models_and_writes_three_files(tmp_path):
    with FaultyServer(EchoModel()) as server:
        words = ["probe", "--base-url", server.base_url, "--output", str(tmp_path)]
        plan = ["--requests", "10", "--warmup", "1", "--prompts", "puzzle"]
        for model in ("first", "<second> & co"):
            done = CliRunner().invoke(app, [*words, "--model", model, *plan])
            assert done.exit_code == 0, done.output + done.stderr
    report = json.loads((tmp_path / "probe.json").read_text())
    assert [each["label"] for each in report["series"]] == ["first", "<second> & co"]
    page = (tmp_path / "probe.html").read_text()
    assert "&lt;second&gt; &amp; co" in page
    assert "<second>" not in page
    assert "<script" not in page
    assert page.count("<svg") == 2
    rows = list(csv.DictReader(io.StringIO((tmp_path / "measurements.csv").read_text())))
    assert len(rows) == 22
    assert {row["series"] for row in rows} == {"first", "<second> & co"}


def test_a_budget_without_a_price_is_refused(tmp_path):
    words = ["--base-url", "http://localhost:1/v1", "--model", "m", "--output", str(tmp_path / "o")]
    done = CliRunner().invoke(app, ["probe", *words, "--budget-usd", "1"])
    assert done.exit_code == 2
    assert "--price-input" in done.stderr
