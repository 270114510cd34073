from __future__ import annotations

import pickle

import pytest
from chat_servers import request
from pydantic import ValidationError

from steiner.core import InputError, parse_settings
from steiner.teacher.chat import ChatFailure, Endpoint, FailureKind, Usage, request_key
from steiner.teacher.chat.keys import REDACTED, Redactor, is_private, read_key


def test_the_key_of_a_request_is_all_that_determines_the_reply():
    endpoint = Endpoint(model="m")
    schema = {"type": "object"}
    requests = [
        request(),
        request("other"),
        request(draw=1),
        request(seed=1),
        request(temperature=0.5),
        request(top_p=0.5),
        request(response_schema=schema),
        request(response_schema=schema, schema_name="x"),
        request().model_copy(update={"max_tokens": 101}),
    ]
    endpoints = [
        endpoint,
        Endpoint(model="n"),
        Endpoint(model="m", base_url="http://localhost/v1"),
        Endpoint(model="m", structured="none"),
        Endpoint(model="m", extra_body={"top_k": 1}),
    ]
    keys = [request_key(endpoint, item) for item in requests] + [
        request_key(item, request()) for item in endpoints[1:]
    ]
    assert len(set(keys)) == len(keys)
    same = Endpoint(model="m", base_url="https://api.openai.com/v1/", key_env="OTHER", stream=True)
    assert request_key(same, request().model_copy(update={"kind": "resolve"})) == keys[0]


def test_the_key_does_not_depend_on_the_order_of_names_and_takes_any_text():
    one = request("\ud800", response_schema={"a": 1, "b": 2**70})
    two = request("\ud800", response_schema={"b": 2**70, "a": 1})
    assert request_key(Endpoint(model="m"), one) == request_key(Endpoint(model="m"), two)


@pytest.mark.parametrize(
    "bad",
    [
        {"base_url": "api.openai.com/v1"},
        {"base_url": "http://a..b/v1"},
        {"base_url": "http://localhost:99999/v1"},
        {"base_url": "http://[::1/v1"},
        {"base_url": "http://exa mple/v1"},
        {"base_url": "https://user:secret123@host/v1"},
        {"base_url": "https://host/v1?key=secret123"},
        {"base_url": "https://host/v1/chat/completions"},
        {"key_env": "sk-secret123"},
        {"key_env": "gsk_secret123"},
        {"extra_body": {"api_key": "secret123"}},
        {"extra_body": {"messages": []}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused_without_an_echo(bad):
    with pytest.raises(InputError) as caught:
        parse_settings(Endpoint, {"model": "m", **bad}, "x.toml")
    assert "secret123" not in str(caught.value)
    with pytest.raises(ValidationError) as whole:
        Endpoint(model="m", **bad)
    assert "secret123" not in str(whole.value)


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://[::1]:80/v1", True),
        ("http://192.168.1.5/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://node.internal/v1", True),
        ("https://api.openai.com/v1", False),
        ("https://8.8.8.8/v1", False),
    ],
)
def test_only_public_addresses_need_a_key(url, private):
    assert is_private(url) is private
    endpoint = Endpoint(model="m", base_url=url, key_env="SOME_KEY")
    assert read_key(endpoint, {"SOME_KEY": " abc\n"}) == "abc"
    if private:
        assert read_key(endpoint, {}) == ""
    else:
        with pytest.raises(InputError, match="SOME_KEY"):
            read_key(endpoint, {})


def test_a_key_with_a_line_break_inside_is_refused_without_an_echo():
    with pytest.raises(InputError) as caught:
        read_key(Endpoint(model="m", key_env="SOME_KEY"), {"SOME_KEY": "abcdef\r\nHost: evil"})
    assert "abcdef" not in str(caught.value)


def test_redaction_takes_the_key_its_pieces_and_masked_keys():
    key = "Zq8vNn31xTtWw07LmPp55"
    redactor = Redactor(key)
    for echo in (key, f"Bearer {key}", key[:12], key[5:15], f"'{key}'", key[:8] + "…" + key[-8:]):
        text = redactor.message(f"Incorrect key provided: {echo} is wrong")
        assert REDACTED in text
        assert text.startswith("Incorrect key provided")
        assert text.endswith("is wrong")
        assert not any(key[i : i + 8] in text for i in range(len(key) - 7))
    assert "abcd" not in redactor.message("Incorrect API key provided: sk-abcd********wxyz.")
    assert redactor.message("nothing to hide") == "nothing to hide"
    assert key not in repr(redactor)
    assert Redactor("").message("a b") == Redactor("x").exact("a b") == "a b"


def test_a_failure_survives_pickling():
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    copy = pickle.loads(pickle.dumps(ChatFailure(FailureKind.AUTH, "no", 3, usage)))
    assert (copy.kind, copy.message, copy.tries, copy.usage) == (FailureKind.AUTH, "no", 3, usage)
    assert copy.stops_run
    assert not ChatFailure(FailureKind.SERVER, "no").stops_run
