"""What the wheel holds besides code: shipped models."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ("model.safetensors", "config.json", "tokenizer.json", "training.json", "README.md")


def test_shipped_models_are_neither_ignored_nor_left_out_of_the_wheel():
    """hatchling packs every file of its packages but those that git ignores."""
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"] == {"packages": ["src/steiner"]}
    places = [f"src/steiner/models/any/{name}" for name in FILES]
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", *places], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, "")
