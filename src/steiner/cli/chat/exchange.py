"""A question with its answer, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from steiner.cli.chat.options import ChatOptions
from steiner.protocol import Event, Message, Parsed

Show = Callable[[Event], None]


class Exchange(NamedTuple):
    """A question and what came back."""

    question: str
    parsed: Parsed
    reasoning_tokens: int | None
    """None where the server did not say."""
    reasoning_text: str = ""
    """The reasoning as a server sent it; later turns send it back."""


class Answerer(Protocol):
    """Answers a question in the light of earlier exchanges."""

    name: str

    def answer(
        self, earlier: Sequence[Exchange], question: str, options: ChatOptions, show: Show
    ) -> Exchange:
        """Think and answer, telling `show` each event as it comes.

        Raises:
            InputError: if the question cannot be answered as it is.
        """


def messages_of(earlier: Sequence[Exchange], question: str, options: ChatOptions) -> list[Message]:
    """Return the conversation, each answer with the path that led to it."""
    messages = [Message("system", options.system_prompt)] if options.system_prompt else []
    for exchange in earlier:
        parsed = exchange.parsed
        messages += [
            Message("user", exchange.question),
            Message("assistant", parsed.answer, parsed.path),
        ]
    return [*messages, Message("user", question)]
