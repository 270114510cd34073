"""Fixtures that all rooms share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A run in the background (`make test &` in a script) ignores Ctrl-C, and so would the programs under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A test run gives the same verdict on the same code; `make fuzz` looks for new counterexamples.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("STEINER_HYPOTHESIS", "same"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real public data files; tests that need it skip where it is missing."""
    folder = Path(os.environ.get("STEINER_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data files at {folder}; set STEINER_SHARED_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return one headless Chromium for the pages of all rooms; it cannot be started twice in a process."""
    from chromium import launched

    yield from launched()
