"""The engine `ray` on a Ray of two workers: the same results, journals and files as processes of its own."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from pydantic import TypeAdapter

from steiner.core import InputError, Problem, Settings, Trace
from steiner.graph import SampleSettings
from steiner.graph.path_stage import make_paths
from steiner.graph.stage import Clustering, GraphSettings, _Build, make_graphs
from steiner.problems.countdown import CountdownSettings, generate
from steiner.store import Beside, RunDir, Stage, StoredRecord, Workers, map_bounded, read_beside, run_stage
from steiner.store import ray_engine as module
from steiner.store.ray_engine import RayEngine
from steiner.synthesis import SynthesisSettings, synthesise
from steiner.teacher import make_teacher

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from killing import folder_content, journal_content, steiner, stored

QUESTIONS = 60
SMALL = CountdownSettings(count=3, high=9, target_low=1, target_high=60, max_result=60)
_TRACES = TypeAdapter(list[Trace])


def need_ray() -> Any:
    pytest.importorskip("ray.data", reason="the engine ray needs ray[data], which is not installed")
    return pytest.importorskip("ray")


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    """Start Ray once for all tests: that takes 5 to 20 seconds, which is why they are marked as slow."""
    ray = need_ray()
    yield RayEngine(2)
    ray.shutdown()


def is_right(problem: Problem, answer: str) -> bool:
    expression = answer.partition("=")[0]
    return bool(expression) and eval(expression) == problem.facts["target"]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with traces; to be copied."""
    path = tmp_path_factory.mktemp("traced") / "run"
    teacher = make_teacher("countdown")
    with RunDir(path) as run:
        problems = Stage(run, "problems", Settings())
        traces = Stage(run, "traces", Settings(), {"problems": "x"})
        for i, problem in enumerate(generate(SMALL, QUESTIONS)):
            written = synthesise(problem, teacher, is_right, SynthesisSettings(), Random(problem.id))
            problems.put([StoredRecord(problem.id, i, problem.model_dump_json().encode())])
            traces.put([StoredRecord(problem.id, i, _TRACES.dump_json(written))])
        problems.finish({})
        traces.finish({})
    return path


@pytest.fixture
def copies(traced: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return two copies of the run with traces."""
    return shutil.copytree(traced, tmp_path / "one"), shutil.copytree(traced, tmp_path / "two")


_loads = 0


def load_model(size: int) -> None:
    global _loads
    _loads += 1


def loads_here(number: int) -> tuple[int, int, int]:
    time.sleep(0.002)
    return number, os.getpid(), _loads


def fail_at_20(number: int) -> int:
    if number == 20:
        raise InputError("twenty is no good")
    return number


class NeedsTwoError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def fail_badly(number: int) -> int:
    raise NeedsTwoError("this", "cannot travel")


def die_once(marks: Path, number: int) -> int:
    """Kill the worker, as `kill -9` does it, the first time some of the numbers are met."""
    mark = marks / str(number)
    if number in (7, 40, 41) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def identity(value: Any) -> Any:
    return value


def problem_beside(record: StoredRecord) -> bytes:
    return read_beside("problems", record.key)


class DieOnce:
    """Picklable: does the work of a stage, and kills the worker the first time certain records are met."""

    def __init__(self, work: Callable[[StoredRecord], bytes | None], marks: Path) -> None:
        self._work = work
        self._marks = marks

    def __call__(self, record: StoredRecord) -> bytes | None:
        mark = self._marks / record.key
        if record.ordinal in (3, 30) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._work(record)


@pytest.mark.slow
def test_results_come_in_order_through_many_waves(engine: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAVE_BLOCKS", 4)
    monkeypatch.setattr(module, "BLOCK_ITEMS", 5)
    found = list(
        map_bounded(loads_here, range(100), engine, initializer=load_model, initargs=(1,))
    )  # 20 blocks, 8 a wave
    assert [number for number, _, _ in found] == list(range(100))
    pids = {pid for _, pid, _ in found}
    assert os.getpid() not in pids
    assert {loads for _, _, loads in found} == {1}  # once in each process, not in each wave or block


@pytest.mark.slow
def test_values_arrive_as_they_left(engine: RayEngine) -> None:
    values = [10**40, b"\x00bytes", (1, (2,)), None, "", StoredRecord("k", 1, b"{}"), {"a": {1, 2}}, 1.5]
    assert list(map_bounded(identity, values, engine)) == values
    assert list(map_bounded(identity, [], engine)) == []


@pytest.mark.slow
def test_the_stream_is_read_one_wave_ahead(engine: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAVE_BLOCKS", 2)
    monkeypatch.setattr(module, "BLOCK_ITEMS", 5)
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_bounded(identity, source(), engine)
    assert next(results) == 0
    assert len(taken) == 20  # two blocks of five for each of two workers
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == 20


def test_large_items_make_small_waves() -> None:
    blocks = list(module._blocks(module._Parcel(bytes(100_000), None) for _ in range(9)))
    assert len(blocks) == 3
    waves = module._waves(iter([bytes(module.WAVE_BYTES)] * 5), slots=2)
    assert [len(wave) for wave in waves] == [2, 2, 1]


@pytest.mark.slow
def test_an_error_comes_out_after_the_results_before_it(engine: RayEngine) -> None:
    results = map_bounded(fail_at_20, range(1000), engine)
    assert [next(results) for _ in range(20)] == list(range(20))
    with pytest.raises(InputError, match="twenty is no good"):
        next(results)


@pytest.mark.slow
def test_an_error_that_cannot_travel_is_told(engine: RayEngine) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)fail_badly.*NeedsTwoError: this"):
        list(map_bounded(fail_badly, [1], engine))


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(engine: RayEngine, tmp_path: Path) -> None:
    results = list(map_bounded(partial(die_once, tmp_path), range(100), engine))
    assert results == [number**2 for number in range(100)]
    assert {path.name for path in tmp_path.iterdir()} == {"7", "40", "41"}


@pytest.mark.slow
def test_what_is_read_beside_travels_along(engine: RayEngine, copies: tuple[Path, Path]) -> None:
    moved = copies[0] / "journal.sqlite"
    with RunDir(copies[1], read_only=True) as run:
        records = list(run.journal.records("traces"))
        wanted = [record.body for record in run.journal.records("problems")]
        results = map_bounded(problem_beside, records, engine, beside=Beside(moved, ("problems",)))
        assert list(results) == wanted
        with pytest.raises(InputError, match="no record"):
            list(map_bounded(problem_beside, records, engine, beside=Beside(moved, ())))


def make_run(path: Path, workers: Workers, tokenizer: str) -> None:
    from steiner.dataset import DatasetSettings
    from steiner.dataset.write import write_dataset

    with RunDir(path) as run:
        make_graphs(run, GraphSettings(), workers=workers)
        make_paths(run, SampleSettings(paths=5 * QUESTIONS), workers=workers)
        settings = DatasetSettings(tokenizer=tokenizer, questions_per_file=20, validation_share=0.1)
        write_dataset(run, settings, workers=workers)


@pytest.mark.slow
def test_journal_and_files_are_the_same_as_those_of_processes(
    engine: RayEngine, copies: tuple[Path, Path], tmp_path: Path
) -> None:
    from steiner.dataset.tokenizer import train_tokenizer

    words = ["From 3 5 7 , left 7 8 go on dead end back target 21 got 15 off by 6 3 + 5 = 8"]
    train_tokenizer(words, vocab_size=512, numbers_to=99).save_pretrained(tmp_path / "tokenizer")
    make_run(copies[0], 1, str(tmp_path / "tokenizer"))
    make_run(copies[1], engine, str(tmp_path / "tokenizer"))
    assert journal_content(copies[0]) == journal_content(copies[1])
    files = folder_content(copies[0] / "dataset")
    assert sum(name.endswith(".parquet") for name in files) >= 3
    assert files == folder_content(copies[1] / "dataset")


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [Clustering.STATE, Clustering.TEXT])
def test_a_stage_with_killed_workers_gives_the_same_journal(
    engine: RayEngine, copies: tuple[Path, Path], tmp_path: Path, cluster: Clustering
) -> None:
    """`text` embeds and clusters; Countdown steps have states, too."""
    marks = tmp_path / "marks"
    marks.mkdir()
    settings = GraphSettings(cluster=cluster)
    build = _Build(settings, None)
    for path, work, workers in ((copies[0], build, 1), (copies[1], DieOnce(build, marks), engine)):
        with RunDir(path) as run:
            stage = Stage(run, "graphs", settings, {"traces": "x"})
            beside = Beside(run.journal.path, ("problems",))
            run_stage(stage, "traces", work, workers=workers, beside=beside)
            stage.finish({})
    assert len(list(marks.iterdir())) == 2
    assert journal_content(copies[0]) == journal_content(copies[1])


def test_no_model_travels_with_a_task() -> None:
    """What a process of the local engine is sent with each record is the settings and the record."""
    assert len(pickle.dumps(_Build(GraphSettings(), None))) < 2000
    found = list(map_bounded(loads_here, range(200), 2, initializer=load_model, initargs=(1,)))
    assert {loads for _, _, loads in found} == {1}


def test_an_unknown_engine_is_refused(copies: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "steiner.cli.main", "graph", "--run", str(copies[0])]
    found = subprocess.run([*command, "--engine", "spark"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "no engine 'spark'" in found.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "nonsense"])
def test_a_cluster_that_cannot_be_reached_is_refused(address: str) -> None:
    need_ray()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody listens there once it is closed
    with pytest.raises(InputError, match="--ray-address"):
        module._join(address.format(port=port), 2)  # the engine would take the Ray of the tests before


def test_a_missing_ray_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(InputError, match=r"install steiner\[ray\]"):
        RayEngine(2)


@pytest.mark.slow
def test_the_command_is_quiet_and_goes_on_after_a_kill(copies: tuple[Path, Path]) -> None:
    need_ray()
    local, path = copies
    steiner("graph", "--run", local, "--workers", "1", "--cluster", "text")
    argv = ("graph", "--run", str(path), "--workers", "2", "--cluster", "text", "--engine", "ray")
    command = [sys.executable, "-m", "steiner.cli.main", *argv]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not stored(path, "graphs"):
            time.sleep(0.005)
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=240)  # Ray's agents look for its head for a minute
    assert not alive  # Ray ends with the command that started it
    again = steiner(*argv)
    assert journal_content(local) == journal_content(path)
    assert "ray" not in (again.stdout + again.stderr).lower()
