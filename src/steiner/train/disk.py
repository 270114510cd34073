"""A checkpoint that cannot be written is one error, whichever library was writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from steiner.core import StorageError
from steiner.store import disk_errors

_TORCH_WRITER = ("PytorchStreamWriter", "inline_container")
"""What torch's RuntimeError says when a file cannot be written."""


@contextmanager
def checkpoint_errors(path: Path, what: str = "The checkpoint in") -> Iterator[None]:
    """Turn what torch, safetensors and the system raise on a failed write into a `StorageError`.

    What was half written has no mark of a whole checkpoint, so the next call removes it and goes on from the
    one before.

    Args:
        path: what is written.
        what: begins the message, before the path.
    """
    try:
        with disk_errors(what, path):
            yield
    except SafetensorError as error:
        raise _failed(what, path, error) from error
    except RuntimeError as error:
        if not any(name in str(error) for name in _TORCH_WRITER):
            raise
        raise _failed(what, path, error) from error


def _failed(what: str, path: Path, error: Exception) -> StorageError:
    first = str(error).strip().split("\n")[0][:200]
    return StorageError(
        f"{what} {path} cannot be written, most likely because the disk is full ({first}). The last whole "
        "checkpoint is kept: free some space and run the same command again to go on from it."
    )
