"""The dry run: nothing is sent, and what is said holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_runs import KEY, LIMITS, SETTINGS, make_run, synthesise_at

from steiner.core import InputError
from steiner.store import RunDir
from steiner.synthesis.estimate import DryRun, estimate
from steiner.synthesis.llm_stage import LlmRun, LlmSynthesisSettings
from steiner.synthesis.money import Budget
from steiner.synthesis.prices import Prices
from steiner.teacher.chat.types import Endpoint
from steiner.teacher.llm.templates import load_prompts
from steiner.testing import FaultyServer

PRICES = Prices(input=0.15, output=0.6)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEINER_TEST_KEY", KEY)


def dry(
    path: Path, settings: LlmSynthesisSettings = SETTINGS, prices: Prices | None = PRICES, url: str = ""
) -> DryRun:
    endpoint = Endpoint(model="m", base_url=url or "http://localhost:1/v1")
    with RunDir(path, read_only=True) as run:
        return estimate(run, LlmRun(settings, endpoint, LIMITS, Budget(prices=prices), load_prompts()))


def test_calls_follow_from_the_settings(tmp_path: Path) -> None:
    found = dry(make_run(tmp_path / "run", 100))
    assert found.questions == 100
    assert {kind: part.low.calls for kind, part in found.stages.items()} == {
        "draft": 200, "attempt": 300, "resolve": 30,
    }  # fmt: skip
    asks = SETTINGS.teacher.asks
    assert {kind: part.worst.calls for kind, part in found.stages.items()} == {
        "draft": 200 * asks, "attempt": 300 * asks, "resolve": 300 * asks,
    }  # fmt: skip
    assert found.stages["draft"].worst.completion_tokens == 200 * asks * SETTINGS.teacher.draft_max_tokens
    for part in (*found.stages.values(), found.total):
        for name in ("calls", "prompt_tokens", "completion_tokens", "usd"):
            low, typical, worst = (getattr(getattr(part, case), name) for case in ("low", "typical", "worst"))
            assert 0 < low < typical < worst
    total = found.total.typical
    assert total.usd == pytest.approx(PRICES.cost(total.prompt_tokens, total.completion_tokens) / 1e12)


def test_the_question_s_length_counts(tmp_path: Path) -> None:
    from llm_runs import put_problems

    from steiner.core import Problem

    def prompt_tokens(words: int) -> int:
        path = tmp_path / str(words)
        with RunDir(path) as run:
            put_problems(run, [Problem(question=f"{'word ' * words}{n}?", answer="42") for n in range(10)])
        return dry(path).stages["draft"].low.prompt_tokens

    assert prompt_tokens(900) - prompt_tokens(100) == pytest.approx(10 * 2 * 800 * 5 / 4, rel=0.01)


def test_what_a_run_takes_lies_in_between_and_nothing_is_sent_before(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", 20)
    with FaultyServer(api_key=KEY) as server:
        found = dry(path, url=server.base_url)
        assert server.stats().requests == 0
        total, _ = synthesise_at(path, server.base_url, budget=Budget(prices=PRICES))
        after = dry(path, url=server.base_url)
    assert total.usd is not None
    assert found.total.low.usd is not None
    assert found.total.worst.usd is not None
    assert found.total.low.calls <= total.calls <= found.total.worst.calls
    assert found.total.low.prompt_tokens * 0.8 < total.prompt_tokens < found.total.worst.prompt_tokens
    assert found.total.low.usd * 0.8 < total.usd < found.total.worst.usd
    assert after.questions == after.total.worst.calls == 0


def test_an_unknown_price_is_not_zero(tmp_path: Path) -> None:
    found = dry(make_run(tmp_path / "run", 5), prices=None)
    assert found.total.typical.usd is None
    assert found.total.typical.calls > 0


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    text = "\n".join(dry(make_run(tmp_path / "run", 5)).assumptions)
    for part in (
        "low: 4 steps per draft",
        "typical: ",
        "of attempts right",
        "worst: every attempt wrong",
        "3,000",
    ):
        assert part in text


def test_a_run_without_problems_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no problems"):
        dry(make_run(tmp_path / "run", 0))
