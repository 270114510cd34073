"""Steps on the terminal, coloured by move, as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from steiner.protocol.events import (
    AnswerStarted,
    AnswerText,
    Event,
    FieldText,
    MoveMade,
    StepStarted,
)
from steiner.protocol.stream import TokenStreamParser

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from steiner.protocol.events import Parsed

MOVE_STYLES = {None: "bold cyan", "proceed": "bold green", "backtrack": "bold yellow"}
MOVE_SIGNS = {None: "●", "proceed": "↓", "backtrack": "↩"}
FIELD_STYLES = {"thought": "", "summary": "dim", "reflection": "italic"}
INDENT = "  "


class StepPrinter:
    """Prints the events of one completion; the text of a field may come in pieces.

    The first step is marked ●, a step that goes on ↓, a step after a backtrack ↩.
    """

    def __init__(self, console: Console, show: frozenset[str] = frozenset(FIELD_STYLES)) -> None:
        """Print to `console`; `show` says which fields beside the name."""
        self._console = console
        self._show = show
        self._place: tuple[int, str] | None = None
        """Step and field of the line that is open."""
        self._blank = ""
        """White space that is printed only if more text follows."""
        self._move: str | None = None
        self._answering = False

    def feed(self, event: Event) -> None:
        """Print what an event adds."""
        match event:
            case StepStarted(step=step):
                # At once: a name may be empty, and to see that something begins is worth it.
                self._end_line()
                self._place = (step, "name")
                self._write(f"{MOVE_SIGNS[self._move]} ", MOVE_STYLES[self._move])
            case MoveMade(move=move):
                self._move = move.value
            case FieldText(step=step, field=field, text=text):
                self._field_text(step, field, text)
            case AnswerStarted():
                self._end_line()
            case AnswerText(text=text):
                self._answer_text(text)
            case _:
                pass

    def finish(self) -> None:
        """End the line that is open."""
        self._end_line()

    def _field_text(self, step: int, field: str, text: str) -> None:
        if field != "name" and field not in self._show:
            return
        name = field == "name"
        style = MOVE_STYLES[self._move] if name else FIELD_STYLES[field]
        if self._place != (step, field):
            text = text.lstrip()
            if not text:
                return
            self._end_line()
            self._place = (step, field)
            self._write(INDENT, style)
        # A name stays on its line; the lines of other fields stay under it.
        self._pieces(text.replace("\n", " ") if name else text, style, INDENT)

    def _answer_text(self, text: str) -> None:
        if not self._answering:
            text = text.lstrip()
            if not text:
                return
            self._end_line()
            self._answering = True
            self._write("Answer: ", "bold")
            self._place = (-1, "answer")
        self._pieces(text, "", "")

    def _pieces(self, text: str, style: str, indent: str) -> None:
        text = self._blank + text
        kept = text.rstrip()
        self._blank = text[len(kept) :]
        self._write(printable(kept).replace("\n", "\n" + indent), style)

    def _write(self, text: str, style: str) -> None:
        if text:
            self._console.print(Text(text, style), end="", soft_wrap=True)

    def _end_line(self) -> None:
        if self._place is not None:
            self._console.print()
        self._place, self._blank = None, ""


class LivePrinter:
    """Prints a completion while its tokens are written."""

    def __init__(
        self,
        console: Console,
        tokenizer: PreTrainedTokenizerBase,
        show: frozenset[str] = frozenset(FIELD_STYLES),
    ) -> None:
        """Stand before START."""
        self._printer = StepPrinter(console, show)
        self._parser = TokenStreamParser(tokenizer)

    def watch(self, tokens: Sequence[int]) -> None:
        """Print what these tokens add."""
        for event in self._parser.feed(tokens):
            self._printer.feed(event)

    def finish(self) -> None:
        """Print what was held back, and end the line that is open."""
        for event in self._parser.finish():
            self._printer.feed(event)
        self._printer.finish()


def print_note(console: Console, parsed: Parsed, reasoning_tokens: int | None, extra: str = "") -> None:
    """Print how much was thought, and what was wrong with the form."""
    backtracks = sum(move == "backtrack" for move in parsed.moves)
    notes = [count(len(parsed.steps), "step"), count(backtracks, "backtrack")]
    if reasoning_tokens is not None:
        notes.append(count(reasoning_tokens, "reasoning token"))
    note = ", ".join([*notes, extra] if extra else notes)
    if parsed.violations:
        note += f"; form broken {len(parsed.violations)}×, first: {printable(parsed.violations[0].message)}"
    console.print(Text(note + "\n", "dim"))


def count(number: int, noun: str) -> str:
    """Return `1 step`, `2 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Replace control characters, so that what a model wrote cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def events_of(parsed: Parsed) -> list[Event]:
    """Return the events that a finished completion is made of."""
    events: list[Event] = []
    for index, (move, step) in enumerate(zip((None, *parsed.moves), parsed.steps, strict=True)):
        if move is not None:
            events.append(MoveMade(move))
        events.append(StepStarted(index))
        for field in ("name", *FIELD_STYLES):
            if text := getattr(step, field):
                events.append(FieldText(index, field, text))
    return [*events, AnswerStarted(), AnswerText(parsed.answer)]
