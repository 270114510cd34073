"""Request bodies, whole replies and streams."""

from __future__ import annotations

import json

import orjson
import pytest
from chat_servers import USAGE_EVENT, delta, events, reply_value, request
from hypothesis import example, given
from hypothesis import strategies as st

from steiner.teacher.chat import Endpoint, FailureKind, Finish, Usage
from steiner.teacher.chat.faults import Fault
from steiner.teacher.chat.sse import SseParser
from steiner.teacher.chat.wire import (
    Content,
    StreamReader,
    estimate_tokens,
    parse_reply,
    request_body,
    split_thinking,
)

ENDPOINT = Endpoint(model="m", base_url="http://localhost/v1", key_env="SOME_KEY")


def parsed(value) -> Content | Fault:
    return parse_reply(orjson.dumps(value))


# Requests


def test_a_request_holds_what_was_asked_and_nothing_else():
    endpoint = Endpoint(model="m", max_tokens_name="max_completion_tokens", extra_body={"top_k": 5})
    asked = request(temperature=0.5, seed=3, draw=9, schema_name="s", response_schema={"type": "object"})
    body = orjson.loads(request_body(endpoint, asked, "json_schema"))
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "How much is 6 * 7?"}],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "seed": 3,
        "top_k": 5,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    body = orjson.loads(request_body(endpoint, asked, "json_object"))
    assert body["response_format"] == {"type": "json_object"}
    assert "response_format" not in orjson.loads(request_body(endpoint, asked, "none"))
    assert "response_format" not in orjson.loads(request_body(endpoint, request(), "json_schema"))


def test_a_request_with_half_a_character_is_still_json():
    body = request_body(ENDPOINT, request("a\ud83d"), "none")
    assert json.loads(body)["messages"][0]["content"] == "a\ud83d"


# Whole replies


def test_a_plain_reply():
    assert parsed(reply_value()) == Content(
        "42", "", Finish.STOP, Usage(prompt_tokens=11, completion_tokens=7), "m-1"
    )


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("stop", Finish.STOP),
        ("length", Finish.LENGTH),
        ("MAX_TOKENS", Finish.LENGTH),
        ("content_filter", Finish.FILTER),
        ("SAFETY", Finish.FILTER),
        ("tool_calls", Finish.OTHER),
        (None, Finish.OTHER),
        (7, Finish.OTHER),
    ],
)
def test_why_the_endpoint_stopped(finish, expected):
    content = parsed(reply_value(finish=finish))
    assert isinstance(content, Content)
    assert content.finish is expected


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"text": "42", "reasoning_content": "6*7"}, "42", "6*7"),
        ({"text": "42", "reasoning": "6*7"}, "42", "6*7"),
        ({"text": "\n<think>\n6*7\n</think>\n\n42"}, "42", "6*7"),
        ({"text": "6*7\n</think>\n\n42"}, "42", "6*7"),
        ({"text": "a <think>b</think> c"}, "a <think>b</think> c", ""),
        ({"text": '{"a": "</think>"}'}, '{"a": "</think>"}', ""),
        ({"text": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]}, "42", ""),
        ({"text": [{"type": "thinking", "thinking": [{"type": "text", "text": "6*7"}]}, "42"]}, "42", "6*7"),
        ({"text": ""}, "", ""),
    ],
)
def test_reasoning_and_parts(message, text, reasoning):
    content = parsed(reply_value(**message))
    assert isinstance(content, Content)
    assert (content.text, content.reasoning) == (text, reasoning)


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_thinking_that_is_never_closed_is_no_answer(finish):
    content = parsed(reply_value("<think>6 * 7 is", finish))
    assert isinstance(content, Content)
    assert (content.text, content.reasoning) == ("", "6 * 7 is")


@given(st.text(alphabet="a<think>/ {\n", max_size=40))
def test_nothing_is_lost_or_invented_in_splitting_thinking(text):
    thought, rest = split_thinking(text)
    assert thought in text
    assert rest in text
    if "<think>" not in text and "</think>" not in text:
        assert (thought, rest) == ("", text)


def test_no_content_is_told_apart_by_why():
    cut = parsed(reply_value(None, "length", reasoning_content="hm"))
    assert isinstance(cut, Content)
    assert (cut.text, cut.reasoning, cut.finish) == ("", "hm", Finish.LENGTH)
    assert parsed(reply_value(None, "content_filter")).finish is Finish.FILTER
    refused = parsed(reply_value(None, "stop", refusal="I cannot"))
    assert isinstance(refused, Content)
    assert (refused.text, refused.finish) == ("I cannot", Finish.REFUSAL)
    for finish in ("stop", None):
        fault = parsed(reply_value(None, finish))
        assert isinstance(fault, Fault)
        assert fault.kind is FailureKind.BAD_REPLY
        assert fault.usage == Usage(prompt_tokens=11, completion_tokens=7)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><head><title>Welcome</title></head></html>",
        b'{"choices": [{"mess',
        b"[]",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_reply(body):
    fault = parse_reply(body)
    assert isinstance(fault, Fault)
    assert fault.kind is FailureKind.BAD_REPLY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "usage",
                    "error",
                    "delta",
                    "finish_reason",
                    "prompt_tokens",
                    "type",
                    "text",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON)
@example({"choices": True})
def test_any_json_gives_content_or_a_fault(value):
    for body in (value, {"choices": [value]}, {"choices": [{"message": value}], "usage": value}):
        assert isinstance(parsed(body), Content | Fault)
    reader = StreamReader()
    reader.feed(events(value, {"choices": [{"delta": value}]}, {"choices": value, "usage": value}))
    assert isinstance(reader.close(), Content | Fault)


def test_an_error_in_the_body_of_a_200():
    fault = parsed({"error": {"message": "upstream died", "code": 502}})
    assert isinstance(fault, Fault)
    assert fault.kind is FailureKind.SERVER
    assert "upstream died" in fault.message
    assert parsed({"error": {"message": "slow down", "code": 429}}).kind is FailureKind.RATE_LIMIT


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, (3, 4, 0, 0)),
        ({"prompt_tokens": 3, "total_tokens": 9}, (3, 6, 0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 9}, (3, 6, 0, 0)),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "completion_tokens_details": {"reasoning_tokens": 2},
                "prompt_tokens_details": {"cached_tokens": 1},
            },
            (3, 4, 2, 1),
        ),
        ({"prompt_tokens": 3}, None),
        ({"prompt_tokens": "3", "completion_tokens": 4}, None),
        ({"prompt_tokens": -3, "completion_tokens": 4}, None),
        (None, None),
    ],
)
def test_usage(usage, expected):
    content = parsed(reply_value() | {"usage": usage})
    assert isinstance(content, Content)
    if expected is None:
        assert content.usage is None
    else:
        assert content.usage is not None
        counts = content.usage
        assert (
            counts.prompt_tokens,
            counts.completion_tokens,
            counts.reasoning_tokens,
            counts.cached_tokens,
        ) == expected


def test_estimates_are_generous():
    assert estimate_tokens("") == 0
    assert estimate_tokens("How much is six times seven?") >= 7
    assert estimate_tokens("六乘以七等于多少") >= 6


# Streams

EVENT = st.lists(st.text(alphabet="ab: é汉", max_size=6), min_size=1, max_size=3).map("\n".join)


@given(st.lists(EVENT, max_size=5), st.sampled_from(["\n", "\r", "\r\n"]), st.data())
def test_events_are_the_same_however_the_bytes_are_cut(items, end, data):
    text = "\ufeff: a comment" + end
    for item in items:
        for line in item.split("\n"):
            text += f"event: x{end}data: {line}{end}"
        text += end
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    parser = SseParser()
    found: list[bytes] = []
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += parser.feed(raw[start:stop])
    assert [item.decode() for item in found + parser.close()] == items


@given(st.data())
def test_a_stream_is_the_same_however_it_is_cut(data):
    raw = b": hello\n\n" + events(
        delta(role="assistant", content=""),
        delta(reasoning_content="6 "),
        delta(reasoning_content="* 7"),
        delta(content="4"),
        delta(content="2 é汉"),
        delta(finish="stop"),
        USAGE_EVENT,
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    reader = StreamReader()
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        reader.feed(raw[start:stop])
    assert reader.done
    usage = Usage(prompt_tokens=11, completion_tokens=7)
    assert reader.close() == Content("42 é汉", "6 * 7", Finish.STOP, usage, "m-1")


@given(st.integers(min_value=0))
def test_a_stream_that_breaks_off_is_never_whole(cut):
    raw = events(delta(content="4"), delta(content="2"), delta(finish="stop"), USAGE_EVENT)
    whole = len(events(delta(content="4"), delta(content="2"), done=False))
    reader = StreamReader()
    reader.feed(raw[: cut % whole])
    fault = reader.close()
    assert isinstance(fault, Fault)
    assert fault.kind is FailureKind.CONNECTION


def test_the_end_of_a_stream_may_lack_its_blank_line_or_the_end_its_word():
    for raw in (
        events(delta(content="42", finish="stop"), done=False) + b"data: [DONE]",
        events(delta(content="42", finish="stop"), done=False),
    ):
        reader = StreamReader()
        reader.feed(raw)
        content = reader.close()
        assert isinstance(content, Content)
        assert (content.text, content.finish) == ("42", Finish.STOP)


def test_a_stream_with_an_error_event_or_garbage():
    reader = StreamReader()
    reader.feed(events(delta(content="4"), {"error": {"message": "engine died", "code": 500}}))
    fault = reader.close()
    assert isinstance(fault, Fault)
    assert fault.kind is FailureKind.SERVER
    assert "engine died" in fault.message
    reader = StreamReader()
    reader.feed(b"data: {nonsense\n\n" + events(delta(content="42", finish="stop")))
    fault = reader.close()
    assert isinstance(fault, Fault)
    assert fault.kind is FailureKind.BAD_REPLY
