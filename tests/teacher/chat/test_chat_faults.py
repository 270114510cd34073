"""What refusals mean and how long they ask to wait."""

from __future__ import annotations

import orjson
import pytest

from steiner.teacher.chat import Endpoint
from steiner.teacher.chat.faults import error_text, fault_of_status, retry_after

ENDPOINT = Endpoint(model="m", base_url="http://localhost/v1", key_env="SOME_KEY")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "Boo", "type": "t", "code": "c"}}, ("Boo", "t", "c")),  # OpenAI
        (
            {"object": "error", "message": "Boo", "type": "BadRequestError", "code": 400},
            ("Boo", "400"),
        ),  # vLLM
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Boo"}},
            ("Boo", "overloaded_error"),
        ),
        (
            [{"error": {"code": 400, "message": "Boo", "status": "INVALID_ARGUMENT"}}],
            ("Boo", "INVALID_ARGUMENT"),
        ),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Boo"}]}, ("body.seed: Boo",)),  # FastAPI
        ({"detail": "Boo"}, ("Boo",)),
        ({"error": "Boo"}, ("Boo",)),  # Ollama
        ({"error": {"message": "Provider", "metadata": {"raw": "Boo"}}}, ("Provider", "Boo")),  # OpenRouter
    ],
)
def test_the_words_of_an_error(body, words):
    text = error_text(orjson.dumps(body))
    assert all(word in text for word in words)


def test_the_words_of_an_error_that_is_no_json():
    assert error_text(b"<html><title>502 Bad\nGateway</title><p>x</html>") == "502 Bad Gateway"
    assert error_text(b"upstream  timed out") == "upstream timed out"
    assert error_text(b"") == ""


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (
            400,
            "This model's maximum context length is 2048 tokens. However, you requested 3000",
            "context_length",
        ),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context_length"),
        (400, "The input token count (2000) exceeds the maximum number of tokens allowed", "context_length"),
        (413, "", "context_length"),
        (429, "Request too large for gpt-4o on tokens per min (TPM)", "context_length"),
        (400, "response_format json_schema is not supported", "bad_request"),
        (422, "body.seed: Extra inputs are not permitted", "bad_request"),
        (400, "API key not valid. Please pass a valid API key.", "auth"),
        (400, "Your credit balance is too low", "auth"),
        (400, "Model Not Exist", "not_found"),
        (401, "", "auth"),
        (402, "Insufficient Balance", "auth"),
        (403, "Country not supported", "auth"),
        (403, "Your input was flagged (moderation)", "bad_request"),
        (404, "The model `m` does not exist", "not_found"),
        (307, "", "not_found"),
        (408, "", "server"),
        (429, "Rate limit reached", "rate_limit"),
        (429, "You exceeded your current quota (insufficient_quota)", "auth"),
        (500, "", "server"),
        (503, "", "server"),
        (529, "Overloaded", "server"),
    ],
)
def test_kinds_of_refusals(status, words, kind):
    assert fault_of_status(ENDPOINT, status, {}, words, 0.0).kind == kind


def test_messages_say_what_to_do():
    auth = fault_of_status(ENDPOINT, 401, {}, "no", 0.0).message
    assert "SOME_KEY" in auth
    missing = fault_of_status(ENDPOINT, 404, {}, "no", 0.0).message
    assert "'m'" in missing
    assert "http://localhost/v1" in missing
    moved = fault_of_status(ENDPOINT, 301, {"Location": "https://new/v1"}, "", 0.0).message
    assert "https://new/v1" in moved
    assert fault_of_status(ENDPOINT, 400, {}, "response_format type json_schema", 0.0).structured
    assert not fault_of_status(ENDPOINT, 400, {}, "bad seed", 0.0).structured
    assert len(fault_of_status(ENDPOINT, 500, {}, "x" * 10_000, 0.0).message) < 600


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT", "Date": "Thu, 01 Jan 1970 00:00:57 GMT"}, 3.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e9"}, 86_400.0),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert retry_after(headers, 10.0) == seconds
