"""Requests as they come in: which fields there are, which are refused, and where OpenAI says so.

As OpenAI does, unknown fields are refused. Fields of OpenAI's that change nothing here are ignored, fields
whose absence would change the answer (tools, a JSON schema) are refused unless they ask for nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from steiner.core import SoftEnd
from steiner.decode import Mode
from steiner.protocol.history import HistoryPolicy
from steiner.serve.errors import ApiError, bad
from steiner.serve.settings import Display, Effort

INT64 = 2**63


class Part(BaseModel):
    """A part of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None


class ChatMessage(BaseModel):
    """A message. Fields of other services are ignored: clients send back what they got."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class StreamOptions(BaseModel):
    """What a stream carries besides the deltas."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ReasoningOptions(BaseModel):
    """`reasoning` as an object: of the Responses API, and of other services."""

    effort: Effort | None = None
    summary: str | None = None
    exclude: bool | None = None
    max_tokens: int | None = Field(default=None, ge=16)
    context: str | None = None
    mode: str | None = None


def _one_as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Strings = Annotated[list[str], BeforeValidator(_one_as_list)]


class Body(BaseModel):
    """What all three endpoints share."""

    model_config = ConfigDict(extra="forbid")
    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "metadata",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "store",
            "user",
            "verbosity",
        }
    )
    refused: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Field → values that ask for nothing."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-INT64, lt=INT64)
    min_steps: int | None = Field(default=None, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    max_reasoning_tokens: int | None = Field(default=None, ge=16)
    max_step_tokens: int | None = Field(default=None, ge=10)
    max_answer_tokens: int | None = Field(default=None, ge=1)
    backtrack_bias: float | None = Field(default=None, ge=-100, le=100)
    ban_repeats: bool | None = None
    soft_end: SoftEnd | None = None
    control: Mode | None = None
    history: HistoryPolicy | None = None
    reasoning: Display | ReasoningOptions | None = None
    reasoning_effort: Effort | None = None


class ChatBody(Body):
    """Body of /v1/chat/completions."""

    ignored: ClassVar[frozenset[str]] = Body.ignored | {"parallel_tool_calls", "prediction"}
    refused: ClassVar[dict[str, tuple[Any, ...]]] = {
        "audio": (),
        "frequency_penalty": (0,),
        "function_call": ("none", "auto"),
        "functions": ([],),
        "logit_bias": ({},),
        "modalities": (["text"],),
        "moderation": (),
        "presence_penalty": (0,),
        "response_format": ({"type": "text"},),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "web_search_options": (),
    }

    messages: list[ChatMessage] = Field(min_length=1)
    n: int | None = Field(default=None, ge=1)
    stop: Strings | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)


class CompletionBody(Body):
    """Body of /v1/completions."""

    refused: ClassVar[dict[str, tuple[Any, ...]]] = {
        "echo": (False,),
        "frequency_penalty": (0,),
        "logit_bias": ({},),
        "presence_penalty": (0,),
        "suffix": ("",),
    }

    prompt: Strings
    n: int | None = Field(default=None, ge=1)
    best_of: int | None = Field(default=None, ge=1)
    stop: Strings | None = None
    logprobs: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)


class InputItem(BaseModel):
    """An item of the Responses API: a message, or reasoning sent back."""

    type: Literal["message", "reasoning"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Part] | None = None
    summary: list[Part] | None = None


class ResponsesBody(Body):
    """Body of /v1/responses."""

    ignored: ClassVar[frozenset[str]] = Body.ignored | {
        "include",
        "max_tool_calls",
        "parallel_tool_calls",
        "truncation",
    }
    refused: ClassVar[dict[str, tuple[Any, ...]]] = {
        "background": (False,),
        "context_management": ([],),
        "conversation": (),
        "moderation": (),
        "previous_response_id": (),
        "prompt": (),
        "text": ({}, {"format": {"type": "text"}}),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
    }

    input: str | list[InputItem]
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)


BodyT = TypeVar("BodyT", bound=Body)


def parse_body(cls: type[BodyT], raw: bytes) -> BodyT:
    """Read a request's body.

    Raises:
        ApiError: 400 with the field and what is wrong with it.
    """
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad(
            f"We could not parse the JSON body of your request: {error}. The API expects a JSON payload."
        ) from error
    if not isinstance(found, dict):
        raise bad("The JSON body of a request must be an object.")
    values = {name: value for name, value in found.items() if value is not None and name not in cls.ignored}
    for name in cls.refused.keys() & values.keys():
        if values.pop(name) not in cls.refused[name]:
            raise bad(f"'{name}' is not supported by this server.", name, "unsupported_parameter")
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise _complaint(error) from error


def _complaint(error: ValidationError) -> ApiError:
    """Return OpenAI's error for the first thing that is wrong."""
    item = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = [str(part) for part in item["loc"]]
    param = ".".join(place) or None
    if item["type"] == "extra_forbidden":
        return bad(f"Unrecognized request argument supplied: {param}", param, "unknown_parameter")
    if item["type"] == "missing":
        return bad(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    message = item["msg"].removeprefix("Value error, ")
    code = "invalid_type" if item["type"].endswith("_type") else "invalid_value"
    return bad(f"Invalid value for '{param}': {message}.", param, code)


def text_of(content: str | list[Part] | None, param: str) -> str:
    """Return a content as text.

    Raises:
        ApiError: for anything but text.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        text = part.refusal if part.type == "refusal" else part.text
        if text is None or part.type not in (
            "text",
            "input_text",
            "output_text",
            "reasoning_text",
            "summary_text",
            "refusal",
        ):
            raise bad(
                f"Invalid content type '{part.type}': this model reads text only.", param, "invalid_value"
            )
        texts.append(text)
    return "".join(texts)
