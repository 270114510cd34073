"""A real server with a real model, for the tests that are marked `vllm`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vllm_server import VllmServer, vllm_server

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))  # its tiny runs
BUILT = Path(__file__).resolve().parents[2] / ".vllm"
"""What `make vllm-env` makes."""


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """Return the interpreter that runs vLLM; skip where there is none."""
    return _found("STEINER_VLLM_PYTHON", BUILT / "bin" / "python")


@pytest.fixture(scope="session")
def vllm(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """Start the server once for all tests; skip them where vLLM or the model is missing."""
    model = _found("STEINER_VLLM_MODEL", BUILT / "smollm2")
    with vllm_server(vllm_python, model, tmp_path_factory.mktemp("vllm") / "server.log") as server:
        yield server


def _found(variable: str, default: Path) -> Path:
    """Return the path that a variable names; what somebody names must be there."""
    named = os.environ.get(variable)
    path = Path(named or default)
    if named and not path.exists():
        pytest.fail(f"{variable} is {path}, and there is no such file")
    if not path.exists():
        pytest.skip(f"no {path}: `make vllm-env` makes it, or set {variable}")
    return path
