"""The official client against a running server."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai import OpenAI

ASK = [{"role": "user", "content": "Numbers 3 5 7, target 22"}]


@pytest.fixture(scope="module")
def client(server):
    with OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"


def test_a_whole_chat(client):
    reply = client.chat.completions.create(
        model="tiny",
        messages=ASK,
        seed=1,
        max_completion_tokens=300,
        extra_body={"min_steps": 2, "max_steps": 3, "max_step_tokens": 40},
    )
    (choice,) = reply.choices
    extra = choice.message.model_extra
    assert 2 <= len(extra["steiner"]["steps"]) <= 3
    assert extra["reasoning_content"] == extra["reasoning"]
    assert reply.usage.completion_tokens_details.reasoning_tokens < reply.usage.completion_tokens
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_stream_adds_up_to_the_whole(client):
    options = {
        "model": "tiny",
        "messages": ASK,
        "seed": 7,
        "n": 2,
        "max_completion_tokens": 300,
        "logprobs": True,
        "top_logprobs": 2,
        "extra_body": {"max_steps": 2, "max_step_tokens": 40},
    }
    whole = client.chat.completions.create(**options)
    content, reasoning, finish, logprobs, last = ["", ""], ["", ""], [None, None], [[], []], [None, None]
    usage = None
    for chunk in client.chat.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            content[choice.index] += choice.delta.content or ""
            extra = choice.delta.model_extra
            reasoning[choice.index] += extra.get("reasoning_content", "")
            last[choice.index] = (extra.get("steiner", {}).get("events") or [last[choice.index]])[-1]
            finish[choice.index] = choice.finish_reason or finish[choice.index]
            if choice.logprobs:
                logprobs[choice.index] += choice.logprobs.content
    for choice in whole.choices:
        assert content[choice.index] == choice.message.content
        assert reasoning[choice.index] == choice.message.model_extra["reasoning"]
        assert finish[choice.index] == choice.finish_reason
        assert [one.token for one in logprobs[choice.index]] == [one.token for one in choice.logprobs.content]
        assert all(len(one.top_logprobs) == 2 for one in logprobs[choice.index])
        assert last[choice.index]["type"] == "end"
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_async(server):
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none") as client:
            replies = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="tiny", messages=ASK, seed=seed, max_tokens=150, extra_body={"max_steps": 1}
                    )
                    for seed in (1, 2, 1, 2)
                )
            )
        return [reply.choices[0].message.content for reply in replies]

    first, second, *again = asyncio.run(ask())
    assert [first, second] == again
    assert first != second


def test_completions(client):
    options = {"model": "tiny", "prompt": ["one", "two"], "seed": 3, "max_tokens": 200, "logprobs": 1}
    limits = {"max_steps": 1, "max_step_tokens": 30}
    whole = client.completions.create(**options, extra_body=limits)
    texts = ["", ""]
    for chunk in client.completions.create(**options, stream=True, extra_body=limits):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert all(len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) for choice in whole.choices)


@pytest.mark.parametrize("display", ["full", "summaries", "hidden"])
def test_responses(client, display):
    options = {
        "model": "tiny",
        "input": "Numbers 3 5 7, target 22",
        "instructions": "Think.",
        "max_output_tokens": 300,
        "extra_body": {"max_steps": 2, "max_step_tokens": 40, "seed": 5, "reasoning": display},
    }
    whole = client.responses.create(**options)
    with client.responses.stream(**options) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == whole.output_text
    reasoning, _ = whole.output
    assert bool(reasoning.content) == (display == "full")
    assert bool(reasoning.summary) == (display == "summaries")
    assert final.usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "gpt-5"}, 404, "model_not_found", "model"),
        ({"extra_body": {"min_steps": 5, "max_steps": 2}}, 400, "invalid_value", "min_steps"),
        (
            {"extra_body": {"min_steps": 9, "max_reasoning_tokens": 20}},
            400,
            "invalid_value",
            "max_reasoning_tokens",
        ),
        ({"extra_body": {"control": "off", "ban_repeats": True}}, 400, "invalid_value", "ban_repeats"),
        ({"extra_body": {"max_step": 5}}, 400, "unknown_parameter", "max_step"),
        ({"extra_body": {"min_steps": 10_000}}, 400, "invalid_value", "min_steps"),
        ({"messages": [{"role": "user", "content": "x" * 3000}]}, 400, "context_length_exceeded", "messages"),
        ({"n": 100_000}, 400, "invalid_value", "n"),
        ({"max_tokens": 10**9}, 400, "invalid_value", "max_tokens"),
        ({"temperature": 9}, 400, "invalid_value", "temperature"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "unsupported_parameter", "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "unsupported_parameter", "response_format"),
    ],
)
def test_refusals(client, change, status, code, param):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": "tiny", "messages": ASK, **change})
    assert caught.value.status_code == status
    assert caught.value.code == code
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_what_asks_for_nothing_is_ignored(client):
    reply = client.chat.completions.create(
        model="tiny",
        messages=ASK,
        max_tokens=5,
        user="me",
        tools=[],
        tool_choice="none",
        frequency_penalty=0,
        logit_bias={},
        response_format={"type": "text"},
        store=False,
    )
    assert reply.choices[0].finish_reason == "length"
