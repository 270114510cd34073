"""The borders between rooms: the table of docs/design.md, as contracts, against the code."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.parent.name for path in (ROOT / "src" / "steiner").glob("*/__init__.py"))


def table() -> dict[str, str]:
    """Return the last column of the table of rooms, by room."""
    text = (ROOT / "docs" / "design.md").read_text()
    return {row[0]: row[1] for row in re.findall(r"^\| `(\w+)/` \|.*\| ([^|]*) \|$", text, re.MULTILINE)}


def test_every_room_is_in_the_table():
    assert sorted(table()) == ROOMS


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "cli"])
def test_the_contracts_are_the_table(room):
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    contract = config[f"importlinter:contract:{room}"]
    assert contract["source_modules"].strip() == f"steiner.{room}"
    allowed = set(re.findall(r"\w+", table()[room])) & set(ROOMS)
    forbidden = {name.removeprefix("steiner.") for name in contract["forbidden_modules"].split()}
    assert forbidden == set(ROOMS) - allowed - {room}


def test_the_code_keeps_the_contracts(capsys):
    status = lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True)
    assert status == 0, capsys.readouterr().out
