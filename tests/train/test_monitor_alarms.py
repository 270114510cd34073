"""Each alarm fires on a planted case, soon, and says what it saw; healthy runs stay silent."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from healthy_runs import healthy_run
from hypothesis import given
from hypothesis import strategies as st

from steiner.train.monitor import Alarm, UpdateFigures, find_alarms, find_loss_alarms
from steiner.train.monitor.alarms import RULES, STALE
from steiner.train.monitor.change import WINDOW, changes

FROM = 60
"""Update from which a fault is planted."""
LATEST = 60
"""Updates after which it must have been found."""
RUNS, MANY_RUNS = 100, 4000
"""At a rate of 1% so many runs give 40 ± 6 alarms."""

Figures = UpdateFigures
Fault = Callable[[Figures, float, np.random.Generator], Figures]


def noise(rng: np.random.Generator, size: float) -> float:
    return float(rng.normal(0, size))


def hacked_reward(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(
        reward=0.4 + 1.0 * grown + noise(rng, 0.08), right=0.4 - 0.01 * grown + noise(rng, 0.03)
    )


def form_for_content(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(
        well_formed=0.8 + 0.19 * grown + noise(rng, 0.01), right=0.5 - 0.3 * grown + noise(rng, 0.06)
    )


def shortcut(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(steps=7 - 5.8 * grown + noise(rng, 0.4))


def pile(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(at_limit=0.4 + 0.58 * grown + noise(rng, 0.03))


def last_bit_of_pile(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(at_limit=0.8 + 0.19 * grown + noise(rng, 0.01))


def repetition(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(repeated=0.1 + 0.4 * grown + noise(rng, 0.03))


def show(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(idle_backtracks=0.1 + 0.8 * grown + noise(rng, 0.1))


def chinese(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    han = 0.02 + 0.5 * grown + abs(noise(rng, 0.05))
    return f._replace(latin=0.97 - han, han=han)


def cyrillic(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(latin=0.97 - 0.5 * grown - abs(noise(rng, 0.05)), han=0.01)


def stale(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(logprob_gap=0.01 + 0.3 * grown + abs(noise(rng, 0.003)))


def slowly_stale(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(logprob_gap=0.01 + 0.05 * grown + abs(noise(rng, 0.002)))


def all_the_same(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(no_signal=min(1.0, 0.3 + 0.7 * grown))


def cut(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
    return f._replace(truncated=0.5 * grown)


PLANTED: tuple[tuple[str, Fault], ...] = (
    ("reward_without_accuracy", hacked_reward),
    ("format_without_accuracy", form_for_content),
    ("thinking_collapses", shortcut),
    ("limit_reached", pile),
    ("limit_reached", last_bit_of_pile),
    ("steps_repeat", repetition),
    ("backtracks_for_show", show),
    ("language_drifts", chinese),
    ("language_drifts", cyrillic),
    (STALE, stale),
    (STALE, slowly_stale),
    ("no_signal", all_the_same),
    ("truncated_groups", cut),
)


def planted(fault: Fault, seed: int, ramp: int = 30) -> list[tuple[int, Figures]]:
    """Return a healthy run that goes wrong from update `FROM` on, fully after `ramp` more."""
    rng = np.random.default_rng([seed, 7])
    return [
        (update, fault(figures, min(1.0, max(0.0, (update - FROM) / ramp)), rng))
        for update, figures in healthy_run(seed, FROM + LATEST)
    ]


@pytest.mark.parametrize(("name", "fault"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("seed", range(8))
def test_a_planted_fault_is_found_and_nothing_else(name: str, fault: Fault, seed: int) -> None:
    (alarm,) = find_alarms(planted(fault, seed))
    assert alarm.name == name
    assert FROM < alarm.since <= FROM + LATEST
    assert any(character.isdigit() for character in alarm.evidence)
    assert alarm.advice.endswith(".")


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule.name for rule in RULES} == {name for name, _ in PLANTED}


def test_healthy_runs_give_no_alarm() -> None:
    assert [(seed, alarm) for seed in range(RUNS) for alarm in find_alarms(healthy_run(seed))] == []


@pytest.mark.slow
def test_fewer_than_one_healthy_run_in_a_hundred_gives_an_alarm() -> None:
    alarmed = [seed for seed in range(MANY_RUNS) if find_alarms(healthy_run(seed))]
    assert len(alarmed) <= MANY_RUNS // 200


@pytest.mark.parametrize("fault", [hacked_reward, pile, chinese, stale])
def test_an_alarm_stays_what_it_was_as_the_run_goes_on(fault: Fault) -> None:
    points = planted(fault, 3)
    known: tuple[Alarm, ...] = ()
    for end in range(len(points) + 1):
        now = find_alarms(points[:end])
        assert now[: len(known)] == known
        known = now
    assert known


def test_sudden_faults_are_found_within_a_window() -> None:
    (alarm,) = find_alarms(planted(shortcut, 1, ramp=1))
    assert alarm.since <= FROM + WINDOW
    (alarm,) = find_alarms(planted(stale, 1, ramp=1))
    assert alarm.since <= FROM + 4  # it stops the run, so it must not wait


def test_reward_that_rises_with_accuracy_or_above_what_is_left_is_no_alarm() -> None:
    def rises(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
        return f._replace(reward=0.4 + grown + noise(rng, 0.05), right=0.3 + 0.3 * grown + noise(rng, 0.05))

    def solved(f: Figures, grown: float, rng: np.random.Generator) -> Figures:
        return f._replace(reward=0.4 + grown + noise(rng, 0.05), right=0.98 + noise(rng, 0.005))

    assert find_alarms(planted(rises, 0)) == ()
    assert find_alarms(planted(solved, 0)) == ()


def test_short_runs_and_missing_figures_give_no_alarm() -> None:
    assert find_alarms([]) == ()
    assert find_alarms(planted(hacked_reward, 0)[: WINDOW - 1]) == ()
    bare = [(i, UpdateFigures(0.5, 0.5, 1.0, 4.0, 0.3)) for i in range(40)]
    assert find_alarms(bare) == ()


def test_a_loss_that_rises_is_found_and_one_that_falls_is_not() -> None:
    rng = np.random.default_rng(0)
    falls = [(i, 2 * np.exp(-i / 30) + 0.5 + noise(rng, 0.05)) for i in range(100)]
    assert find_loss_alarms(falls) == ()
    diverges = [(i, loss * (1 + max(0, i - 60) / 40)) for i, loss in falls]
    (alarm,) = find_loss_alarms(diverges)
    assert alarm.name == "loss_rises"
    assert 60 < alarm.since < 100


@given(st.lists(st.floats(-1e6, 1e6), min_size=2 * WINDOW, max_size=60), st.floats(0.01, 100))
def test_z_does_not_depend_on_the_unit(values: list[float], unit: float) -> None:
    for one, scaled in zip(changes(values), changes([unit * v for v in values]), strict=True):
        firm = (
            np.isfinite(one.z) & np.isfinite(scaled.z) & (np.abs(one.rise) > 1e-6 * (1 + np.abs(one.before)))
        )
        assert np.allclose(one.z[firm], scaled.z[firm], rtol=1e-3, atol=1e-3)


@given(st.lists(st.floats(-100, 100), max_size=60))
def test_changes_cover_every_moment_with_two_windows(values: list[float]) -> None:
    first, previous = changes(values)
    count = max(0, len(values) - 2 * WINDOW + 1)
    assert len(first.z) == len(previous.z) == count
    for i in range(count):
        now = values[WINDOW + i : 2 * WINDOW + i]
        assert first.now[i] == pytest.approx(np.mean(now), abs=1e-9)
        assert first.before[i] == pytest.approx(np.mean(values[:WINDOW]), abs=1e-9)
        assert previous.before[i] == pytest.approx(np.mean(values[i : WINDOW + i]), abs=1e-9)


def test_alarms_come_in_the_order_in_which_they_were_evident() -> None:
    points = [(u, show(f, 0.0 if u < 40 else 1.0, np.random.default_rng(u))) for u, f in planted(pile, 2)]
    alarms = find_alarms(points)
    assert [alarm.name for alarm in alarms] == ["backtracks_for_show", "limit_reached"]
    assert all(a.since <= b.since for a, b in pairwise(alarms))
