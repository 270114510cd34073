"""Verdicts: error rates on simulated endpoints, obstacles, and how many more requests are needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from steiner.probe import Doubt, Estimate, Measurement, ProbeSettings, VerdictKind
from steiner.probe.analyse import analyse
from steiner.probe.prompts import make_plan
from steiner.probe.usage import find_doubts
from steiner.probe.verdict import decide, more_requests
from steiner.testing.latency import BestOfServer, LoadedServer, SerialServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from probe_calibration import CASES, HARD, Case, calibrate, simulate

RUNS = 12


def some(case: Case, seed: int = 0, **plan) -> tuple[list[Measurement], ProbeSettings]:
    settings = ProbeSettings(seed=seed, **plan)
    return simulate(make_plan(settings), case, seed), settings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_false_verdicts_and_mostly_right_ones(case):
    row = calibrate(case, RUNS, samples=200)
    assert row.false == 0
    assert row.right >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_error_rates(case):
    row = calibrate(case, 100, samples=300)
    assert row.false <= 0.05
    assert row.right >= 0.95


def test_fixed_branches_that_nobody_sees_are_not_called_linear():
    hidden = next(case for case in HARD if case.name == "best of 8, all billed, sent at the end")
    found, settings = some(hidden)
    _, doubts, verdict = analyse(found, settings, 200)
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert {"undeclared", "over_limit"} <= {doubt.kind for doubt in doubts}
    assert verdict.more is None


def test_a_line_without_a_seen_text_says_what_is_not_excluded():
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR))
    blind = [one.model_copy(update={"first_s": None, "last_s": None}) for one in found]
    _, _, verdict = analyse(blind, settings, 200)
    assert verdict.kind is VerdictKind.LINEAR
    assert verdict.pace is None
    assert "not excluded" in verdict.text


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"completion_tokens": None}, "missing"),
        ({"completion_tokens": 4}, "fewer"),
        ({"completion_tokens": 5_000}, "constant"),
        ({"reasoning_tokens": 10**6}, "reasoning"),
    ],
)
def test_a_usage_that_cannot_be_believed_gives_no_verdict(change, kind):
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR))
    spoilt = [one.model_copy(update=change) for one in found]
    _, doubts, verdict = analyse(spoilt, settings, 100)
    assert kind in {doubt.kind for doubt in doubts}
    assert verdict.kind is VerdictKind.INCONCLUSIVE


def test_honest_usage_raises_no_doubt():
    found, settings = some(Case("", LoadedServer(), VerdictKind.LINEAR))
    assert find_doubts(found, settings.branches) == ()


def test_our_own_branches_are_no_doubt():
    found, _ = some(Case("", BestOfServer(n=4), VerdictKind.SUBLINEAR))
    assert "undeclared" in {doubt.kind for doubt in find_doubts(found, 1)}
    assert find_doubts(found, 4) == ()


def test_few_replies_say_how_many_are_missing():
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR), requests=9)
    assert analyse(found, settings, 100)[2].more == 3
    assert analyse(found[:5], settings, 100)[0] is None


def test_lengths_that_do_not_spread_give_no_verdict():
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR), shortest=300, longest=600)
    _, _, verdict = analyse(found, settings, 100)
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert "--longest" in verdict.text


def test_warm_up_and_failures_do_not_count():
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR))
    broken = found[10].model_copy(update={"error": "gone", "total_s": 0.0})
    fits, _, _ = analyse([*found[:10], broken, *found[11:]], settings, 100)
    assert fits is not None
    assert fits.n == settings.requests - 1


def test_more_requests_grow_with_the_doubt():
    near = Estimate(value=0.95, low=0.75, high=1.15)
    far = Estimate(value=1.1, low=0.8, high=1.4)
    hopeless = Estimate(value=0.86, low=0.7, high=1.0)
    assert more_requests(60, near, 0.85) == pytest.approx(60 * 4 * 2.286 - 60, abs=5)
    assert (more_requests(60, far, 0.85) or 0) < (more_requests(60, near, 0.85) or 0)
    assert more_requests(60, hopeless, 0.85) is None


def test_a_weak_doubt_does_not_stop_a_verdict():
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR))
    fits, _, verdict = analyse(found, settings, 100)
    rare = Doubt(kind="missing", share=0.05, text="rare")
    assert decide(fits, verdict.pace, [rare]).kind is VerdictKind.LINEAR


def test_an_open_case_is_settled_by_about_as_many_as_it_says():
    """Take noisy runs of 16 requests that end open: with what they ask for on top, most are settled."""
    case = Case("", LoadedServer(wander=0.45, memory=0.0), VerdictKind.LINEAR)
    settled, opened = 0, 0
    for seed in range(12):
        found, settings = some(case, seed, requests=16)
        blind = [one.model_copy(update={"first_s": None}) for one in found]
        verdict = analyse(blind, settings, 150)[2]
        if verdict.kind is not VerdictKind.INCONCLUSIVE or not verdict.more or verdict.more > 600:
            continue
        opened += 1
        found, settings = some(case, seed + 1000, requests=16 + verdict.more)
        blind = [one.model_copy(update={"first_s": None}) for one in found]
        settled += analyse(blind, settings, 150)[2].kind is VerdictKind.LINEAR
    assert opened >= 4
    assert settled >= 0.6 * opened


def test_shape_and_pace_that_disagree_give_no_verdict():
    found, settings = some(Case("", SerialServer(), VerdictKind.LINEAR))
    fits, doubts, _ = analyse(found, settings, 100)
    assert fits is not None
    bent = fits.model_copy(update={"power_limits": Estimate(value=0.6, low=0.5, high=0.7)})
    serial, parallel = (Estimate(value=v, low=v - 0.1, high=v + 0.1) for v in (1.0, 0.3))
    assert decide(bent, serial, doubts).kind is VerdictKind.INCONCLUSIVE
    assert decide(bent, parallel, doubts).kind is VerdictKind.SUBLINEAR
    assert decide(bent, None, doubts).kind is VerdictKind.SUBLINEAR
