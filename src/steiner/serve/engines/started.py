"""A process for an engine, from its start to its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from contextlib import suppress

from steiner.serve.engines.frames import Job, frame

PATIENCE_SECONDS = 5.0
"""How long a process may take to end by itself."""

# A terminal and a service manager send these signals to the whole group; the asker decides what ends when.
# They are ignored before anything else is imported, which takes a while.
_PROGRAM = """
import signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
from steiner.serve.engines.child import main
main()
"""


class Started:
    """A process that was sent its job. It ends when `socket` is closed, so also with this process."""

    def __init__(self, job: Job) -> None:
        """Start it. Not a fork: this process has threads of torch and of an event loop."""
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self._finalizer = weakref.finalize(self, _end, self._process, self.socket)
        with suppress(ConnectionError):  # It has ended: whoever waits for its answer finds out.
            self.socket.sendall(frame(job))

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def end(self) -> int:
        """End it if it still runs; return its exit status, negative for a signal."""
        self._finalizer()
        return self._process.wait()


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # An event loop may hold it open still.
    connection.close()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
