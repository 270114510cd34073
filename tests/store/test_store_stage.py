from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import InputError, ResumeError, Settings
from steiner.store import RunDir, Stage, StoredRecord, run_stage
from steiner.store.stage import stage_digest


class Inner(Settings):
    depth: int = 3


class Toy(Settings):
    seed: int = 0
    inner: Inner = Inner()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    with RunDir(tmp_path / "run") as run:
        yield run


def fill(run: RunDir, count: int) -> dict[str, str]:
    """Make a finished stage `source` of `count` records and return it as an input."""
    source = Stage(run, "source", Toy())
    source.put(StoredRecord(f"k{i:04}", i, str(i).encode()) for i in range(count))
    source.finish({})
    return {"source": source.digest}


def square(record: StoredRecord) -> bytes | None:
    number = int(record.body)
    return None if number % 7 == 0 else str(number**2).encode()


def stop_at(limit: int, record: StoredRecord) -> bytes | None:
    if record.ordinal >= limit:
        raise KeyboardInterrupt
    return square(record)


def content(run: RunDir, stage: str) -> list[StoredRecord]:
    return list(run.journal.records(stage))


@pytest.mark.parametrize("workers", [1, 2])
def test_every_record_is_worked_on_once(run: RunDir, workers: int) -> None:
    stage = Stage(run, "squares", Toy(), fill(run, 40))
    report = run_stage(stage, "source", square, workers=workers)
    assert report[:2] == (0, 40)
    assert [(r.key, r.ordinal) for r in content(run, "squares")] == [(f"k{i:04}", i) for i in range(40)]
    assert content(run, "squares")[7].body == b"null"
    assert content(run, "squares")[8].body == b"64"
    again = run_stage(stage, "source", square, workers=workers)
    assert again[:2] == (40, 0)


@settings(max_examples=40, deadline=None)
@given(stops=st.lists(st.integers(0, 30), max_size=4))
def test_any_number_of_interruptions_gives_the_same_journal(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    with RunDir(tmp_path_factory.mktemp("run")) as run:
        inputs = fill(run, 25)
        for limit in stops:
            work: Callable[[StoredRecord], bytes | None] = functools.partial(stop_at, limit)
            with contextlib.suppress(KeyboardInterrupt):
                run_stage(Stage(run, "squares", Toy(), inputs), "source", work)
        run_stage(Stage(run, "squares", Toy(), inputs), "source", square)
        assert [int(r.body) for r in content(run, "squares") if r.body != b"null"] == [
            i**2 for i in range(25) if i % 7
        ]


def test_a_finished_stage_knows_its_summary(run: RunDir) -> None:
    Stage(run, "stage", Toy()).finish({"questions": 3})
    stage = Stage(run, "stage", Toy())
    assert stage.is_complete
    assert stage.summary == {"questions": 3}


def test_changed_settings_are_refused_and_named(run: RunDir) -> None:
    stage = Stage(run, "stage", Toy())
    stage.put([StoredRecord("a", 0, b"1")])
    with pytest.raises(ResumeError) as caught:
        Stage(run, "stage", Toy(seed=4, inner=Inner(depth=5)))
    assert "seed was 0, now 4" in str(caught.value)
    assert "inner.depth was 3, now 5" in str(caught.value)
    assert "--force" in str(caught.value)
    assert run.journal.count("stage") == 1


def test_a_changed_input_is_refused_and_named(run: RunDir) -> None:
    Stage(run, "stage", Toy(), {"source": "1111"}).finish({})
    with pytest.raises(ResumeError, match="its input 'source' has changed"):
        Stage(run, "stage", Toy(), {"source": "2222"})


def test_force_makes_a_changed_stage_anew(run: RunDir) -> None:
    Stage(run, "stage", Toy()).put([StoredRecord("a", 0, b"1")])
    stage = Stage(run, "stage", Toy(seed=4), force=True)
    assert run.journal.count("stage") == 0
    assert not stage.is_complete
    Stage(run, "stage", Toy(seed=4))
    with pytest.raises(ResumeError, match="seed was 4, now 0"):
        Stage(run, "stage", Toy())


def test_a_stage_can_be_read_only_when_finished(run: RunDir) -> None:
    with pytest.raises(InputError, match="has no stage 'stage' yet"):
        stage_digest(run, "stage")
    stage = Stage(run, "stage", Toy())
    with pytest.raises(InputError, match="unfinished: run its command again"):
        stage_digest(run, "stage")
    stage.finish({})
    assert stage_digest(run, "stage") == stage.digest


def test_the_digest_covers_settings_and_everything_upstream(run: RunDir) -> None:
    digests = set()
    for seed, source in ((0, "1111"), (1, "1111"), (0, "2222")):
        stage = Stage(run, "stage", Toy(seed=seed), {"source": source}, force=True)
        stage.finish({})
        digests.add(stage.digest)
    assert len(digests) == 3
