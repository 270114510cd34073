"""Who writes the completions that RL learns from."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from steiner.core import Settings


class RolloutSettings(Settings):
    """The engine that writes rollouts, and where it is.

    Only `engine` belongs to what decides the outcome of a training: a server may move while one is resumed.
    """

    engine: Literal["transformers", "vllm"] = "transformers"
    """`transformers`: the trainer writes with its own weights. `vllm`: a vLLM server does, in an environment
    of its own, and gets the weights before each batch of completions."""
    base_url: str = Field(default="http://127.0.0.1:8000", exclude=True)
    """Address of the vLLM server."""
    weights: str | None = Field(default=None, exclude=True)
    """Folder through which weights travel; the server must see it under the same path. By default
    `rollout-weights` in the output folder; one in memory, such as `/dev/shm/steiner`, is faster."""
    timeout: float = Field(default=1800.0, gt=0, exclude=True)
    """Seconds to wait for one reply of the server: for a completion, or until it has read the weights."""

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is no address of a server; write it as http://127.0.0.1:8000")
        return value.rstrip("/").removesuffix("/v1")

    @model_validator(mode="after")
    def _check(self) -> RolloutSettings:
        given = self.model_fields_set - {"engine"}
        if self.engine == "transformers" and given:
            raise ValueError(f'{", ".join(sorted(given))}: for engine = "vllm" only')
        return self

    @property
    def is_local(self) -> bool:
        """Whether the trainer writes completions itself. Such settings leave no trace in the stage's own."""
        return self.engine == "transformers"
