"""Step control where this package is installed beside vLLM, without naming it on the command line.

The entry point `vllm.logits_processors` in `pyproject.toml`, which both model runners read. A model without
our control tokens is left alone.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any

from vllm.v1.sample.logits_processor import LogitsProcessor as V1LogitsProcessor

from steiner.core import InputError
from steiner.decode import vllm_v1
from steiner.decode.vllm_setup import validate

try:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as V2LogitsProcessor
except ImportError:  # vLLM before model runner V2
    V2LogitsProcessor = None

_HOME = "steiner.decode."
_log = logging.getLogger(__name__)


class _Nothing:
    """A processor of either kind that touches nothing."""

    def __init__(self, *_: Any) -> None:
        """Take whatever comes."""

    def is_argmax_invariant(self) -> bool:
        """Say that nothing is changed."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Ignore the batch."""

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Decline a request."""
        return False

    def apply_staged_writes(self) -> None:
        """Write nothing."""

    def apply(self, logits: Any, ctx: Any = None) -> Any:
        """Return the logits as they are."""
        return logits


_BASES: tuple[Any, ...] = (V1LogitsProcessor,) if V2LogitsProcessor is None else (
    V1LogitsProcessor,
    V2LogitsProcessor,
)  # fmt: skip


class StepControlPlugin(*_BASES):  # type: ignore[misc]
    """Is a logits processor to both runners; what it makes is the one for the runner that asks.

    Both read the same entry point, and each refuses a class that is not of its own family.
    """

    def __new__(cls, vllm_config: Any, *runner: Any) -> Any:
        """Return the processor of the runner: V1 hands over two more things, V2 one."""
        named = vllm_config.model_config.logits_processors or ()
        if any(_HOME in (one if isinstance(one, str) else one.__module__) for one in named):
            return _Nothing()  # named on the command line as well: once is enough
        try:
            if len(runner) == 1:
                from steiner.decode import vllm_v2

                return vllm_v2.StepControlLogitsProcessor(vllm_config, *runner)
            processor = vllm_v1.StepControlLogitsProcessor(vllm_config, *runner)
        except InputError as error:
            _log.info("no step control for this model: %s", error)
            return _Nothing()
        _ask_for_tokens()
        return processor

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse limits that cannot be kept.

        Raises:
            ValueError: names what is wrong.
        """
        validate(sampling_params)


def _ask_for_tokens() -> None:
    """Make the V1 runner tell its processors the tokens that it has drawn.

    With asynchronous scheduling it does so only where processors are named on the command line, and forgets
    those that are installed (vLLM 0.32, `logitsprocs_need_output_token_ids`).
    """
    from vllm.v1.worker.gpu_input_batch import InputBatch

    plain = InputBatch.__init__
    if getattr(plain, "steiner", False):
        return

    @wraps(plain)
    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        if any(getattr(one, "needs_output_token_ids", False) for one in self.logitsprocs.all):
            self.logitsprocs_need_output_token_ids = True

    begin.steiner = True  # type: ignore[attr-defined]
    InputBatch.__init__ = begin
