"""Step control for the continuous batching of transformers.

>>> manager = model.init_continuous_batching(generation_config, continuous_batching_config)
>>> control_steps(manager, ControlIds.from_tokenizer(tokenizer))
>>> manager.start()
>>> manager.add_request(prompt_ids, max_new_tokens=2048, steps=StepRequest(min_steps=2, max_steps=8))

Continuous batching knows logits processors of a class of its own only, which get one number per row and no
tokens. So what may follow is decided while a batch is prepared, and the number is that of an allowed set.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
)

from steiner.core import InputError
from steiner.decode.columns import Columns
from steiner.decode.control import Rulebook
from steiner.decode.live import Asked, Live, Verdict
from steiner.decode.request import StepRequest
from steiner.protocol import ControlIds

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "_steiner_live"


class _Processor(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """What our processors have in common: the numbers of the rows are made by one of them for all."""

    supported_kwargs: dict[str, type] = {"steps": StepRequest}  # noqa: RUF012
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        """Say that nothing is touched."""
        int32_tensor.zero_()


class ContinuousStepControl(_Processor):
    """Lets only allowed tokens through, each request by its own `steps` (a `StepRequest`)."""

    def __init__(self, ids: ControlIds, defaults: StepRequest | None = None) -> None:
        """Control the steps of a model with these ids; `defaults` are for requests that say nothing."""
        self._book = Rulebook(ids)
        self._defaults = defaults or StepRequest()
        self._columns: Columns | None = None
        self.verdict: Verdict | None = None
        """Of the batch that was prepared last."""

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> Tensor:
        """Read what is new and decide; returns the allowed sets, shape (requests,)."""
        live = [self._live(future.state) for future in requests_with_new_token]
        if not live:
            self.verdict = Verdict(np.zeros(0, dtype=np.int64), None)
        else:
            self.verdict = Asked.of(live).judge(live, self._book)
        return torch.from_numpy(self.verdict.chosen.astype(np.int32))

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        """Change the scores in place and return them.

        Args:
            scores: shape (rows, vocabulary); rows beyond the requests are padding.
            tensor_arg: allowed set of each row.
        """
        if self._columns is None or not self._columns.fits(scores):
            self._columns = Columns(self._book.ids, self._book.sets, scores)
        chosen = tensor_arg[: len(scores)]
        if scores.device.type == "cpu":
            return self._columns.apply(scores, chosen.numpy().astype(np.int64))
        return self._columns.apply_on_device(scores, chosen.long())

    def _live(self, state: Any) -> Live:
        """Return what is kept on a request's state, so that it is copied and forgotten with it."""
        live: Live | None = getattr(state, _KEY, None)
        if live is None:
            request = state.logit_processor_kwargs.get("steps", self._defaults)
            before = state._true_initial_tokens
            # After an eviction part of the completion is in the prompt.
            written = len(state.initial_tokens) - before if before else 0
            limit = None if state.max_new_tokens is None else state.max_new_tokens + written
            with suppress(InputError):  # It would end every request of the batch; this one is cut instead.
                request = request.within(limit)
            live = Live(request)
            setattr(state, _KEY, live)
        live.follow(_completion(state), self._book)
        return live


class ContinuousStepBias(_Processor):
    """Adds to the logit of END or of BACKTRACK what a `ContinuousStepControl` before it has found."""

    def __init__(self, control: ContinuousStepControl, name: str, number: int) -> None:
        """Take the addends `name` of `Biases`, for the token with id `number`."""
        self._control = control
        self._name = name
        self._number = number

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> Tensor:
        """Return the addends as float32 seen as int32, shape (requests,)."""
        verdict = self._control.verdict
        if verdict is None or verdict.biases is None:
            return torch.zeros(len(requests_with_new_token), dtype=torch.int32)
        addends = getattr(verdict.biases, self._name).astype(np.float32)
        return torch.from_numpy(addends).view(torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        """Add to one column, in place, and return the scores."""
        scores[:, self._number] += tensor_arg[: len(scores)].view(torch.float32).to(scores.dtype)
        return scores


def control_steps(manager: Any, ids: ControlIds, defaults: StepRequest | None = None) -> None:
    """Put step control into a `ContinuousBatchingManager` that has not started yet.

    Its requests then take `steps=StepRequest(...)`. Step control comes before temperature and top-p.

    Args:
        manager: from `model.init_continuous_batching`.
        ids: of the model's tokenizer.
        defaults: for requests without `steps`.

    Raises:
        InputError: if the manager runs already, or draws a token before the last one is known.
    """
    if manager.is_running() or getattr(manager, "batch_processor", None) is not None:
        raise InputError("the manager has started; put step control into it before")
    if manager.continuous_batching_config.use_async_batching:
        raise InputError(
            "step control must know the last token when a batch is prepared; pass "
            "ContinuousBatchingConfig(use_async_batching=False)"
        )
    control = ContinuousStepControl(ids, defaults)
    end, backtrack = (ids.control[place] for place in (1, 3))
    ours = [
        control,
        ContinuousStepBias(control, "end", end),
        ContinuousStepBias(control, "backtrack", backtrack),
    ]
    processors = manager.logit_processor
    processors.logits_processor[:0] = ours
    processors.tensors_required += len(ours)
    processors._retrieve_processors_kwargs()
    processors.do_processing = True


def _completion(state: Any) -> Sequence[int]:
    """Return the tokens after the prompt, also those that an eviction moved into it."""
    before = state._true_initial_tokens
    written: list[int] = state.generated_tokens
    return [*state.initial_tokens[before:], *written] if before else written
