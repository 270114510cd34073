"""Files that are either the old or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from steiner.core import StorageError


@contextmanager
def disk_errors(what: str, path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full: free some space",
            errno.EDQUOT: "your disk quota is used up: free some space",
            errno.EROFS: "the file system is read-only: choose another place",
            errno.EACCES: "permission denied: choose a place you may write to",
            errno.EPERM: "permission denied: choose a place you may write to",
            errno.ENOTDIR: "a part of the path is a file, not a directory: choose another place",
            errno.EEXIST: "a part of the path is a file, not a directory: choose another place",
        }.get(error.errno or 0, str(error))
        raise StorageError(
            f"{what} {path} cannot be written: {reason}. What was finished before is kept; "
            "run the same command again to go on."
        ) from error


@contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success flush it to the disk and rename it over `path`.

    Raises:
        StorageError: if it cannot be written; the old file stays as it was.
    """
    with disk_errors("The file", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, mode) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def _sync_directory(path: Path) -> None:
    """Make a rename durable; not every file system allows it, and then the rename is as good as it gets."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
