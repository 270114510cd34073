"""The times that the quickstart reports."""

from __future__ import annotations

import time

from steiner.cli.quickstart.clock import SHARES, Clock, cpu_seconds
from steiner.store import RunDir
from steiner.store.parallel import map_bounded

BUSY = 0.3


def burn(seconds: float) -> float:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return seconds


def test_the_time_of_workers_that_have_ended_counts():
    before = cpu_seconds()
    assert list(map_bounded(burn, [BUSY] * 4, 2)) == [BUSY] * 4
    assert cpu_seconds() - before >= 4 * BUSY * 0.95


def test_a_stage_that_is_done_keeps_its_time(tmp_path):
    with RunDir(tmp_path / "run") as run:
        with Clock(run, 10).stage("problems", "Make problems"):
            burn(BUSY)
        first = Clock(run, 10)
        with first.stage("problems", "Make problems"):
            pass
        assert [time.name for time in first.times()] == ["Make problems"]
        assert first.times()[0].cpu_seconds >= BUSY * 0.95
        assert first.times()[0].seconds >= BUSY * 0.95


def test_every_stage_has_its_share_of_the_time():
    assert all(share > 0 for share in SHARES.values())
