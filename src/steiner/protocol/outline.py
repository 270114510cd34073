"""Reasoning as plain text that clients show, and can send back: written from events, read into steps.

    ● name of the first step
    thought
    » summary
    ¶ reflection

    ↩ name of a step after a backtrack
    …

Reading is for a client's own text: whoever writes lines that begin with our marks gets other steps, never
control tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from steiner.core import Move, ReasoningPath, Step
from steiner.protocol.events import Event, FieldText, MoveMade, StepEnded, StepStarted

SIGNS: dict[Move | None, str] = {None: "●", Move.PROCEED: "↓", Move.BACKTRACK: "↩"}
FIELD_MARKS = {"name": "", "thought": "\n", "summary": "\n» ", "reflection": "\n¶ "}
SUMMARY_FIELDS = frozenset({"name", "summary"})
_HEAD = re.compile(r"^([●↓↩])(?: (.*))?$")
_MOVES = {sign: move for move, sign in SIGNS.items()}


class OutlineWriter:
    """Turns events into the text as they come."""

    def __init__(self, fields: frozenset[str] = frozenset(FIELD_MARKS)) -> None:
        """Show only these fields."""
        self._fields = fields
        self._move: Move | None = None
        self._field: tuple[int, str] | None = None

    def write(self, events: Iterable[Event]) -> str:
        """Return what the events add."""
        return "".join(self._piece(event) for event in events)

    def _piece(self, event: Event) -> str:
        if isinstance(event, FieldText):
            if event.field not in self._fields:
                return ""
            if self._field == (event.step, event.field):
                return event.text
            self._field = (event.step, event.field)
            return FIELD_MARKS[event.field] + event.text
        if isinstance(event, StepStarted):
            sign = SIGNS[self._move if event.step else None] + " "
            return sign if event.step == 0 else "\n" + sign
        if isinstance(event, StepEnded):
            self._move = Move.PROCEED
            return "\n"
        if isinstance(event, MoveMade):
            self._move = event.move
        return ""


def write_outline(steps: Sequence[Step], moves: Sequence[Move]) -> str:
    """Write whole steps, with `moves[i]` between the steps i and i + 1."""
    writer, text = OutlineWriter(), ""
    for number, step in enumerate(steps):
        events: list[Event] = [MoveMade(moves[number - 1])] if number else []
        events.append(StepStarted(number))
        events += [FieldText(number, field, getattr(step, field)) for field in FIELD_MARKS]
        text += writer.write([*events, StepEnded(number)])
    return text


def read_outline(text: str, answer: str) -> ReasoningPath | None:
    """Read the text back; None if it is not of this form."""
    steps: list[dict[str, list[str]]] = []
    moves: list[Move] = []
    field = ""
    for line in text.strip("\n").split("\n"):
        head = _HEAD.match(line)
        if head and (steps or head[1] == SIGNS[None]):
            if steps:
                moves.append(_MOVES[head[1]] or Move.PROCEED)
            steps.append({"name": [head[2] or ""], "thought": [], "summary": [], "reflection": []})
            field = "thought"
        elif not steps:
            return None
        elif line.startswith("» ") and field == "thought":
            field = "summary"
            steps[-1][field].append(line[2:])
        elif line.startswith("¶ ") and field in ("thought", "summary"):
            field = "reflection"
            steps[-1][field].append(line[2:])
        else:
            steps[-1][field].append(line)
    made = tuple(
        Step(**{name: "\n".join(lines).strip("\n") for name, lines in fields.items()}) for fields in steps
    )
    return ReasoningPath(steps=made, moves=tuple(moves), answer=answer)
