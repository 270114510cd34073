"""Each fault as a client sees it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from bare_client import Got, chat, post

from steiner.testing import (
    CONTENT_FAULTS,
    HARMLESS_FAULTS,
    EchoModel,
    Fault,
    Faults,
    FaultyServer,
    ServerStats,
)

TEXT = json.dumps({"steps": [{"name": "a" * 300}], "answer": "5"})
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def meet(fault: Fault, streamed: bool, **settings: Any) -> tuple[list[Got], ServerStats]:
    """Send the same request twice to a server whose first reply meets the fault."""
    faults = Faults.only(fault, max_faults_per_request=1, retry_after_s=0.25, drip_s=0.2, **settings)

    async def run() -> tuple[list[Got], ServerStats]:
        async with FaultyServer(EchoModel(), faults) as server:
            body = chat(TEXT, **(STREAM if streamed else {}))
            return [await post(server, body) for _ in range(2)], server.stats(by_body=True)

    return asyncio.run(run())


def content(got: Got) -> str | None:
    """Return what a reply says, streamed or not."""
    if "event-stream" not in got.headers["Content-Type"]:
        return got.choice["message"]["content"]
    deltas = [json.loads(event)["choices"] for event in got.events if event != "[DONE]"]
    return "".join(choices[0]["delta"].get("content") or "" for choices in deltas if choices)


def finish(got: Got) -> str:
    if "event-stream" not in got.headers["Content-Type"]:
        return got.choice["finish_reason"]
    choices = [json.loads(event)["choices"] for event in got.events if event != "[DONE]"]
    return next(c[0]["finish_reason"] for c in choices if c and c[0]["finish_reason"])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", list(Fault))
def test_the_next_try_gets_the_right_reply(fault, streamed):
    (_, second), stats = meet(fault, streamed)
    assert (second.status, second.broken, content(second), finish(second)) == (200, "", TEXT, "stop")
    assert stats.outcomes == {fault.value: 1, "ok": 1}
    deliveries = 2 if fault in HARMLESS_FAULTS else 1
    assert (stats.requests, stats.bodies, stats.delivered) == (2, 1, deliveries)
    assert list(stats.delivered_by_body.values()) == [deliveries]
    assert stats.delivered_again == deliveries - 1
    assert stats.in_flight == 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.RATE_LIMIT, 429),
        (Fault.SERVER_ERROR, 500),
        (Fault.BAD_GATEWAY, 502),
        (Fault.UNAVAILABLE, 503),
    ],
)
def test_statuses(fault, status, streamed):
    (first, _), _ = meet(fault, streamed)
    assert first.status == status
    assert first.headers.get("Retry-After") == ("0.25" if status in (429, 503) else None)
    if fault is Fault.BAD_GATEWAY:
        assert first.text.startswith("<!DOCTYPE html>")
    else:
        assert first.json["error"]["message"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_connection_dropped_before_the_reply(streamed):
    (first, _), _ = meet(Fault.DROP_BEFORE, streamed)
    assert first.status == 0
    assert first.broken in ("ServerDisconnectedError", "ClientOSError", "ConnectionResetError")


@pytest.mark.parametrize(
    ("fault", "streamed"),
    [(Fault.DROP_INSIDE, False), (Fault.DROP_INSIDE, True), (Fault.HALF_STREAM, False)],
)
def test_a_connection_dropped_inside_the_reply(fault, streamed):
    (first, second), _ = meet(fault, streamed)
    assert first.status == 200
    assert first.broken
    assert second.text.startswith(first.text)
    assert len(first.text) < len(second.text)


def test_half_a_stream_ends_cleanly():
    (first, second), _ = meet(Fault.HALF_STREAM, True)
    assert (first.status, first.broken) == (200, "")
    assert second.text.startswith(first.text)
    assert "[DONE]" not in first.text
    assert first.events
    assert all(json.loads(event)["choices"][0]["finish_reason"] is None for event in first.events)
    assert content(first) != TEXT


def test_garbage_json():
    (first, _), _ = meet(Fault.GARBAGE_JSON, False)
    assert (first.status, first.broken) == (200, "")
    with pytest.raises(json.JSONDecodeError):
        json.loads(first.text)


def test_garbage_json_in_a_stream():
    (first, _), _ = meet(Fault.GARBAGE_JSON, True)
    assert first.events[-1] == "[DONE]"
    with pytest.raises(json.JSONDecodeError):
        [json.loads(event) for event in first.events[:-1]]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_html(streamed):
    (first, _), _ = meet(Fault.HTML, streamed)
    assert first.status == 200
    assert first.headers["Content-Type"].startswith("text/html")
    assert "<html>" in first.text


def test_no_choices():
    (first, _), _ = meet(Fault.NO_CHOICES, False)
    assert (first.status, first.json["choices"]) == (200, [])
    (first, _), _ = meet(Fault.NO_CHOICES, True)
    assert first.events == ["[DONE]"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fault", "said"), [(Fault.EMPTY_CONTENT, ""), (Fault.NULL_CONTENT, None)])
def test_no_content(fault, said, streamed):
    (first, _), _ = meet(fault, streamed)
    assert (first.status, finish(first)) == (200, "stop")
    assert content(first) == ("" if streamed else said)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", sorted(CONTENT_FAULTS))
def test_content_faults_come_as_a_clean_200(fault, streamed):
    (first, second), _ = meet(fault, streamed)
    assert (first.status, first.broken) == (200, "")
    ends = {Fault.TRUNCATED: "length", Fault.FILTERED: "content_filter"}
    assert finish(first) == ends.get(fault, "stop")
    assert '"usage"' in first.text
    match fault:
        case Fault.WRONG_SCHEMA:
            assert "steps" not in json.loads(content(first) or "")
        case Fault.GARBAGE_TEXT:
            with pytest.raises(json.JSONDecodeError):
                json.loads(content(first) or "")
        case Fault.TRUNCATED:
            assert content(first) == TEXT[: len(TEXT) // 2]
        case Fault.REFUSAL:
            assert not content(first)
            assert '"refusal":"I\'m sorry' in first.text
        case Fault.FILTERED:
            assert content(first) == ""
    assert content(second) == TEXT


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_drip_arrives_whole_and_slowly(streamed):
    async def run() -> tuple[Got, Got]:
        faults = Faults.only("drip", max_faults_per_request=1, drip_s=600.0)
        async with FaultyServer(EchoModel(), faults) as server:
            body = chat(TEXT, **(STREAM if streamed else {}))
            return await post(server, body, timeout_s=1.5), await post(server, body)

    (first, second), _ = meet(Fault.DRIP, streamed)
    assert first.text == second.text
    impatient, whole = asyncio.run(run())
    assert (impatient.status, impatient.broken) == (200, "TimeoutError")
    assert whole.text.startswith(impatient.text)
    assert 0 < len(impatient.text) < len(whole.text)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_missing_usage(streamed):
    (first, second), _ = meet(Fault.MISSING_USAGE, streamed)
    assert content(first) == TEXT
    assert '"usage"' not in first.text
    assert '"usage"' in second.text


def test_the_same_seed_gives_the_same_replies_at_any_concurrency():
    bodies = [chat(f"question {index}") for index in range(60)]

    async def ask(server: FaultyServer, body: Any, gate: asyncio.Semaphore) -> list[tuple[int, str, bool]]:
        async with gate:
            tries = [await post(server, body) for _ in range(4)]
        # Of a reset connection it is chance how much of the reply has been read.
        return [(got.status, "" if got.broken else got.text, bool(got.broken)) for got in tries]

    async def run(seed: int, at_once: int) -> list[list[tuple[int, str, bool]]]:
        faults = Faults.everything(0.8, drip_s=0.01)
        async with FaultyServer(EchoModel(), faults, seed) as server:
            gate = asyncio.Semaphore(at_once)
            return await asyncio.gather(*(ask(server, body, gate) for body in bodies))

    alone, crowded, other = asyncio.run(run(1, 1)), asyncio.run(run(1, 30)), asyncio.run(run(2, 30))
    assert alone == crowded
    assert alone != other
    assert all(tries[3][0] == 200 and not tries[3][2] for tries in alone), "at most three faults a body"
