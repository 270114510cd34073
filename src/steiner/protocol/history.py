"""What a later turn of a conversation carries of an earlier answer: training and serving use the same.

The Steiner report gives every step a summary so that later turns may carry it in place of the thought. What
is carried as summaries is ordinary text without control tokens, as a chat service shows it, so the grammar
keeps one meaning and any chat template and any client can carry it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from steiner.core import ReasoningPath
from steiner.protocol.events import Parsed
from steiner.protocol.prompt import Message

BULLET = "- "


class HistoryPolicy(StrEnum):
    """How much of an earlier answer's reasoning a later turn carries."""

    KEEP = "keep"
    """All of it, with its control tokens: the tokens that the model wrote, so a cached prefix stays valid."""
    SUMMARIES = "summaries"
    """One line per step, its summary, then the answer."""
    DROP = "drop"
    """The answer alone."""


def render_history(turn: ReasoningPath | Parsed, policy: HistoryPolicy) -> Message:
    """Return an earlier answer as the assistant's message that a later turn carries.

    Args:
        turn: what was written; broken output too, of which the steps that could be read are carried.
        policy: how much.
    """
    path = turn.path if isinstance(turn, Parsed) else turn
    if path is None or policy is HistoryPolicy.DROP:
        return Message("assistant", turn.answer)
    if policy is HistoryPolicy.KEEP:
        return Message("assistant", turn.answer, path)
    return Message("assistant", render_summaries(path))


def render_summaries(path: ReasoningPath) -> str:
    """Return one line per step with its summary (its name where that is empty), then the answer.

    Line breaks within a summary become blanks, so that a line is a step. Steps that were gone back from are
    there too: what failed is worth knowing in the next turn.
    """
    found = (" ".join((step.summary or step.name).split()) for step in path.steps)
    lines = "\n".join(f"{BULLET}{line}" for line in found if line)
    return f"{lines}\n\n{path.answer}" if lines else path.answer


def carry_history(messages: Sequence[Message], policy: HistoryPolicy) -> list[Message]:
    """Return a conversation in which each assistant's message carries what `policy` says.

    Messages without reasoning stay as they are.
    """
    return [
        message if message.reasoning is None else _carried(message, message.reasoning, policy)
        for message in messages
    ]


def _carried(message: Message, reasoning: ReasoningPath, policy: HistoryPolicy) -> Message:
    # The message's own text is what was answered in the end; a client may have shortened it.
    return render_history(reasoning.model_copy(update={"answer": message.content}), policy)
