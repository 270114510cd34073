"""What a server may be told."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, SecretStr, model_validator

from steiner.core import Settings
from steiner.decode import Mode
from steiner.protocol.history import HistoryPolicy


class Effort(StrEnum):
    """OpenAI's words for how much to think, and `max`."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class Display(StrEnum):
    """How much of the reasoning a client sees."""

    FULL = "full"
    SUMMARIES = "summaries"
    """Names and summaries of the steps, as o1 shows it."""
    HIDDEN = "hidden"


class EffortRange(Settings):
    """What a word of effort stands for."""

    min_steps: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    max_reasoning_tokens: int | None = Field(default=None, ge=16)

    @model_validator(mode="after")
    def _check(self) -> EffortRange:
        if self.max_steps is not None and self.min_steps > self.max_steps:
            raise ValueError(f"min_steps {self.min_steps} is more than max_steps {self.max_steps}")
        return self


EFFORTS: Mapping[Effort, EffortRange] = {
    Effort.NONE: EffortRange(max_steps=1, max_reasoning_tokens=16),
    Effort.MINIMAL: EffortRange(max_steps=2),
    Effort.LOW: EffortRange(max_steps=4),
    Effort.MEDIUM: EffortRange(min_steps=2, max_steps=8),
    Effort.HIGH: EffortRange(min_steps=4, max_steps=16),
    Effort.XHIGH: EffortRange(min_steps=6, max_steps=32),
    Effort.MAX: EffortRange(min_steps=8, max_steps=64),
}
"""Step ranges unless the settings say otherwise. The grammar needs one step, so `none` is one step of hardly
any text."""


class RequestLimits(Settings):
    """What one request may ask for."""

    body_bytes: int = Field(default=1_000_000, ge=1024)
    messages: int = Field(default=512, ge=1)
    choices: int = Field(default=16, ge=1)
    """Largest `n`, and most prompts of one request."""
    new_tokens: int = Field(default=32_768, ge=32)
    """Most tokens of one completion; a larger `max_tokens` is refused."""
    default_new_tokens: int = Field(default=8192, ge=32)
    """Limit of a completion whose request sets none."""
    stop_strings: int = Field(default=4, ge=0)
    stop_characters: int = Field(default=256, ge=1)
    top_logprobs: int = Field(default=20, ge=0)
    seconds: float = Field(default=600.0, gt=0)
    """From the request's last byte to the end of its completion, which is then cut (`length`)."""
    body_seconds: float = Field(default=30.0, gt=0)
    """A slower body is refused with 408."""
    write_seconds: float = Field(default=60.0, gt=0)
    """A client that takes no byte for so long is dropped."""


class EngineSettings(Settings):
    """How tokens are made."""

    kind: str = Field(default="transformers", pattern="^(transformers|vllm)$")
    device: str | None = None
    """For example `cuda`; by default a GPU if there is one."""
    process: bool | None = None
    """Of `transformers`: in a process of its own; by default on a CPU with more than one core."""
    batch: int = Field(default=64, ge=1)
    """Completions written at once; more wait."""
    cache_tokens: int = Field(default=262_144, ge=64)
    """Keys and values kept for running completions: rows × longest row, in tokens."""
    prefix_tokens: int = Field(default=65_536, ge=0)
    """Keys and values kept of finished conversations, in tokens; 0 for none."""
    prefill_tokens: int = Field(default=2048, ge=16)
    """Prompt tokens read between two tokens of the running completions."""
    vllm: dict[str, Any] = Field(default_factory=dict)
    """More arguments of vLLM's `AsyncEngineArgs`, for example `gpu_memory_utilization`."""
    flush_seconds: float = Field(default=0.02, ge=0)
    """Tokens of one completion are handed on together, at most this often."""


class ServeSettings(Settings):
    """All of a server's settings."""

    name: str = ""
    """Name of the model in the API; by default the last part of its path."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    hosts: tuple[str, ...] = ()
    """Names that a request's Host may have besides IP addresses, `localhost` and `host`; `*` allows all."""
    origins: tuple[str, ...] = ()
    """Web pages of other origins that may ask, for example `https://chat.example`."""
    concurrency: int = Field(default=256, ge=1)
    """Completions accepted at once, those that wait included; more get 429."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long running requests may go on after SIGTERM."""
    control: Mode = Mode.STRICT
    temperature: float = Field(default=1.0, ge=0, le=2)
    """Of requests that set none."""
    reasoning: Display = Display.FULL
    history: HistoryPolicy = HistoryPolicy.SUMMARIES
    effort: Effort | None = None
    """Effort of a request that sets none; None for no limits."""
    efforts: dict[Effort, EffortRange] = Field(default_factory=dict)
    """Replaces single ranges of `EFFORTS`."""
    announce: bool = False
    """Say a request's effort and step limits in the system message, in the words that training uses."""
    examples: tuple[str, ...] = ()
    """Questions that the chat page offers; by default those in the record of a shipped model."""
    system_prompt: str = ""
    """System message of conversations that bring none."""
    remembered_turns: int = Field(default=1024, ge=0)
    """Completions kept to carry their reasoning into later turns whose client sends only the answer back."""
    limits: RequestLimits = RequestLimits()
    engine: EngineSettings = EngineSettings()
