"""Waiting for the page to say that something is so."""

from __future__ import annotations

import time
from typing import Any

GUARD_SECONDS = 60


def until(page: Any, script: str, argument: Any = None) -> None:
    """Return once a function of the page gives something true.

    Playwright's own `wait_for_function` needs `eval`, which the page's content policy forbids.
    """
    deadline = time.monotonic() + GUARD_SECONDS
    while not page.evaluate(script, argument):
        assert time.monotonic() < deadline, f"never true: {script} of {argument}\n{page.inner_text('body')}"
        page.wait_for_timeout(20)
