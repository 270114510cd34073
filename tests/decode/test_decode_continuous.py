"""Step control in the installed continuous batching of transformers, on an untrained model."""

from __future__ import annotations

import random

import pytest
import torch
from test_decode_hf import random_budget
from transformers import ContinuousBatchingConfig, GenerationConfig

from steiner.core import InputError
from steiner.decode import Mode, StepControl
from steiner.decode.continuous import control_steps
from steiner.decode.request import StepRequest
from steiner.protocol import ControlToken
from steiner.protocol.grammar import Other, accepts


def managed(model, ids, temperature, **more):
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
    config = GenerationConfig(eos_token_id=ids.eos, pad_token_id=ids.pad, max_new_tokens=200, **sampling)
    paged = ContinuousBatchingConfig(
        num_blocks=12, page_size=32, max_batch_tokens=64, use_async_batching=False, **more
    )
    return model.init_continuous_batching(config, paged)


def written(manager, requests, max_new_tokens=200):
    """Write them all at once; returns the completions in their order."""
    results = {}
    manager.start()
    try:
        for number, (prompt, request) in enumerate(requests):
            name = manager.add_request(prompt, f"r{number}", max_new_tokens=max_new_tokens, steps=request)
            assert name == f"r{number}"
        while len(results) < len(requests):
            result = manager.get_result(timeout=60)
            assert result is not None, manager.background_thread_status.fatal_error
            assert result.error is None
            results[result.request_id] = result.generated_tokens
    finally:
        manager.stop(block=True)
        manager.destroy()
    return [results[f"r{number}"] for number in range(len(requests))]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_mixed_batch_in_a_cache_that_is_too_small(model, ids, temperature):
    """Twelve blocks for twenty requests: some are evicted and written on later."""
    rng = random.Random(3)
    torch.manual_seed(3)
    requests = []
    for number in range(20):
        mode = rng.choice([Mode.STRICT, Mode.STRICT, Mode.REPORT])
        budget = random_budget(rng)
        values = budget.model_dump() if mode is Mode.STRICT else {"min_steps": 1, "max_steps": 2}
        requests.append(([65, 66 + number], StepRequest(**values, control=mode)))
    manager = managed(model, ids, temperature)
    control_steps(manager, ids)
    completions = written(manager, requests)
    for (_, request), tokens in zip(requests, completions, strict=True):
        control, limits = StepControl(ids, request.control), request.within(200)
        for place, number in enumerate(tokens):
            assert control.allowed(tokens[:place], limits).allows(number, ids), (place, tokens)
        if request.control is Mode.STRICT and tokens[-1] == ids.eos:
            symbols = [ids.token(n) or (Other.EOS if n == ids.eos else Other.TEXT) for n in tokens]
            assert accepts(symbols)
    whole = [t for (_, r), t in zip(requests, completions, strict=True) if r.control is Mode.STRICT]
    assert all(ids[ControlToken.END] in tokens for tokens in whole)


def test_requests_that_say_nothing_take_the_defaults(model, ids):
    manager = managed(model, ids, 0.0)
    control_steps(manager, ids, StepRequest(max_steps=1, max_reasoning_tokens=20, max_answer_tokens=2))
    manager.start()
    try:
        manager.add_request([65], max_new_tokens=60)
        tokens = manager.get_result(timeout=60).generated_tokens
    finally:
        manager.stop(block=True)
        manager.destroy()
    assert tokens[-1] == ids.eos
    assert tokens.index(ids[ControlToken.END]) < 20


def test_what_it_cannot_control_is_refused(model, ids):
    manager = managed(model, ids, 0.0)
    manager.continuous_batching_config.use_async_batching = True
    with pytest.raises(InputError, match="use_async_batching=False"):
        control_steps(manager, ids)
    started = managed(model, ids, 0.0)
    started.start()
    try:
        with pytest.raises(InputError, match="has started"):
            control_steps(started, ids)
    finally:
        started.stop(block=True)
        started.destroy()
