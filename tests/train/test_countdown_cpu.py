"""The recipe of the scaling curve runs with one command and goes on where it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "countdown-cpu" / "run.py"


@pytest.mark.slow
def test_the_smallest_scaling_curve(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, SCRIPT, "--size", "tiny", "--seeds", "1", "--workers", "1", "--output", out]
    subprocess.run(command, check=True)
    page = (out / "page.md").read_text()
    assert page.count("![accuracy against steps]") == 2
    assert "None of the test problems (4 of new-inputs, 4 of heldout-targets) is among the 20" in page
    assert (out / "new-inputs.svg").read_text().startswith("<svg")
    made = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(made) == 4
    subprocess.run(command, check=True)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert "minutes in 2 calls" in (out / "page.md").read_text()
