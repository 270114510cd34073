"""Every test has the same key in its environment."""

from __future__ import annotations

import pytest
from chat_servers import KEY


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("STEINER_TEST_KEY", KEY)
