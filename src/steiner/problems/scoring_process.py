"""A child process that scores answers under a time and memory limit.

Symbolic mathematics and the scorers of other packages may take for ever on what a model writes (`9^9^9^9`).
Alarm signals work on the main thread only, and pools of processes cannot end a worker that hangs. One child
process that limits itself by CPU time, and is ended and started anew where even that does not help, works
from any thread and any process, and gives the same verdicts on a busy machine as on a quiet one.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

LOAD_SECONDS = 300.0
"""A slow disk may take long to import sympy; the limit of a request starts only afterwards."""
PATIENCE = 4.0
"""Wall-clock time allowed for each second of CPU time."""
MEMORY_BYTES = 4 << 30

Reply = dict[str, Any]
"""JSON object of the child; has the key `error` where there is no result."""


class ScoringProcess:
    """Runs `steiner.problems.scoring_child`; starts it when first needed and again after it was ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str | None] = queue.Queue()
        self._loaded: set[str] = set()
        self._pid = 0

    def call(self, kind: str, request: dict[str, Any], seconds: float) -> Reply:
        """Return the child's reply to a request of a kind (`math`, `gym`).

        Args:
            kind: what to do.
            request: its arguments, plain JSON.
            seconds: CPU time that it may take.
        """
        with self._lock:
            if self._child is None or self._pid != os.getpid() or self._child.poll() is not None:
                self._start()
            if kind not in self._loaded:
                reply = self._exchange({"kind": "load", "what": kind, "seconds": 0}, LOAD_SECONDS)
                if reply is None or "error" in reply:
                    return reply or {"error": f"the packages for '{kind}' could not be loaded"}
                self._loaded.add(kind)
            reply = self._exchange({"kind": kind, "seconds": seconds, **request}, PATIENCE * seconds)
            return reply or {"error": "out of time or memory"}

    def close(self) -> None:
        """End the child; idempotent."""
        with self._lock:
            self._stop()

    def _exchange(self, request: dict[str, Any], seconds: float) -> Reply | None:
        assert self._child is not None
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
            line = self._replies.get(timeout=seconds)
        except (queue.Empty, OSError):
            line = None
        if line is None:
            self._stop()
            return None
        reply: Reply = json.loads(line)
        return reply

    def _start(self) -> None:
        # A forked process must not talk to its parent's child.
        self._pid, self._loaded = os.getpid(), set()
        self._replies = queue.Queue()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "steiner.problems.scoring_child", str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        threading.Thread(target=_read, args=(self._child, self._replies), daemon=True).start()

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None or self._pid != os.getpid():
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _read(child: subprocess.Popen[str], replies: queue.Queue[str | None]) -> None:
    """Pass the child's lines on; None when it has ended."""
    assert child.stdout is not None
    with suppress(ValueError, OSError):
        for line in child.stdout:
            replies.put(line)
    replies.put(None)


SHARED = ScoringProcess()
"""The one that all graders of this process use."""
atexit.register(SHARED.close)
