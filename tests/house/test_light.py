"""Importing the package and asking for help load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "numpy", "pandas", "pyarrow", "sklearn", "scipy", "datasets", "trl"}

HELP = """
import contextlib, io
from steiner.cli.main import app
for arguments in {arguments!r}:
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        app(arguments)
    assert "Usage" in text.getvalue(), text.getvalue()
"""


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running `code`."""
    script = (
        code + "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import steiner",
        "import steiner.core",
        "import steiner.protocol",
        "import steiner.dataset",
        "import steiner.cli.main",
        HELP.format(arguments=[["--help"]]),
    ],
    ids=["steiner", "core", "protocol", "dataset", "cli", "help"],
)
def test_loads_nothing_heavy(code):
    assert not loaded_by(code) & HEAVY


def test_help_does_not_even_load_pydantic():
    assert not loaded_by(HELP.format(arguments=[["--help"]])) & {"pydantic", "rich"}


def test_help_of_every_command_loads_nothing_heavy():
    from steiner.cli.main import COMMANDS

    assert not loaded_by(HELP.format(arguments=[[name, "--help"] for name in COMMANDS])) & HEAVY
