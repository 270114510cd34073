"""vLLM in this process: its `AsyncLLM`, with step control by our installed plugin.

Imported only where vLLM is installed, which is an environment of its own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoTokenizer
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from steiner.core import InputError
from steiner.protocol import ControlIds, check_vocabulary, ensure_chat_template
from steiner.serve.engines.base import EngineState, EngineStats, Finish, Generation, TokenChunk, TokenLogprob
from steiner.serve.settings import EngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger("steiner.serve")

PLUGINS = "vllm.logits_processors"
MOST_LOGPROBS = 20


class VllmEngine:
    """Completions by vLLM."""

    def __init__(self, args: AsyncEngineArgs, tokenizer: PreTrainedTokenizerBase) -> None:
        """Prepare an engine; `start` loads the model."""
        self.tokenizer = tokenizer
        self.ids = ControlIds.from_tokenizer(tokenizer)
        self.context = 0
        self._args = args
        self._llm: AsyncLLM
        self._streams = 0
        self._started = 0
        self._prompt_tokens = self._cached_tokens = self._completion_tokens = 0

    @classmethod
    def load(cls, place: str, settings: EngineSettings) -> VllmEngine:
        """Prepare vLLM for a model folder or hub id; safetensors only, no code from the folder.

        Raises:
            InputError: if the model lacks the control tokens, or the plugin is not installed beside vLLM.
        """
        if not any(point.name == "steiner" for point in entry_points(group=PLUGINS)):
            raise InputError(
                "vLLM would not know step control: its environment has vllm but the package steiner is not "
                "installed in it. Run `pip install --no-deps steiner` there."
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(place)
            rows = AutoConfig.from_pretrained(place).vocab_size
        except (OSError, ValueError) as error:
            raise InputError(f"the model '{place}' cannot be loaded: {error}") from error
        ensure_chat_template(tokenizer)
        check_vocabulary(ControlIds.from_tokenizer(tokenizer), rows)
        args = AsyncEngineArgs(
            model=place,
            load_format="safetensors",
            trust_remote_code=False,
            enable_log_requests=False,
            disable_log_stats=True,
            enable_prefix_caching=settings.prefix_tokens > 0,
            max_num_seqs=settings.batch,
            max_logprobs=MOST_LOGPROBS,
            **settings.vllm,
        )
        return cls(args, tokenizer)

    async def start(self) -> None:
        """Load the model and begin to work."""
        self._llm = AsyncLLM.from_engine_args(self._args)
        self.context = int(self._llm.model_config.max_model_len)

    async def close(self) -> None:
        """Stop."""
        await asyncio.to_thread(self._llm.shutdown)

    @property
    def state(self) -> EngineState:
        """Tell whether vLLM runs."""
        if not self.context:
            return EngineState.STARTING
        return EngineState.FAILED if self._llm.errored else EngineState.READY

    def stats(self) -> EngineStats:
        """Return counts; a completion waits until its first token."""
        return EngineStats(
            self._started,
            self._streams - self._started,
            self._prompt_tokens,
            self._cached_tokens,
            self._completion_tokens,
        )

    async def stream(self, generation: Generation) -> AsyncGenerator[TokenChunk, None]:
        """Yield the completion as it is written."""
        prompt: Any = {"prompt_token_ids": list(generation.prompt)}
        outputs = self._llm.generate(prompt, self._params(generation), f"steiner-{secrets.token_hex(8)}")
        begun = False
        self._streams += 1
        self._prompt_tokens += len(generation.prompt)
        try:
            async with aclosing(outputs), asyncio.timeout(max(0.0, generation.deadline - time.monotonic())):
                async for output in outputs:
                    chunk = self._chunk(output, begun, generation.top_logprobs or 0)
                    self._started += not begun
                    begun = True
                    yield chunk
        except TimeoutError:
            yield TokenChunk((), finish=Finish.LENGTH)
        finally:
            self._streams -= 1
            self._started -= begun

    def _params(self, generation: Generation) -> SamplingParams:
        steps = generation.steps.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return SamplingParams(
            temperature=generation.temperature,
            top_p=generation.top_p,
            # vLLM reads -1 as no seed and takes what fits 64 bits.
            seed=None if generation.seed is None else generation.seed & (2**63 - 1),
            max_tokens=generation.max_tokens,
            logprobs=generation.top_logprobs,
            stop_token_ids=[self.ids.eos],
            detokenize=False,
            skip_special_tokens=False,
            output_kind=RequestOutputKind.DELTA,
            extra_args={**steps, "control": str(generation.steps.control)},
        )

    def _chunk(self, output: Any, begun: bool, top: int) -> TokenChunk:
        (one,) = output.outputs
        ids = tuple(one.token_ids)
        cached = output.num_cached_tokens or 0
        self._completion_tokens += len(ids)
        if not begun:
            self._cached_tokens += cached
        finish = None
        if output.finished:
            finish = Finish.LENGTH if one.finish_reason == "length" else Finish.STOP
        return TokenChunk(ids, _logprobs(ids, one.logprobs, top), finish, cached)


def _logprobs(
    ids: Sequence[int], found: Sequence[Mapping[int, Any] | None] | None, top: int
) -> tuple[TokenLogprob, ...]:
    """Read vLLM's log-probabilities: the token that was drawn, and the most likely ones by rank."""
    made = []
    for number, every in zip(ids, found or (), strict=False):
        if every is None:
            continue
        ranked = sorted(every.items(), key=lambda item: item[1].rank or 0)
        if len(ranked) > top:
            ranked = [item for item in ranked if item[0] != number]  # not among those that were asked for
        made.append(TokenLogprob(every[number].logprob, tuple((token, one.logprob) for token, one in ranked)))
    return tuple(made)
