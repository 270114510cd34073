"""Headless Chromium for the chat page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import watch
from scripted_server import ScriptedServer, serving

PAGE = Path(__file__).resolve().parents[3] / "src" / "steiner" / "serve" / "page"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playwright keeps an event loop running, beside which no other test could: a process of their own."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with serving(PAGE) as running:
        yield running


@pytest.fixture
def visit(browser: Any, scripted: ScriptedServer) -> Iterator[Callable[..., Any]]:
    """Open the page in a context of its own; complaints of the page fail the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        watch(context, scripted.url, complaints)
        page = context.new_page()
        page.goto(scripted.url)
        page.wait_for_selector(".model option", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
