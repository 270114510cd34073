from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import SteinerError
from steiner.store import map_bounded

_offset = 0


def set_offset(offset: int) -> None:
    global _offset
    _offset = offset


def slow_square(number: int) -> int:
    time.sleep(random.Random(number).random() / 100)
    return number**2 + _offset


def who(_: int) -> int:
    return os.getpid()


def who_slowly(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=30))
def test_one_worker_is_map(numbers: list[int]) -> None:
    assert list(map_bounded(str, numbers)) == [str(number) for number in numbers]


def test_results_come_in_order_whoever_finishes_first() -> None:
    numbers = random.Random(1).sample(range(1000), 60)
    assert list(map_bounded(slow_square, numbers, workers=3)) == [number**2 for number in numbers]


def test_workers_are_other_processes_and_are_initialised() -> None:
    assert os.getpid() not in set(map_bounded(who, range(4), workers=2))
    shifted = map_bounded(slow_square, range(3), workers=2, initializer=set_offset, initargs=(5,))
    assert list(shifted) == [5, 6, 9]


@pytest.mark.parametrize("workers", [1, 2])
def test_it_runs_only_a_bounded_way_ahead(workers: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_bounded(slow_square, source(), workers)
    for _ in range(5):
        next(results)
    assert len(taken) <= 5 + 4 * workers
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 5 + 4 * workers


ORPHANS = """
from steiner.store import map_bounded
from test_store_parallel import who_slowly
if __name__ == "__main__":
    results = map_bounded(who_slowly, range(10**6), workers=2)
    print(*{next(results) for _ in range(20)}, flush=True)
    for _ in results:
        pass
"""


def test_workers_of_a_killed_process_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=20)
    for worker in alive:
        worker.kill()
    assert not alive


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_out_after_the_results_before_it(workers: int) -> None:
    results = map_bounded(fail_at_three, range(1000), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_a_killed_worker_is_explained() -> None:
    with pytest.raises(SteinerError, match="run the same command again"):
        list(map_bounded(die_at_three, range(1000), workers=2))
