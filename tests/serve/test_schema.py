"""The OpenAPI description against the running server: schemathesis makes requests from it, good and bad.

The same requests in every run. `test_command` makes many more of them, in all phases of the tool.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tiny_server import running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LIMITS = {"default_new_tokens": 32, "new_tokens": 64, "choices": 2}
PATHS = [
    "GET /health",
    "GET /metrics",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
]


@pytest.fixture(scope="module")
def address(model, tokenizer):
    with running(model, tokenizer, limits=LIMITS) as found:
        yield found


@pytest.fixture(scope="module")
def operations(address):
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    return {(one := result.ok()).label: one for result in schema.get_all_operations()}


def test_every_endpoint_is_described(operations):
    assert sorted(operations) == PATHS


GOOD, BAD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.mark.parametrize(
    ("path", "mode"),
    [*((path, GOOD) for path in PATHS), *((path, BAD) for path in PATHS if path.startswith("POST"))],
)
def test_no_request_breaks_it(operations, path, mode):
    operation = operations[path]

    @settings(
        max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = "tiny"  # Otherwise nearly all would be 404s.
        case.call_and_validate(checks=CHECKS, timeout=30)

    ask()


@pytest.mark.slow
def test_command(address, tmp_path):
    checks = ",".join(check.__name__ for check in CHECKS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
            *("--checks", checks, "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "60", "--seed", "1", "--generation-deterministic", "--continue-on-failure"),
            *("--request-timeout", "30", "--no-color", "--suppress-health-check", "all"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
