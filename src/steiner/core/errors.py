"""Errors a user can act on.

Only errors that cross a border to the user are classes of this tree; anything else propagates as it is.
The command line prints the message of a `SteinerError` as one paragraph and exits with its `exit_code`.
"""

from __future__ import annotations


class SteinerError(Exception):
    """Something the user can put right; the message says what is wrong and what to do."""

    exit_code = 1


class InputError(SteinerError):
    """A file, a setting or a model that the user gave cannot be used as it is."""

    exit_code = 2


class ResumeError(SteinerError):
    """A run directory holds work of other settings or inputs; the message names the difference."""

    exit_code = 3


class BusyError(SteinerError):
    """Another process holds the run directory; the message names its process id."""

    exit_code = 4


class StorageError(SteinerError):
    """The disk is full, the directory cannot be written, or a stored file is damaged."""

    exit_code = 74  # EX_IOERR of sysexits.h


class SteinerWarning(UserWarning):
    """Something that was survived and that the user should know."""
