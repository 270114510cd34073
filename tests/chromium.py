"""Headless Chromium for the tests of pages. Debian: `apt-get install chromium`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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


def launched() -> Iterator[Any]:
    """Yield a running browser; skip where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: install Debian's `chromium`, or set STEINER_CHROMIUM to its path")
    sync_api = pytest.importorskip("playwright.sync_api", reason="install the extra `dev`")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


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
