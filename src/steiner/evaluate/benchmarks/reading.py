"""Cut the reasoning off a reply, whatever way it is marked, and count its steps. Pure text."""

from __future__ import annotations

import re
from typing import NamedTuple

from steiner.core import Move, ReasoningPath
from steiner.protocol import ControlToken, parse
from steiner.protocol.outline import read_outline

_THINK = re.compile(r"</?(?:think|thinking|reasoning|thought)>", re.IGNORECASE)


class Reading(NamedTuple):
    """A reply in its parts."""

    answer: str
    """What is graded: all that follows the reasoning."""
    reasoning: str
    closed: bool
    """False: the reasoning never ended, so that there is no answer."""
    steps: int | None
    """None where the reasoning has no steps that can be told apart."""
    backtracks: int | None
    path: ReasoningPath | None = None
    """The steps, where there are any."""


def read_reply(text: str, reasoning: str = "") -> Reading:
    """Take a reply apart.

    Known are: the control tokens as text; `<think>…</think>` and its like, also where only the end is written
    (some chat templates open it in the prompt); and reasoning that the endpoint told apart, in which the
    outline that `steiner serve` writes is recognised.

    Args:
        text: the content of the message.
        reasoning: what the endpoint told apart from it.
    """
    if str(ControlToken.START) in text:
        parsed = parse(text[text.index(str(ControlToken.START)) :])
        closed = str(ControlToken.END) in text
        backtracks = sum(move is Move.BACKTRACK for move in parsed.moves)
        thought = "\n".join(step.thought for step in parsed.steps)
        answer = parsed.answer if closed else ""
        return Reading(answer, thought, closed, len(parsed.steps), backtracks, parsed.path)
    marks = list(_THINK.finditer(text))
    ends = [mark for mark in marks if mark.group().startswith("</")]
    if marks and not ends:
        first = marks[0]
        # What stands before an unclosed block is an answer only if there is nothing inside.
        return Reading("", reasoning + text[first.end() :], False, None, None)
    if ends and marks[-1] is not ends[-1]:
        return Reading("", reasoning + text, False, None, None)
    if ends:
        inside = _THINK.sub("", text[: ends[-1].start()])
        return _with_steps(text[ends[-1].end() :].strip(), reasoning + inside, True)
    return _with_steps(text, reasoning, closed=not reasoning.strip() or bool(text.strip()))


def _with_steps(answer: str, reasoning: str, closed: bool) -> Reading:
    path = read_outline(reasoning, answer) if reasoning.strip() else None
    if path is None:
        return Reading(answer, reasoning, closed, None, None)
    return Reading(answer, reasoning, closed, len(path.steps), path.backtracks, path)
