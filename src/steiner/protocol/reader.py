"""Symbols to events: the grammar automaton with memory and recovery.

After a control token that may not follow, reading goes on in the state that the token leads to wherever it is
allowed. So one slip costs one violation and not the rest of the completion.
"""

from __future__ import annotations

from steiner.core import Move, Step
from steiner.protocol.events import (
    AnswerStarted,
    AnswerText,
    Event,
    FieldEnded,
    FieldText,
    Finished,
    MoveMade,
    Parsed,
    StepEnded,
    StepStarted,
    Violation,
    ViolationFound,
    ViolationKind,
)
from steiner.protocol.grammar import AFTER, FIELDS, TRANSITIONS, FieldTokens, Other, State, expected
from steiner.protocol.tokens import ControlToken

FIELD_OF_STATE = {AFTER[field.start]: field for field in FIELDS}
FIELD_ENDED_BY = {field.end: field for field in FIELDS}
MOVE_OF = {ControlToken.PROCEED: Move.PROCEED, ControlToken.BACKTRACK: Move.BACKTRACK}


class SymbolReader:
    """Takes control tokens, text and the end; keeps the steps, moves and answer; notes events.

    Never raises on what it is fed.
    """

    def __init__(self) -> None:
        """Stand before START."""
        self.state = State.BEGIN
        self._steps: list[Step] = []
        self._moves: list[Move] = []
        self._move: Move | None = None
        self._fields: dict[str, list[str]] | None = None
        self._answer: list[str] = []
        self._stray: list[str] = []
        self._in_stray = False
        self._violations: list[Violation] = []
        self._events: list[Event] = []
        self._finished = False

    def control(self, token: ControlToken, position: int) -> None:
        """Read a control token."""
        if self._ended(position):
            return
        self._in_stray = False
        if token not in TRANSITIONS[self.state]:
            self._violate(
                ViolationKind.UNEXPECTED_TOKEN, position, f"{token} where {expected(self.state)} must follow"
            )
        field = FIELD_OF_STATE.get(self.state)
        if field and FIELD_ENDED_BY.get(token) is field:
            self._events.append(FieldEnded(len(self._steps), field.name))
        self.state = AFTER[token]
        if self.state in FIELD_OF_STATE:
            self._open_field(FIELD_OF_STATE[self.state])
        elif token not in FIELD_ENDED_BY:
            self._between_steps(token)

    def text(self, text: str, position: int) -> None:
        """Read text of the run that begins at `position`; may be empty while a character is still cut."""
        if self._ended(position):
            return
        following = TRANSITIONS[self.state].get(Other.TEXT)
        if following is None:
            if not self._in_stray:
                self._in_stray = True
                self._violate(
                    ViolationKind.STRAY_TEXT, position, f"text where {expected(self.state)} must follow"
                )
            self._stray.append(text)
            return
        self.state = following
        if not text:
            return
        field = FIELD_OF_STATE.get(self.state)
        if field is None:
            self._answer.append(text)
            self._events.append(AnswerText(text))
        elif self._fields is not None:
            self._fields[field.name].append(text)
            self._events.append(FieldText(len(self._steps), field.name, text))

    def special(self, text: str, position: int) -> None:
        """Note a token within the text that is no text."""
        if not self._ended(position):
            self._violate(ViolationKind.SPECIAL_TOKEN, position, f"the token {text!r} is no text")

    def end(self, position: int) -> None:
        """Read the end of text."""
        if self.state is State.DONE:
            return
        if Other.EOS not in TRANSITIONS[self.state]:
            if self.state is State.NEED_ANSWER:
                self._violate(ViolationKind.EMPTY_ANSWER, position, "the answer is empty")
            else:
                self._violate(
                    ViolationKind.UNFINISHED, position, f"ended where {expected(self.state)} must follow"
                )
        self._close_step(ended=False)
        self.state = State.DONE

    def finish(self, position: int) -> None:
        """Say that nothing more comes. Without an end of text before, that is a violation."""
        if self._finished:
            return
        if self.state in (State.NEED_ANSWER, State.ANSWER):
            self._violate(ViolationKind.UNFINISHED, position, "cut off before the end of text")
            self.state = State.DONE
        self.end(position)
        self._finished = True
        self._events.append(Finished(not self._violations))

    @property
    def ended(self) -> bool:
        """Whether the end of text was read."""
        return self.state is State.DONE

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def parsed(self) -> Parsed:
        """Return what was read so far."""
        return Parsed(
            steps=tuple(self._steps),
            moves=tuple(self._moves),
            answer="".join(self._answer),
            stray="".join(self._stray),
            violations=tuple(self._violations),
        )

    def _ended(self, position: int) -> bool:
        if self.state is not State.DONE:
            return False
        if not any(item.kind is ViolationKind.AFTER_END for item in self._violations):
            self._violate(ViolationKind.AFTER_END, position, "something follows the end of text")
        return True

    def _open_field(self, field: FieldTokens) -> None:
        """Take text into a field from now on. A second field of the same name is added to the first."""
        if self._fields is None:
            self._open_step()
        elif self._fields[field.name]:
            self._fields[field.name].append("\n")
            self._events.append(FieldText(len(self._steps), field.name, "\n"))

    def _between_steps(self, token: ControlToken) -> None:
        self._close_step(ended=token is ControlToken.STEP_END)
        if token is ControlToken.STEP_START:
            self._open_step()
        elif token in MOVE_OF:
            self._move = MOVE_OF[token]
            self._events.append(MoveMade(self._move))
        elif token is ControlToken.END:
            self._events.append(AnswerStarted())

    def _open_step(self) -> None:
        self._fields = {field.name: [] for field in FIELDS}
        self._events.append(StepStarted(len(self._steps)))

    def _close_step(self, ended: bool) -> None:
        """Keep the open step; one that was broken off before any text is dropped."""
        fields, self._fields = self._fields, None
        if fields is None or not (ended or any(fields.values())):
            return
        self._events.append(StepEnded(len(self._steps)))
        if self._steps:
            self._moves.append(self._move or Move.PROCEED)
        self._move = None
        self._steps.append(Step(**{name: "".join(parts) for name, parts in fields.items()}))

    def _violate(self, kind: ViolationKind, position: int, message: str) -> None:
        violation = Violation(kind=kind, position=position, message=message)
        self._violations.append(violation)
        self._events.append(ViolationFound(violation))
