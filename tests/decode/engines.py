"""Stand-ins for the engines that the adapters plug into: their interfaces, without their models."""

from __future__ import annotations

import sys
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from steiner.decode.sglang import custom_params
from steiner.decode.vllm_v1 import StepControlLogitsProcessor as V1Processor
from steiner.decode.vllm_v2 import StepControlLogitsProcessor as V2Processor

MODEL_LENGTH = 100_000


class Direction(Enum):
    UNIDIRECTIONAL = 1
    SWAP = 2


class Update(NamedTuple):
    """As vLLM's `BatchUpdate`."""

    batch_size: int
    removed: list
    added: list
    moved: list


def stand_in_vllm(monkeypatch, tokenizer):
    """Put a module in vLLM's place from which `Setup.read` gets the tokenizer."""
    module = ModuleType("vllm.tokenizers")
    module.cached_tokenizer_from_config = lambda _: tokenizer
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.tokenizers", module)


def config(vocabulary, drafts=0, defaults=None):
    """As vLLM's `VllmConfig`, as far as it is read."""
    model = SimpleNamespace(
        max_model_len=MODEL_LENGTH, get_vocab_size=lambda: vocabulary, logits_processors=None
    )
    speculative = SimpleNamespace(num_speculative_tokens=drafts) if drafts else None
    additional = {} if defaults is None else {"steiner": defaults}
    return SimpleNamespace(model_config=model, additional_config=additional, speculative_config=speculative)


def params(budget=None, **extra):
    """As vLLM's `SamplingParams`."""
    given = {} if budget is None else budget.model_dump(exclude_defaults=True)
    return SimpleNamespace(extra_args={**given, **extra}, max_tokens=None, min_tokens=0)


class V1Runner:
    """A batch of V1: dense rows, which move when one in the middle ends."""

    def __init__(self, vocabulary):
        self.processor = V1Processor(config(vocabulary), "cpu", False)
        self.rows = []
        """Names of the requests in the batch."""
        self.tokens = {}

    def step(self, logits, ended=(), begun=()):
        """Let requests end and begin (name, params, prompt, completion), then process the logits."""
        removed = sorted((self.rows.index(name) for name in ended), reverse=True)
        free = sorted(removed)
        added, moved = [], []
        for index in removed:
            self.rows[index] = None
        for name, given, prompt, output in begun:
            self.tokens[name] = output
            index = free.pop(0) if free else len(self.rows)
            if index == len(self.rows):
                self.rows.append(name)
            self.rows[index] = name
            added.append((index, given, prompt, output))
        left = list(free)
        while None in self.rows:
            last = len(self.rows) - 1
            if self.rows[last] is None:
                self.rows.pop()
                continue
            hole = self.rows.index(None)
            self.rows[hole] = self.rows.pop()
            moved.append((last, hole, Direction.UNIDIRECTIONAL))
        if removed or added or moved:
            self.processor.update_state(Update(len(self.rows), left, added, moved))
        else:
            self.processor.update_state(None)
        return self.processor.apply(logits)

    def swap(self, one, other):
        """Let two rows change places."""
        self.rows[one], self.rows[other] = self.rows[other], self.rows[one]
        self.processor.update_state(Update(len(self.rows), [], [], [(one, other, Direction.SWAP)]))


class V2Runner:
    """The buffers of V2: a slot per request, rows in any order, draft tokens behind each other."""

    def __init__(self, vocabulary, slots=400, width=400, drafts=0):
        self.tokens = SimpleNamespace(gpu=torch.zeros(slots, width, dtype=torch.int32))
        self.prompt = self._numbers(slots)
        self.prefill = self._numbers(slots)
        self.total = SimpleNamespace(gpu=torch.zeros(slots, dtype=torch.int32))
        states = SimpleNamespace(
            device=torch.device("cpu"),
            max_num_reqs=slots,
            vocab_size=vocabulary,
            all_token_ids=self.tokens,
            prompt_len=self.prompt,
            prefill_len=self.prefill,
            total_len=self.total,
        )
        self.processor = V2Processor(config(vocabulary, drafts), states)
        self.free = list(range(slots))
        self.slots = {}

    @staticmethod
    def _numbers(slots):
        cpu = torch.zeros(slots, dtype=torch.int32)
        return SimpleNamespace(np=cpu.numpy(), gpu=cpu)

    def begin(self, name, given, prompt, output=()):
        """Take a request into a slot; with `output` after a preemption."""
        slot = self.slots[name] = self.free.pop()
        row = [*prompt, *output]
        self.tokens.gpu[slot].fill_(7)
        self.tokens.gpu[slot, : len(row)] = torch.tensor(row, dtype=torch.int32)
        self.prompt.np[slot], self.prefill.np[slot] = len(prompt), len(row)
        self.total.gpu[slot] = len(row)
        return self.processor.add_request(slot, given)

    def end(self, name):
        """Free a slot."""
        self.free.append(self.slots.pop(name))

    def write(self, name, tokens):
        """Commit tokens."""
        slot = self.slots[name]
        at = int(self.total.gpu[slot])
        self.tokens.gpu[slot, at : at + len(tokens)] = torch.tensor(tokens, dtype=torch.int32)
        self.total.gpu[slot] += len(tokens)

    def step(self, names, logits, drafts=None):
        """Process the logits: for each name one row, and one more behind each of its draft tokens."""
        self.processor.apply_staged_writes()
        expanded, local, inputs = [], [], []
        for name in names:
            slot = self.slots[name]
            last = int(self.tokens.gpu[slot, int(self.total.gpu[slot]) - 1])
            row = [last, *(drafts or {}).get(name, [])]
            expanded += [slot] * len(row)
            local += range(len(row))
            inputs += row
        slots = [self.slots[name] for name in names]
        ctx = SimpleNamespace(
            expanded_idx_mapping=torch.tensor(expanded, dtype=torch.int32),
            idx_mapping=torch.tensor(slots, dtype=torch.int32),
            idx_mapping_np=np.array(slots),
            expanded_local_pos=torch.tensor(local, dtype=torch.int32),
            input_ids=torch.tensor(inputs, dtype=torch.int32),
        )
        return self.processor.apply(logits, ctx)


class Request(NamedTuple):
    """As `FutureRequestState` of the continuous batching of transformers."""

    state: SimpleNamespace
    has_new_token: bool = True


def continuous_request(step_request, completion, prompt=(), evicted=0):
    """A request with a completion so far, of which `evicted` tokens went into the prompt."""
    state = SimpleNamespace(
        logit_processor_kwargs={"steps": step_request},
        initial_tokens=[*prompt, *completion[:evicted]],
        _true_initial_tokens=len(prompt) if evicted else 0,
        generated_tokens=list(completion[evicted:]),
        max_new_tokens=None,
    )
    return Request(state)


def sglang_params(ids, step_request, completion):
    """What SGLang hands to a custom logit processor for one row."""
    given = custom_params(ids, step_request)
    return {**given, "__req__": SimpleNamespace(output_ids=list(completion), origin_input_ids=[65])}
