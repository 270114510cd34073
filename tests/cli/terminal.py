"""A command in a pseudo-terminal: what it prints, and keys for it."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

GUARD_SECONDS = 80
CTRL_C, CTRL_D = "\x03", "\x04"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A running `steiner` command whose standard streams are a terminal. Use as a context manager."""

    def __init__(self, argv: Sequence[str | Path], columns: int = 100) -> None:
        self._master, slave = pty.openpty()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.raw = ""
        """Everything so far, escape sequences included."""
        self._read = 0
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "steiner.cli.main", *map(str, argv)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    @property
    def text(self) -> str:
        """Everything so far, without escape sequences."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def until(self, wanted: str) -> str:
        """Read until `wanted` appears after what was read up to here; returns what came."""
        deadline = time.monotonic() + GUARD_SECONDS
        while (place := self.text.find(wanted, self._read)) < 0:
            if not self._more(deadline):
                raise AssertionError(f"no {wanted!r} in:\n{self.text[self._read :]}")
        begin, self._read = self._read, place + len(wanted)
        return self.text[begin : self._read]

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Read to the end; returns the exit status."""
        deadline = time.monotonic() + GUARD_SECONDS
        while self._more(deadline):
            pass
        return self.process.wait(GUARD_SECONDS)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += self._decoder.decode(data)
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)
