"""Parsing while the completion is being written.

>>> parser = StreamParser()
>>> events = parser.feed("<|reasoning_start|><|reasoning_st") + parser.feed("ep_start|>") + parser.finish()
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steiner.protocol.escape import Unescaper
from steiner.protocol.events import Event, Parsed
from steiner.protocol.reader import SymbolReader
from steiner.protocol.tokens import CONTROL_TOKENS, ControlIds, ControlToken

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONTROL = re.compile("|".join(re.escape(token) for token in CONTROL_TOKENS))
_LONGEST = max(map(len, CONTROL_TOKENS))
_PARTIALS = frozenset(token[:n] for token in CONTROL_TOKENS for n in range(1, len(token)))


class StreamParser:
    """Parses a completion fed in text chunks, cut anywhere. The end of the chunks is the end of text."""

    def __init__(self) -> None:
        """Stand before START."""
        self._reader = SymbolReader()
        self._unescape = Unescaper()
        self._held = ""
        self._position = 0
        """Offset of the first held character."""
        self._run = 0
        """Offset of the first character of the text since the last control token."""

    def feed(self, text: str) -> list[Event]:
        """Read more text; returns the events that are certain by now."""
        text = self._held + text
        done = 0
        for match in _CONTROL.finditer(text):
            self._text(text[done : match.start()])
            self._end_run()
            self._reader.control(ControlToken(match[0]), self._position + match.start())
            done = match.end()
            self._run = self._position + done
        cut = _partial_start(text, done)
        self._text(text[done:cut])
        self._held = text[cut:]
        self._position += cut
        return self._reader.take_events()

    def finish(self) -> list[Event]:
        """Read the end of text; returns the last events."""
        self._text(self._held)
        self._end_run()
        self._position += len(self._held)
        self._held = ""
        self._reader.end(self._position)
        self._reader.finish(self._position)
        return self._reader.take_events()

    @property
    def parsed(self) -> Parsed:
        """What was read so far; whole after `finish`."""
        return self._reader.parsed()

    def _text(self, text: str) -> None:
        if text:
            self._reader.text(self._unescape.feed(text), self._run)

    def _end_run(self) -> None:
        if rest := self._unescape.flush():
            self._reader.text(rest, self._run)


class TokenStreamParser:
    """Parses a completion fed in token ids. Only ids are control tokens here, never what the text spells."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ids: ControlIds | None = None) -> None:
        """Stand before START.

        Args:
            tokenizer: turns ids into text.
            ids: its control ids, if they are at hand.
        """
        self._tokenizer = tokenizer
        self._ids = ids or ControlIds.from_tokenizer(tokenizer)
        self._reader = SymbolReader()
        self._unescape = Unescaper()
        self._position = 0
        self._run = 0
        self._prefix: list[int] = []
        """Last ids of this run whose text is out: context without which some decoders lose a blank."""
        self._pending: list[int] = []

    def feed(self, ids: Sequence[int]) -> list[Event]:
        """Read more ids; returns the events that are certain by now."""
        for number in ids:
            token = self._ids.token(number)
            if token is not None:
                self._end_run()
                self._reader.control(token, self._position)
                self._run = self._position + 1
            elif number == self._ids.eos:
                self._end_run()
                self._reader.end(self._position)
            elif number != self._ids.pad or not self._reader.ended:
                self._text(number)
            self._position += 1
        self._decode(last=False)
        return self._reader.take_events()

    def finish(self) -> list[Event]:
        """Say that nothing more comes; returns the last events."""
        self._end_run()
        self._reader.finish(self._position)
        return self._reader.take_events()

    @property
    def parsed(self) -> Parsed:
        """What was read so far; whole after `finish`."""
        return self._reader.parsed()

    def _text(self, number: int) -> None:
        if not self._ids.is_text(number):
            self._decode(last=False)
            known = 0 <= number < self._ids.size
            name = self._tokenizer.convert_ids_to_tokens(number) if known else None
            self._reader.special(name or str(number), self._position)
            if not known:
                return
        self._pending.append(number)

    def _decode(self, last: bool) -> None:
        """Pass on the text of the pending ids, unless its last character is still cut."""
        if not self._pending:
            return
        before = self._to_text(self._prefix) if self._prefix else ""
        text = self._to_text(self._prefix + self._pending)[len(before) :]
        if text.endswith("\ufffd") and not last:
            self._reader.text("", self._run)
            return
        self._reader.text(self._unescape.feed(text), self._run)
        self._prefix, self._pending = self._pending, []

    def _to_text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def _end_run(self) -> None:
        self._decode(last=True)
        if rest := self._unescape.flush():
            self._reader.text(rest, self._run)
        self._prefix = []


def _partial_start(text: str, done: int) -> int:
    """Return where a control token may have begun that the end of `text` cuts, else the length of `text`."""
    begin = text.rfind("<", max(done, len(text) - _LONGEST))
    return begin if begin >= 0 and text[begin:] in _PARTIALS else len(text)
