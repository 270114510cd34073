"""What the server asks of an engine."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from steiner.decode.request import StepRequest
from steiner.protocol import ControlIds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class EngineError(Exception):
    """The model failed; the message is for the log, not for clients."""


class EngineState(StrEnum):
    """Whether an engine can write."""

    READY = "ok"
    STARTING = "starting"
    FAILED = "failed"
    """For good."""


class Finish(StrEnum):
    """Why a completion is over, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


class Generation(NamedTuple):
    """One completion to write."""

    prompt: tuple[int, ...]
    steps: StepRequest
    """Its limits; strict control needs them to leave room for an answer (`StepRequest.within`)."""
    max_tokens: int
    """Most tokens to write, the end of text included."""
    temperature: float
    """0 takes the most likely token."""
    top_p: float = 1.0
    seed: int | None = None
    """Equal seeds draw equal numbers, whatever else is in the batch."""
    deadline: float = math.inf
    """On the clock of `time.monotonic`; then the completion is cut where it is."""
    top_logprobs: int | None = None
    """How many likely tokens to report beside each; None reports no log-probabilities."""


class TokenLogprob(NamedTuple):
    """What the model thought of a token, before step control and temperature."""

    logprob: float
    top: tuple[tuple[int, float], ...]
    """Most likely ids with their log-probabilities, falling."""


class TokenChunk(NamedTuple):
    """More of a completion."""

    ids: tuple[int, ...]
    """The end of text included."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per id, if asked for."""
    finish: Finish | None = None
    """Set in the last chunk."""
    cached_tokens: int = 0
    """In the last chunk: tokens of the prompt that did not have to be read again."""


class EngineStats(NamedTuple):
    """How busy an engine is."""

    running: int
    waiting: int
    prompt_tokens: int
    """Tokens of prompts so far."""
    cached_tokens: int
    """Those of them whose keys and values were at hand."""
    completion_tokens: int


class Engine(Protocol):
    """Writes completions. All methods belong to one event loop."""

    tokenizer: PreTrainedTokenizerBase
    ids: ControlIds
    context: int
    """Most tokens of prompt and completion together."""

    @property
    def state(self) -> EngineState:
        """Tell whether it can write."""
        ...

    async def start(self) -> None:
        """Begin to work."""

    def stream(self, generation: Generation) -> AsyncGenerator[TokenChunk, None]:
        """Yield the completion as it is written. Closing the generator frees its place at once.

        Raises:
            EngineError: if the model fails, or the engine is not ready.
        """
        ...

    def stats(self) -> EngineStats:
        """Return counts."""
        ...

    async def close(self) -> None:
        """Stop; what is being written is cut."""
