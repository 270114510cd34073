"""Our classes against the interfaces in the installed vLLM; run by its interpreter, without a model.

Model runner V2 needs Triton and a GPU. Its loader, its base class and its dataclasses do not, so the buffers
alone are stand-ins.
"""

from __future__ import annotations

import random
import sys
from importlib.metadata import entry_points
from types import SimpleNamespace

import numpy as np
import torch
import vllm.tokenizers
from vllm.reasoning import ReasoningParserManager
from vllm.v1.sample.logits_processor import (
    LogitsProcessor,
    _load_logitsprocs_by_fqcns,
    _load_logitsprocs_plugins,
)
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as V2LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsContext, LogitsProcRequestState
from vllm.v1.worker.gpu.sample.logits_processor.loader import (
    _load_v2_logitsprocs_by_fqcns,
    _load_v2_logitsprocs_plugins,
)

from steiner.decode import StepControl
from steiner.decode.request import StepRequest
from steiner.decode.vllm_setup import register
from steiner.protocol import ControlIds

ROWS = 300


def check_loaders() -> None:
    """Each runner takes the class that is named for it, and both take the one of the entry point."""
    (one,) = _load_logitsprocs_by_fqcns(["steiner.decode.vllm_v1:StepControlLogitsProcessor"])
    (two,) = _load_v2_logitsprocs_by_fqcns(["steiner.decode.vllm_v2:StepControlLogitsProcessor"])
    assert issubclass(one, LogitsProcessor)
    assert issubclass(two, V2LogitsProcessor)
    assert len(entry_points(group="vllm.logits_processors")) == 1
    (installed,), (again,) = _load_logitsprocs_plugins(), _load_v2_logitsprocs_plugins()
    assert installed is again
    register()
    parser = ReasoningParserManager.get_reasoning_parser("steiner")
    assert parser.__name__ == "SteinerReasoningParser"


def numbers(values: list[int]) -> SimpleNamespace:
    """Return what stands for a buffer with a view on the host."""
    cpu = torch.tensor(values, dtype=torch.int32)
    return SimpleNamespace(np=cpu.numpy(), gpu=cpu)


def check_v2(folder: str) -> None:
    """Random completions in random rows get what the pure function allows."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    vllm.tokenizers.cached_tokenizer_from_config = lambda _: tokenizer
    ids = ControlIds.from_tokenizer(tokenizer)
    rng = random.Random(1)
    texts = [[rng.choice([*ids.control, 65, 66]) for _ in range(rng.randrange(60))] for _ in range(ROWS)]
    asked = [
        {"min_steps": rng.randint(1, 2), "max_steps": rng.randint(2, 4), "ban_repeats": 1} for _ in texts
    ]
    states = LogitsProcRequestState(
        device=torch.device("cpu"),
        max_num_reqs=ROWS,
        vocab_size=ids.size,
        all_token_ids=SimpleNamespace(
            gpu=torch.tensor([[65, *text, *[7] * (60 - len(text))] for text in texts], dtype=torch.int32)
        ),
        prompt_len=numbers([1] * ROWS),
        prefill_len=numbers([1 + len(text) for text in texts]),
        total_len=numbers([1 + len(text) for text in texts]),
    )
    model = SimpleNamespace(max_model_len=10_000, get_vocab_size=lambda: ids.size)
    config = SimpleNamespace(model_config=model, additional_config={}, speculative_config=None)
    (made,) = _load_v2_logitsprocs_by_fqcns(["steiner.decode.vllm_v2:StepControlLogitsProcessor"])
    processor = made(config, states)
    for slot, given in enumerate(asked):
        assert processor.add_request(slot, SimpleNamespace(extra_args=given, max_tokens=None, min_tokens=0))
    processor.apply_staged_writes()
    order = np.array(rng.sample(range(ROWS), ROWS))
    slots = torch.from_numpy(order).int()
    lengths = torch.tensor([1 + len(texts[slot]) for slot in order])
    context = LogitsContext(
        expanded_idx_mapping=slots,
        idx_mapping=slots,
        idx_mapping_np=order,
        expanded_local_pos=torch.zeros(ROWS, dtype=torch.int32),
        input_ids=torch.tensor([[65, *texts[slot]][-1] for slot in order], dtype=torch.int32),
        pos=lengths - 1,
        seq_lens_upper_bound_np=lengths.numpy(),
    )
    result = processor.apply(torch.zeros(ROWS, ids.size), context)
    control = StepControl(ids)
    for row, slot in zip(result, order, strict=True):
        allowed = control.allowed(texts[slot], StepRequest(**asked[slot]).within(9_999))
        want = torch.tensor([allowed.allows(number, ids) for number in range(ids.size)])
        assert torch.equal(row.isfinite(), want), texts[slot]


if __name__ == "__main__":
    check_loaders()
    check_v2(sys.argv[1])
    sys.stdout.write("all as it should be\n")
