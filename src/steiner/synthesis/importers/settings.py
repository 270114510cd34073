"""What decides an import."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from steiner.core import Grading, Settings
from steiner.synthesis.importers.prose import ProseSettings


class ChatColumn(StrEnum):
    """What a column of a chat log may hold."""

    QUESTION = "question"
    """Text, or a list of chat messages."""
    RESPONSE = "response"
    """The model's text, a message, or a list of either: several samples."""
    REFERENCE = "reference"
    """The right answer, or a solution that ends with it."""
    CORRECT = "correct"
    """Whether the response is right; parallel to a list of responses."""
    ANSWER = "answer"
    """The answer that was read out of the response."""
    MODEL = "model"
    CHOICES = "choices"
    LANGUAGE = "language"


class ChatSettings(Settings):
    """How the columns of chat logs are read, where guessing is not enough."""

    columns: dict[ChatColumn, str] = Field(default_factory=dict)
    right_from: float | None = None
    """A numeric score counts as right from here on; without it only 0, 1 and -1 are understood."""
    grading: Grading | None = None
    """How answers are compared; by default by the look of each reference."""


class ImportSettings(Settings):
    """What decides the imported problems and traces, the files' contents apart."""

    format: str = "mmlu-pro"
    limit: int | None = Field(default=None, ge=1)
    """Take only the first so many questions."""
    prose: ProseSettings = ProseSettings()
    """How prose is split into steps; native traces have their steps already."""
    chat: ChatSettings | None = None
    """Only for the format `chat`; None: everything is guessed."""
