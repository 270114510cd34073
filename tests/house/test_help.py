"""Every command explains itself."""

from __future__ import annotations

import importlib.util
import re

import pytest
from typer.testing import CliRunner

from steiner.cli.main import COMMANDS, app, load_command

OPTION = re.compile(r"--[a-z][a-z-]*")


def invocations() -> list[list[str]]:
    """Return the words of every command and subcommand that can be loaded; a test below names the others."""
    found = []
    for name in COMMANDS:
        if importlib.util.find_spec(COMMANDS[name][0]) is None:
            continue
        parts = getattr(load_command(name), "commands", {})
        found += [[name, part] for part in parts] or [[name]]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists(name):
    assert importlib.util.find_spec(COMMANDS[name][0]) is not None


@pytest.mark.parametrize("words", invocations(), ids=" ".join)
def test_help_has_an_example_that_names_only_known_options(words):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    usage, _, text = done.output.partition("\n")
    assert " ".join(words) in usage
    example = re.compile(rf"^\s*(?:Examples?:\s+)?steiner {' '.join(words)} .*$", re.MULTILINE)
    assert example.findall(text), f"no line of the help begins with: steiner {' '.join(words)}"
    known = set(OPTION.findall(example.sub("", text)))
    for line in example.findall(text):
        assert set(OPTION.findall(line)) <= known, line


@pytest.mark.parametrize("words", invocations(), ids=" ".join)
def test_help_offers_nothing_that_belongs_to_the_whole_program(words):
    assert "completion for the current shell" not in CliRunner().invoke(app, [*words, "--help"]).output


def test_the_list_of_commands_is_the_table():
    done = CliRunner().invoke(app, ["--help"])
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", done.output, re.MULTILINE), done.output


def test_no_command_is_help_and_an_exit_code():
    done = CliRunner().invoke(app, [])
    assert "Usage: " in done.output
    assert done.exit_code == 2


def test_a_misspelt_command_is_suggested():
    done = CliRunner().invoke(app, ["sampel"])
    assert done.exit_code == 2
    assert "Did you mean 'sample'?" in done.output


def test_version():
    from steiner import __version__

    assert CliRunner().invoke(app, ["--version"]).output == f"steiner {__version__}\n"
