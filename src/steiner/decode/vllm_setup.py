"""What the two logits processors for vLLM have in common: ids, defaults, and a request's limits."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from steiner.core import InputError
from steiner.decode.request import StepRequest, read_request
from steiner.decode.rules import Mode
from steiner.protocol import ControlIds, check_vocabulary

PARSER = "steiner"
"""Name for `--reasoning-parser`."""
KEY = "steiner"
"""Place of the server's defaults in vLLM's `--additional-config`."""


def register() -> None:
    """Make the reasoning parser known to vLLM: entry point `vllm.general_plugins`, called in any process."""
    from vllm.reasoning import ReasoningParserManager

    ReasoningParserManager.register_lazy_module(
        PARSER, "steiner.decode.vllm_parser", "SteinerReasoningParser"
    )


class Setup(NamedTuple):
    """What stays the same for a server."""

    ids: ControlIds
    defaults: StepRequest
    max_model_len: int

    @classmethod
    def read(cls, vllm_config: Any) -> Setup:
        """Read them from vLLM's configuration.

        Raises:
            InputError: if the model lacks the control tokens, or the defaults contradict each other.
        """
        from vllm.tokenizers import cached_tokenizer_from_config

        model = vllm_config.model_config
        tokenizer = cached_tokenizer_from_config(model)
        if tokenizer is None:
            raise InputError("step control needs the tokenizer; leave out vLLM's --skip-tokenizer-init")
        ids = ControlIds.from_tokenizer(tokenizer)
        check_vocabulary(ids, model.get_vocab_size())
        additional = vllm_config.additional_config
        given = additional.get(KEY) if isinstance(additional, dict) else None
        return cls(ids, read_request(given, others=False), int(model.max_model_len))

    def request(self, params: Any, prompt_length: int | None) -> StepRequest:
        """Return the limits of a request that `validate` has let in.

        Args:
            params: vLLM's `SamplingParams`.
            prompt_length: tokens of the prompt, None if it has none.
        """
        limits = [self.max_model_len - prompt_length if prompt_length is not None else None]
        limits.append(params.max_tokens)
        request = read_request(params.extra_args, self.defaults)
        # An error here would end the engine. What does not fit the context is cut.
        with suppress(InputError):
            request = request.within(min((n for n in limits if n is not None), default=None))
        return request


def validate(params: Any) -> None:
    """Refuse a request whose limits cannot be kept, before it reaches the engine.

    Raises:
        ValueError: vLLM answers it with status 400.
    """
    try:
        request = read_request(params.extra_args).within(params.max_tokens)
    except InputError as error:
        raise ValueError(str(error)) from error
    if params.min_tokens and request.control is Mode.STRICT:
        raise ValueError(
            "min_tokens cannot be kept by step control, which ends the answer where it must; use min_steps"
        )
