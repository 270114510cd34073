"""Headless Chromium for the chat page. Debian: `apt-get install chromium`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripted_server import ScriptedServer, serving

PAGE = Path(__file__).resolve().parents[3] / "src" / "steiner" / "serve" / "page"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def chromium() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    asked = os.environ.get("STEINER_CHROMIUM")
    return asked or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playwright keeps an event loop running, beside which no other test could: a process of their own."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: install Debian's `chromium`, or set STEINER_CHROMIUM to its path")
    sync_api = pytest.importorskip("playwright.sync_api", reason="install the extra `dev`")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


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


def watch(context: Any, url: str, complaints: list[str]) -> None:
    """Note errors of the page, broken content policy, and requests to anywhere but `url`."""
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    context.on(
        "request",
        lambda request: (
            complaints.append(f"asked {request.url}") if not request.url.startswith((url, "data:")) else None
        ),
    )
