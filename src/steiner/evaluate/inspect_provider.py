"""The provider `steiner/…` of inspect-ai: asks whoever was handed in, a local engine or an endpoint."""

from __future__ import annotations

import time
from typing import Any, Protocol

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.model._model_output import ChatCompletionChoice, StopReason
from inspect_ai.tool import ToolChoice, ToolInfo
from pydantic import Field

from steiner.core import InputError, Record
from steiner.evaluate.inspect_hidden import conceal, hidden_problem, reveal

PROVIDER = "steiner"
DEFAULT_TOKENS = 2048
"""Longest completion where nobody sets one."""
FACTS = frozenset(
    ("closed", "forced", "steps", "backtracks", "well_formed", "broken", "reasoning_tokens", "cut")
)
"""Of `Answered`, what goes into the metadata of a sample."""


class Asked(Record):
    """One completion to make."""

    prompt: str
    system: str = ""
    seed: int
    """Of this question and repetition."""
    max_tokens: int = Field(ge=1)
    temperature: float | None = None
    """None: whatever the endpoint does; a local model takes the most likely token."""
    top_p: float = 1.0
    limits: dict[str, Any] = Field(default_factory=dict)
    """Of thinking, by the names of `StepRequest`."""
    hidden: bool = False
    """The text is not to be stored anywhere."""
    choices: tuple[str, ...] = ()
    """Options of a hidden question: what may be kept of the reply is the letter alone."""


class Answered(Record):
    """What came of it."""

    answer: str
    """Without the reasoning."""
    reasoning: str = ""
    closed: bool = True
    """False: the reasoning did not end by itself or by a step limit."""
    forced: bool = False
    """The answer was forced after reasoning that did not end."""
    steps: int | None = None
    backtracks: int | None = None
    well_formed: bool | None = None
    """None where there is no grammar to follow."""
    broken: str = ""
    """How the grammar was broken first, in words without the model's."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Reasoning included."""
    reasoning_tokens: int = 0
    cut: bool = False
    """The limit of tokens came first."""
    seconds: float = 0.0


class Asker(Protocol):
    """Somebody who answers: many questions at once, all on one event loop."""

    async def ask(self, asked: Asked) -> Answered:
        """Answer one question.

        Raises:
            SteinerError: if it cannot be answered; that question counts as an error.
        """
        ...


_ASKERS: dict[str, Asker] = {}


def hand_in(name: str, asker: Asker) -> str:
    """Let `steiner/NAME` be answered by `asker`; return that name of the model."""
    _ASKERS[name] = asker
    return f"{PROVIDER}/{name}"


class SteinerAPI(ModelAPI):
    """Puts hidden questions in, asks, and gives back what may be logged."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - the signature of all providers
        **model_args: Any,
    ) -> None:
        """Check that somebody was handed in under the model's name.

        Raises:
            InputError: if there is none.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        if model_name not in _ASKERS:
            raise InputError(f"No model was handed in as {PROVIDER}/{model_name}: run it by `steiner eval`.")

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer the last message of the user."""
        question = input[-1].text
        system = "\n".join(message.text for message in input if message.role == "system")
        problem = hidden_problem(question)
        started = time.monotonic()
        # Not kept: inspect-ai keeps this object for later runs, to which others may have been handed in.
        answered = await _ASKERS[self.model_name].ask(
            Asked(
                prompt=reveal(question),
                system=system,
                seed=config.seed or 0,
                max_tokens=config.max_tokens or DEFAULT_TOKENS,
                temperature=config.temperature,
                top_p=1.0 if config.top_p is None else config.top_p,
                limits=config.extra_body or {},
                hidden=problem is not None,
                choices=problem.choices if problem is not None else (),
            )
        )
        if problem is not None:
            said = conceal(problem, answered.answer)
            answered = answered.model_copy(update={"answer": said, "reasoning": "", "broken": ""})
        return to_output(answered, self.model_name, time.monotonic() - started)

    def max_connections(self) -> int:
        """Leave it to the asker how many are answered at once."""
        return 1024


def to_output(answered: Answered, model: str, seconds: float) -> ModelOutput:
    """Return an answer as inspect-ai keeps it; what it has no place for goes into the metadata."""
    reasoning = [ContentReasoning(reasoning=answered.reasoning)] if answered.reasoning else []
    message = ChatMessageAssistant(
        content=[*reasoning, ContentText(text=answered.answer)] if reasoning else answered.answer,
        model=model,
        source="generate",
    )
    stop: StopReason = "max_tokens" if answered.cut else "stop"
    facts = answered.model_dump(include=set(FACTS))
    return ModelOutput(
        model=model,
        choices=[ChatCompletionChoice(message=message, stop_reason=stop)],
        usage=ModelUsage(
            input_tokens=answered.prompt_tokens,
            output_tokens=answered.completion_tokens,
            total_tokens=answered.prompt_tokens + answered.completion_tokens,
            reasoning_tokens=answered.reasoning_tokens,
        ),
        time=answered.seconds or seconds,
        metadata={"steiner": facts},
    )


@modelapi(name=PROVIDER)
def _steiner() -> type[ModelAPI]:
    return SteinerAPI
