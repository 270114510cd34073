"""Asking, and waiting for the page to say that something is so."""

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


def ask(page: Any, text: str = "Numbers 3 5 7, target 22") -> None:
    """Type a question and send it."""
    page.get_by_label("Question", exact=True).fill(text)
    page.keyboard.press("Enter")


def settled(page: Any, turns: int = 1) -> None:
    """Wait until so many answers are there and nothing is being written."""
    until(page, "n => document.querySelectorAll('.answer:not([hidden])').length === n", turns)
    page.wait_for_selector("body:not(.running)", state="attached")
