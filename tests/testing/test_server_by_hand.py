"""The server started by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request

import pytest

COMMAND = [sys.executable, "-m", "steiner.testing"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=60,
    )


def test_help_has_examples():
    done = run("--help")
    assert done.returncode == 0
    for words in ("python -m steiner.testing --port 8000", "--faults transport", "curl localhost:8000"):
        assert words in done.stdout
    assert "settings-from-stdin" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(number):
    arguments = ["--port", "0", "--model", "echo", "--faults", "transport", "--rate", "0"]
    for setting in ("name=mine", "refuses=seed,json_schema", "faults.storm_every_s=600"):
        arguments += ["--set", setting]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{base_url}/models", timeout=10) as reply:
            assert b'"mine"' in reply.read()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--faults", "some"], "--faults must be one of none, transport, everything"),
        (["--set", "faults.hmtl=0.1"], "did you mean 'html'?"),
        (["--set", "nonsense"], "--set takes NAME=VALUE"),
        (["--key-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE of --key-env is not set"),
        (["--model", "no.such:thing", "--port", "0"], "cannot be imported"),
        (["--model", "unknown"], "model"),
        (["--log", "/none/such/log", "--port", "0"], "choose another file"),
        (["--host", "256.0.0.1", "--port", "0"], "cannot listen"),
    ],
)
def test_mistakes_are_explained_in_a_paragraph(arguments, words):
    done = run(*arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_key_comes_from_the_environment():
    command = [*COMMAND, "--port", "0", "--key-env", "TEST_SERVER_KEY"]
    environment = os.environ | {"TEST_SERVER_KEY": "the-key"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        request = urllib.request.Request(f"{base_url}/models", headers={"Authorization": "Bearer the-key"})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                assert reply.status == 200
        finally:
            process.terminate()
