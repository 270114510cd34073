"""Step control and the reasoning parser in a real vLLM, on a tiny model with random weights.

The server gets them as an installed package brings them, asynchronous scheduling, chunked prefill and prefix
caching are on, and the key-value cache is so small that requests are preempted.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from control_model import installed, save_model
from vllm_server import MODEL, VllmServer, vllm_server

from steiner.core import SoftEnd
from steiner.decode import Mode, StepControl
from steiner.decode.request import StepRequest
from steiner.protocol import ControlIds, ControlToken, parse_ids
from steiner.protocol.grammar import Other, accepts
from steiner.protocol.outline import read_outline

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

T = ControlToken
OPTIONS = (
    *("--dtype", "float32", "--enforce-eager", "--max-model-len", "1024", "--max-num-seqs", "12"),
    *("--block-size", "32", "--num-gpu-blocks-override", "40"),
    *("--max-num-batched-tokens", "64", "--enable-chunked-prefill", "--enable-prefix-caching"),
    *("--async-scheduling", "--reasoning-parser", "steiner"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("control") / "model"
    save_model(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def ids(tokenizer: Any) -> ControlIds:
    return ControlIds.from_tokenizer(tokenizer)


@pytest.fixture(scope="module")
def server(folder: Path, vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    place = tmp_path_factory.mktemp("server")
    path = {"PYTHONPATH": installed(place / "installed")}
    with vllm_server(vllm_python, folder, place / "server.log", OPTIONS, path) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: VllmServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", timeout=300, max_retries=0)


def test_both_runners_take_our_classes(folder: Path, vllm_python: Path, tmp_path: Path) -> None:
    """By name and by entry point, in the installed package; V2 on stand-ins for its buffers."""
    script = Path(__file__).with_name("vllm_interfaces.py")
    search = {"PYTHONPATH": installed(tmp_path / "installed"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [vllm_python, script, folder], env=os.environ | search, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all as it should be" in done.stdout


def random_request(rng: random.Random) -> StepRequest:
    least = rng.randint(1, 3)
    strict = {
        "max_step_tokens": rng.choice([None, None, 12, 30]),
        "backtrack_bias": rng.choice([0.0, -2.0, 3.0]),
        "ban_repeats": rng.random() < 0.5,
        "soft_end": rng.choice([None, SoftEnd(start=-3, stop=4, steps=3)]),
        "max_answer_tokens": rng.choice([None, 4, 20]),
    }
    control = rng.choice([Mode.STRICT, Mode.STRICT, Mode.STRICT, Mode.REPORT])
    return StepRequest(
        min_steps=least,
        max_steps=rng.choice([least, least + 3]),
        max_reasoning_tokens=rng.choice([60, 150, 250]) if control is Mode.STRICT else None,
        control=control,
        **(strict if control is Mode.STRICT else {}),
    )


def arguments(request: StepRequest) -> dict[str, Any]:
    given = request.model_dump(mode="json", exclude_defaults=True)
    if request.soft_end is not None:
        soft = request.soft_end
        given["soft_end"] = f"{soft.start},{soft.stop},{soft.steps}"
    return {key: int(value) if isinstance(value, bool) else value for key, value in given.items()}


def write(
    client: openai.OpenAI, prompt: list[int], request: StepRequest, temperature: float, **more: Any
) -> list[tuple[list[int], str]]:
    """Return token ids and reason of the end, for each choice."""
    body = {"vllm_xargs": arguments(request), "return_token_ids": True}
    max_tokens = more.pop("max_tokens", 300)
    reply = client.completions.create(
        model=MODEL, prompt=prompt, temperature=temperature, max_tokens=max_tokens, extra_body=body, **more
    )
    return [(choice.token_ids, choice.finish_reason) for choice in reply.choices]  # type: ignore[attr-defined]


def check(ids: ControlIds, written: list[int], finish: str, request: StepRequest, max_tokens: int) -> None:
    """Every token is one that the pure function allows there; strict completions are whole."""
    control = StepControl(ids, request.control, request.max_answer_tokens)
    limits = request.within(max_tokens)
    for place, number in enumerate(written):
        allowed = control.allowed(written[:place], limits)
        assert allowed.allows(number, ids), (place, ids.token(number) or number, written, request)
    if request.control is Mode.STRICT:
        # Without a limit of its own the answer may come to the end of `max_tokens`; the reasoning may not.
        assert finish == "stop" or (request.max_answer_tokens is None and len(written) == max_tokens)
        symbols = [ids.token(n) or (Other.EOS if n == ids.eos else Other.TEXT) for n in written]
        assert accepts(symbols if finish == "stop" else [*symbols, Other.EOS])
        assert request.min_steps <= symbols.count(T.STEP_END) <= (request.max_steps or 10**9)


def test_each_request_keeps_its_own_limits_whatever_happens_to_its_batch(
    server: VllmServer, client: openai.OpenAI, ids: ControlIds
) -> None:
    """60 requests in a cache that holds a few of them; half share a long prefix, and some are aborted."""
    rng = random.Random(0)
    shared = [rng.randrange(33, 120) for _ in range(130)]
    cases = []
    for number in range(60):
        prompt = [
            *(shared if number % 2 else []),
            *(rng.randrange(33, 120) for _ in range(rng.randint(1, 90))),
        ]
        cases.append((prompt, random_request(rng), rng.choice([0.0, 0.7, 2.0])))

    def one(case: tuple[list[int], StepRequest, float]) -> list[tuple[list[int], str]]:
        return write(client, *case)  # no seeds: vLLM's CPU runner fails on those with chunked prefill

    with ThreadPoolExecutor(16) as pool:
        aborting = pool.submit(asyncio.run, abort_some(server, shared))
        results = list(pool.map(one, cases))
        aborting.result()
    for (_, request, _), ((written, finish),) in zip(cases, results, strict=True):
        check(ids, written, finish, request, 300)
    sums = {m["name"]: float(m["value"]) for m in server._metrics()}
    assert sums["vllm:num_preemptions_total"] > 0, "the cache was to be too small"
    assert sums["vllm:prefix_cache_hits_total"] > 0
    assert server.served().finished >= 60


async def abort_some(server: VllmServer, shared: list[int]) -> None:
    """Begin twelve streams and drop each after some tokens."""
    client = openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none", timeout=300, max_retries=0)

    async def begin(number: int) -> None:
        stream = await client.completions.create(
            model=MODEL,
            prompt=[*shared, 40 + number],
            max_tokens=300,
            temperature=1.0,
            stream=True,
            extra_body={"vllm_xargs": {"min_steps": 4, "max_steps": 9}},
        )
        count = 0
        async for _ in stream:
            count += 1
            if count == 3 * number + 2:
                await stream.close()
                return

    await asyncio.gather(*(begin(number) for number in range(12)))
    await client.close()


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_several_sequences_of_a_prompt(client: openai.OpenAI, ids: ControlIds, temperature: float) -> None:
    request = StepRequest(min_steps=2, max_steps=4, max_reasoning_tokens=150)
    results = write(client, [70, 71], request, temperature, n=5)
    assert len({tuple(written) for written, _ in results}) == 5
    for written, finish in results:
        check(ids, written, finish, request, 300)


def test_greedy_is_the_same_alone_and_in_company(client: openai.OpenAI, ids: ControlIds) -> None:
    request = StepRequest(min_steps=2, max_steps=5, max_reasoning_tokens=200, ban_repeats=True)
    (alone,) = write(client, [80, 81, 82], request, 0.0)
    check(ids, *alone, request, 300)
    with ThreadPoolExecutor(6) as pool:
        company = [
            pool.submit(write, client, [90 + n], random_request(random.Random(n)), 1.0) for n in range(5)
        ]
        again = pool.submit(write, client, [80, 81, 82], request, 0.0).result()
        for other in company:
            other.result()
    assert again == [alone]


def test_off_leaves_the_model_alone(client: openai.OpenAI, ids: ControlIds) -> None:
    ((written, _),) = write(client, [70], StepRequest(control=Mode.OFF), 0.0, max_tokens=20)
    strict = StepControl(ids)
    steps = [strict.allowed(written[:n], StepRequest()).allows(written[n], ids) for n in range(len(written))]
    assert not all(steps), "an untrained model does not know the grammar"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"min_steps": 5, "max_steps": 2}, "min_steps 5 is more than max_steps 2"),
        ({"max_step": 5}, "did you mean 'max_steps'"),
        ({"min_steps": 9}, "9 steps and an answer"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(
    client: openai.OpenAI, given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=complaint):
        client.completions.create(model=MODEL, prompt=[65], max_tokens=60, extra_body={"vllm_xargs": given})


CHAT_LIMITS = {"min_steps": 2, "max_steps": 4, "max_answer_tokens": 30}
CHAT: list[Any] = [
    {"role": "user", "content": "Numbers 3 5 7"},
    {"role": "assistant", "content": "no idea"},
    {"role": "user", "content": "target 22"},
]


def whole(text: str) -> str:
    """Drop a last character of which the model wrote some bytes only: vLLM never sends it."""
    return text.rstrip("\ufffd")


def test_chat_gives_reasoning_and_answer_apart(
    client: openai.OpenAI, ids: ControlIds, tokenizer: Any
) -> None:
    body = {"vllm_xargs": CHAT_LIMITS, "return_token_ids": True}
    reply = client.chat.completions.create(
        model=MODEL, messages=CHAT, max_tokens=300, temperature=1.0, extra_body=body
    )
    choice: Any = reply.choices[0]
    parsed = parse_ids(tokenizer, choice.token_ids, ids)
    assert parsed.complete
    assert whole(choice.message.content) == whole(parsed.answer)
    path = read_outline(choice.message.reasoning, parsed.answer)
    assert path is not None
    assert path.moves == parsed.moves
    assert len(path.steps) == len(parsed.steps)


def test_chat_streams_reasoning_and_answer_apart(
    client: openai.OpenAI, ids: ControlIds, tokenizer: Any
) -> None:
    body = {"vllm_xargs": CHAT_LIMITS, "return_token_ids": True}
    stream = client.chat.completions.create(
        model=MODEL, messages=CHAT, max_tokens=300, temperature=1.0, stream=True, extra_body=body
    )
    reasoning, content, written = "", "", []
    for chunk in stream:
        for choice in chunk.choices:
            delta: Any = choice.delta
            reasoning += getattr(delta, "reasoning", None) or ""
            content += delta.content or ""
            written += getattr(choice, "token_ids", None) or []
    parsed = parse_ids(tokenizer, written, ids)
    assert parsed.complete
    assert whole(content) == whole(parsed.answer)
    assert not any(token in reasoning for token in T)
    path = read_outline(reasoning, content)
    assert path is not None
    assert path.moves == parsed.moves
