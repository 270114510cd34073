"""One directory per run: the journal, the stages' settings, and what training reads."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import filelock

from steiner.core import BusyError, InputError
from steiner.store.atomic import disk_errors
from steiner.store.journal import Journal


class RunDir:
    """A run directory held by this process, or open for reading.

    Use as a context manager. Writing takes a lock: a second process that wants to write is refused and told
    the first one's process id; readers are never refused.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        """Open `path`; it is created unless `read_only`.

        Raises:
            InputError: if it is to be read and does not exist.
            BusyError: if another process writes to it.
            StorageError: if it cannot be created.
        """
        self.path = Path(path)
        self._lock: filelock.FileLock | None = None
        if read_only:
            if not (self.path / "journal.sqlite").exists():
                raise InputError(f"{self.path} is no run directory: it has no journal.sqlite.")
        else:
            with disk_errors("The run directory", self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = self._acquire()
        self.journal = Journal(self.path / "journal.sqlite", read_only=read_only)

    def _acquire(self) -> filelock.FileLock:
        owner = self.path / "lock.pid"
        lock = filelock.FileLock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            who = owner.read_text().strip() if owner.exists() else "unknown"
            raise BusyError(
                f"{self.path} is in use by process {who}: wait until it has finished, or stop it and run the "
                "same command again; finished work is kept."
            ) from None
        owner.write_text(f"{os.getpid()}\n")
        return lock

    def close(self) -> None:
        """Close the journal and release the directory; idempotent."""
        self.journal.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
