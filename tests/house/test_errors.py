"""Mistakes a user can put right: one paragraph, an exit code, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.core import InputError, Settings, StorageError, parse_settings
from steiner.store import RunDir

READERS = {
    "synthesize": [],
    "graph": [],
    "sample": ["--paths", "10"],
    "dataset": ["--tokenizer", "none"],
    "evaluate": ["./no-model"],
    "tokenizer": [],
}
"""Commands that read a run directory, with what else they must be told."""


class Inner(Settings):
    learning_rate: float = 1e-3


class Outer(Settings):
    max_steps: int = 4
    optimiser: Inner = Inner()


def refused(arguments: list[str], code: int) -> str:
    """Run a command that must fail with `code` and return what it says."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one paragraph"
    assert "Traceback" not in done.output + done.stderr
    return done.stderr


@pytest.mark.parametrize("name", READERS)
def test_a_missing_run_directory(name, tmp_path):
    text = refused([name, "--run", str(tmp_path / "none"), *READERS[name]], 2)
    assert str(tmp_path / "none") in text
    assert not (tmp_path / "none").exists()


def test_a_missing_run_directory_of_a_training(tmp_path):
    config = tmp_path / "rl.toml"
    config.write_text(
        f'output = "{tmp_path / "out"}"\nrun = "{tmp_path / "none"}"\nsteps = 1\n[model]\npath = "none"\n'
    )
    assert str(tmp_path / "none") in refused(["train", "rl", "--config", str(config)], 2)
    assert list(tmp_path.iterdir()) == [config]


def test_a_missing_run_directory_to_exclude(tmp_path):
    places = [tmp_path / "new", tmp_path / "none"]
    text = refused(["problems", "hub", "x", "--run", str(places[0]), "--exclude", str(places[1])], 2)
    assert str(places[1]) in text
    assert not any(place.exists() for place in places)


@pytest.mark.parametrize("name", READERS)
def test_an_unfinished_stage_before(name, tmp_path):
    with RunDir(tmp_path / "run"):
        pass
    text = refused([name, "--run", str(tmp_path / "run"), *READERS[name]], 2)
    assert "run the command that makes it first" in text


def test_an_unwritable_run_directory(tmp_path):
    blocker = tmp_path / "file"
    blocker.touch()
    for place in (blocker / "run", Path("/proc/steiner")):
        with pytest.raises(StorageError, match="cannot be written") as caught:
            RunDir(place)
        assert caught.value.exit_code == 74


def test_an_unwritable_run_directory_on_the_command_line(tmp_path):
    (tmp_path / "file").touch()
    text = refused(["problems", "countdown", "--run", str(tmp_path / "file" / "run")], 74)
    assert "choose another place" in text


@pytest.mark.parametrize("stage", ["cpt", "sft", "rl"])
def test_a_misspelt_key_in_a_training_file(stage, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('output = "out"\n[optimiser]\nlerning_rate = 1e-3\n')
    text = refused(["train", stage, "--config", str(config)], 2)
    assert "unknown key 'optimiser.lerning_rate' (did you mean 'learning_rate'?)" in text


def test_a_run_directory_in_use(tmp_path):
    with RunDir(tmp_path / "run"):
        text = refused(["graph", "--run", str(tmp_path / "run")], 4)
    assert str(os.getpid()) in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_step": 3}, "unknown key 'max_step' (did you mean 'max_steps'?)"),
        ({"optimiser": {"lerning_rate": 1}}, "'optimiser.lerning_rate' (did you mean 'learning_rate'?)"),
        ({"zzz": 1}, "(known keys: max_steps, optimiser)"),
        ({"max_steps": "many"}, "'max_steps': "),
    ],
)
def test_a_wrong_setting_names_the_key_and_the_nearest_known_one(values, message):
    with pytest.raises(InputError) as caught:
        parse_settings(Outer, values, "run.toml")
    assert str(caught.value).startswith("run.toml: ")
    assert message in str(caught.value)


def test_an_interrupt_says_that_work_is_kept(tmp_path):
    script = (
        "import signal, sys, typer\n"
        "from steiner.cli import main\n"
        "waiting = typer.Typer()\n"
        "@waiting.command()\n"
        "def wait() -> None:\n"
        "    print('ready', flush=True)\n"
        "    signal.pause()\n"
        "main.load_command = lambda name: typer.main.get_command(waiting)\n"
        "sys.argv = ['steiner', 'graph']\n"
        "main.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Finished work is kept" in text
    assert "Traceback" not in text
