"""What a server is: its model, its faults and its manners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from steiner.core import Settings
from steiner.testing.arithmetic_model import ArithmeticModel
from steiner.testing.faults import Faults
from steiner.testing.models import CannedModel, EchoModel, ImportedModel
from steiner.testing.wire import Reasoning

AnyModel = Annotated[ArithmeticModel | CannedModel | EchoModel | ImportedModel, Field(discriminator="kind")]


class ServerSettings(Settings):
    """All that decides how a server behaves. Equal settings behave alike, up to time and load."""

    model: AnyModel = ArithmeticModel()
    faults: Faults = Faults()
    seed: int = 0
    """Of the faults and latencies; a model has its own."""
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    """0: any free one."""
    name: str = "scripted"
    """The model's name, for `GET /v1/models` and replies."""
    any_name: bool = True
    """Answer requests for any model; otherwise those for others than `name` get 404."""
    api_key: str = Field(default="", repr=False)
    """Where given, requests without this bearer token get 401."""
    refuses: tuple[str, ...] = ()
    """Fields of a request that get 400, for example `seed` or `max_tokens`. `json_schema` and `json_object`
    stand for these types of `response_format`."""
    context_tokens: int = Field(default=0, ge=0)
    """Prompts that are longer than this, with what may be written, get 400; 0: no limit."""
    reasoning: Reasoning = "none"
    piece: int = Field(default=40, ge=1)
    """Characters of one event of a stream."""
    piece_s: float = Field(default=0.0, ge=0)
    """Seconds between two events of a stream."""
    log: Path | None = None
    """JSONL file that gets each request: `{"digest": …, "body": …}`; no headers, so no keys."""
    count_bodies: bool = True
    """Count by body. Takes about 300 bytes for each distinct body; off, memory stays flat for any number of
    requests, as long as there is nothing in `faults` that needs the counts."""
