"""An event loop whose time jumps: where all tasks wait, the clock goes on to the next timer at once.

Sockets work as usual. So a test of minutes between a client and a server in one loop takes milliseconds, and
the times that it measures do not depend on the machine.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
GRACE_S = 0.004
"""Real seconds in which a byte on its way through a local socket must arrive before the clock jumps."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets only for a moment; then the time that was to be waited is over."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is None else min(timeout, 0))
        if ready or timeout == 0:
            return ready
        if timeout is None:  # nothing but sockets can wake the loop
            return super().select(None)
        ready = super().select(min(timeout, GRACE_S))
        if not ready and timeout > 0:
            self.skipped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds that were waited so far; work takes no time."""
        return self._jumping.skipped


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a `VirtualLoop`; `asyncio.get_running_loop().time` is its clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
