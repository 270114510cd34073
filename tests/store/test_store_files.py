from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steiner.core import BusyError, InputError, StorageError
from steiner.store import RunDir, atomic_write, disk_errors


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_and_its_folders_appear(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file.json"]


def test_a_failure_of_the_writer_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the new")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], full)
    expected = pytest.raises(StorageError, match=r"the disk is full: free some space.*same command again")
    with expected, atomic_write(path) as file:
        file.write(b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_the_systems_own_full_disk_is_understood() -> None:
    path = Path("/dev/full")
    expected = pytest.raises(StorageError, match="the disk is full")
    with expected, disk_errors("The file", path), path.open("wb", buffering=0) as file:
        file.write(b"x")


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    expected = pytest.raises(StorageError, match="not a directory")
    with expected, atomic_write(tmp_path / "file" / "inner") as file:
        file.write(b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_forbidden_folder_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied"), RunDir(tmp_path / "run"):
        pass
    tmp_path.chmod(0o700)


HOLD = """
import sys
from steiner.store import RunDir
with RunDir(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds `tmp_path / "run"` until its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_a_second_writer_is_refused_with_the_firsts_process_id(
    tmp_path: Path, held: subprocess.Popen[str]
) -> None:
    with pytest.raises(BusyError, match=rf"in use by process {held.pid}:.*finished work is kept"):
        RunDir(tmp_path / "run")
    with RunDir(tmp_path / "run", read_only=True) as run:
        assert run.journal.stage("problems") is None


def test_a_killed_writer_leaves_no_lock_behind(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait()
    with RunDir(tmp_path / "run"):
        assert (tmp_path / "run" / "lock.pid").read_text().strip() == str(os.getpid())


def test_only_a_run_directory_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run directory"):
        RunDir(tmp_path, read_only=True)
    with pytest.raises(InputError, match=r"is no run directory"):
        RunDir(tmp_path / "missing", read_only=True)
    assert not (tmp_path / "missing").exists()
