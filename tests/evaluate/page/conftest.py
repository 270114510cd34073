"""Headless Chromium for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import watch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playwright keeps an event loop running, beside which no other test could: a process of their own."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a page from a file, as a reader does; whatever it complains of or asks for fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(html: str, fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        watch(context, path.as_uri(), complaints)
        page = context.new_page()
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
