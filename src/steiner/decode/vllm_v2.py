"""Step control for vLLM's model runner V2, which needs Triton.

    vllm serve MODEL --logits-processors steiner.decode.vllm_v2:StepControlLogitsProcessor

The tokens stay on the device there, so the histories do too: nothing is asked of the device in a step.
Requests give their limits as with `vllm_v1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from steiner.decode.columns import Columns
from steiner.decode.control import Rulebook
from steiner.decode.folding import Folded, fold_rows, fold_tokens
from steiner.decode.history import FloatArray, Limits, limit_row
from steiner.decode.live import MODES
from steiner.decode.rules import STATES, Mode, StateTables, deciding, situation
from steiner.decode.soft import biases
from steiner.decode.vllm_setup import Setup, validate

if TYPE_CHECKING:
    from torch import Tensor

try:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor
except ImportError:  # importable without vLLM, for tests of the class itself
    LogitsProcessor = object


class StepControlLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """Lets only allowed tokens through, each request by its own limits.

    A request has a slot for its lifetime; rows of the logits are mapped to slots in each step. Draft tokens
    of speculative decoding are folded onto copies, so that rejected ones leave no trace.
    """

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse limits that cannot be kept.

        Raises:
            ValueError: names what is wrong.
        """
        validate(sampling_params)

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        """Read the model's ids and keep hold of the runner's buffers.

        Raises:
            InputError: if its tokenizer lacks the control tokens.
        """
        speculative = vllm_config.speculative_config
        self._drafts = 0 if speculative is None else int(speculative.num_speculative_tokens or 0)
        """Most draft tokens of a request in a step."""
        self._setup = setup = Setup.read(vllm_config)
        self._states = req_states
        slots, device = req_states.max_num_reqs, req_states.device
        self._book = book = Rulebook(setup.ids)
        self._at = StateTables(*(torch.from_numpy(table).to(device) for table in STATES))
        self._table = torch.from_numpy(book.table).to(device)
        codes = torch.zeros(max(req_states.vocab_size, setup.ids.size), dtype=torch.int64)
        for number, code in book.codes.items():
            codes[number] = code
        self._codes = codes.to(device)
        """Token id → code as in `History.mark`; shape (vocabulary,)."""
        self._columns: Columns | None = None
        self._folded = Folded.empty(slots, device)
        self._limits: FloatArray = np.zeros((slots, len(Limits._fields)))
        """Limits of each slot, on the host."""
        self._modes = np.full(slots, MODES[Mode.OFF], dtype=np.int64)
        self._biased = np.zeros(slots, dtype=np.bool_)
        self._limits_there = torch.from_numpy(self._limits).to(device, copy=True)
        self._modes_there = torch.from_numpy(self._modes).to(device, copy=True)
        self._new: list[int] = []

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Take a request into a slot; returns whether it is controlled."""
        prompt = int(self._states.prompt_len.np[req_idx])
        request = self._setup.request(sampling_params, prompt)
        self._limits[req_idx] = limit_row(request, request.max_answer_tokens)
        self._modes[req_idx] = MODES[request.control]
        self._biased[req_idx] = bool(request.backtrack_bias or request.soft_end)
        self._new.append(req_idx)
        return request.control is not Mode.OFF

    def apply_staged_writes(self) -> None:
        """Bring new requests to the device. After a preemption part of a completion is there already."""
        if not self._new:
            return
        self._limits_there.copy_(torch.from_numpy(self._limits))
        self._modes_there.copy_(torch.from_numpy(self._modes))
        for slot in dict.fromkeys(self._new):
            begin, end = (int(n.np[slot]) for n in (self._states.prompt_len, self._states.prefill_len))
            tokens = self._states.all_token_ids.gpu[slot, begin:end].tolist() if end > begin else []
            one = fold_tokens(tokens, self._book.codes)
            place = torch.tensor([slot], device=self._codes.device)
            self._folded.put(place, Folded(*(values.to(self._codes.device) for values in one)))
        self._new.clear()

    def apply(self, logits: Tensor, ctx: Any) -> Tensor:
        """Change the logits in place and return them.

        Args:
            logits: shape (rows, vocabulary).
            ctx: vLLM's layout of this step.
        """
        if self._columns is None or not self._columns.fits(logits):
            self._columns = Columns(self._setup.ids, self._book.sets, logits)
        self._follow(ctx.idx_mapping.long())
        slots = ctx.expanded_idx_mapping.long()
        folded = self._folded.take(slots)
        for ahead in range(1, self._drafts + 1):
            folded = self._with_draft(folded, ctx, ahead)
        facts = folded.facts()
        limits = Limits(*self._limits_there[slots].unbind(dim=1))
        modes = self._modes_there[slots]
        chosen = self._table[(modes, *situation(facts, limits, self._at, torch))]
        self._columns.apply_on_device(logits, chosen)
        if self._biased[ctx.idx_mapping_np].any():
            strict = modes == MODES[Mode.STRICT]
            found = biases(facts, limits, deciding(facts, self._at, torch) & strict, torch)
            end, backtrack = (cast("Tensor", addends) for addends in found)
            self._columns.add_on_device(logits, end, backtrack)
        return logits

    def _follow(self, slots: Tensor) -> None:
        """Fold on what was committed since the last step: one token, and accepted drafts."""
        states = self._states
        tokens = states.all_token_ids.gpu
        prompt = states.prompt_len.gpu[slots].long()
        written = states.total_len.gpu[slots].long() - prompt
        folded = self._folded.take(slots)
        for _ in range(self._drafts + 1):
            place = (prompt + folded.length).clamp(max=tokens.shape[1] - 1)
            number = tokens[slots, place].long()
            folded = fold_rows(folded, self._codes[number], number, folded.length < written)
        self._folded.put(slots, folded)

    def _with_draft(self, folded: Folded, ctx: Any, ahead: int) -> Folded:
        """Fold on the draft token number `ahead` of the rows that stand behind it."""
        local = ctx.expanded_local_pos.long()
        every = torch.arange(len(local), device=local.device)
        place = (every - local + ahead).clamp(max=len(local) - 1)
        number = ctx.input_ids[place].long()
        return fold_rows(folded, self._codes[number], number, local >= ahead)
