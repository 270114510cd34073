"""A JSON reader for what language models write when nothing keeps them to the grammar.

It takes trailing and missing commas, raw newlines and stray quotation marks in strings, LaTeX with single
backslashes, Python's None/True/False, and text that is cut anywhere: then it returns what was whole. Linear
in the length of the text; never raises on any text.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MAX_DEPTH = 20
"""Deeper nesting is no reply of ours."""

_SPACE = re.compile(r"\s*")
_CHUNK = re.compile(r'[^"\\]*')
_BARE = re.compile(r'[^\s,:{}\[\]"]+')
_ENDS = re.compile(r'\s*(?:[}\]:]|\Z|,\s*(?:["}\]{\[]|\Z|-?\d|null\b|true\b|false\b))')
_NEXT_KEY = re.compile(r'\s*"[\w ]{1,30}"\s*:')
_WORDS = {"null": None, "none": None, "true": True, "false": False}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_LATEX = re.compile(
    r"\\(?:(?:n(?:eq|abla|eg|otin|mid)|t(?:imes|ext(?:bf|it|rm)?|heta|frac|an|au|riangle|o|herefore|ilde)"
    r"|r(?:ight\w*|ho|angle|ceil|floor)|b(?:oxed|egin|eta|inom|ar|ig\w*|mod|ullet|ackslash)"
    r"|f(?:rac|orall|lat|box))(?![a-zA-Z]))"
)
"""LaTeX commands whose first letter a JSON escape would swallow."""


class Loose(NamedTuple):
    """What was read."""

    value: Any
    end: int
    """Where reading stopped."""
    whole: bool
    """Whether the value was closed. If not, its last part may be missing."""


class _CutError(Exception):
    """The text ended inside a value."""


def read_loose(text: str, start: int) -> Loose:
    """Read the object or array that begins at `text[start]`.

    Of a value that is cut, containers hold what was complete; a cut string or number is left out.
    """
    reader = _Reader(text, start)
    opener = text[start]
    root: Any = {} if opener == "{" else []
    try:
        reader.container(root, 1)
    except _CutError:
        return Loose(root, len(text), False)
    return Loose(root, reader.place, True)


class _Reader:
    def __init__(self, text: str, place: int) -> None:
        self.text = text
        self.place = place

    def container(self, into: Any, depth: int) -> None:
        """Fill `into`, a dict or a list, from the text; `place` stands at its opening bracket."""
        if depth > MAX_DEPTH:
            raise _CutError
        self.place += 1
        closer = "}" if isinstance(into, dict) else "]"
        while True:
            char = self._peek()
            if char == ",":
                self.place += 1
            elif char == closer:
                self.place += 1
                return
            elif char in "]}":
                # Another bracket's end: this one was forgotten, and its owner is closed here.
                return
            elif isinstance(into, dict):
                self._member(into, depth)
            else:
                self._element(into, depth)

    def _member(self, into: dict[str, Any], depth: int) -> None:
        key = self._string() if self._peek() == '"' else self._bare()
        if self._peek() != ":":
            return
        self.place += 1
        char = self._peek()
        if char in "{[":
            into[key] = {} if char == "{" else []
            self.container(into[key], depth + 1)
        else:
            into[key] = self._scalar(char)

    def _element(self, into: list[Any], depth: int) -> None:
        char = self._peek()
        if char in "{[":
            into.append({} if char == "{" else [])
            self.container(into[-1], depth + 1)
        elif char == ":":
            self.place += 1
        else:
            into.append(self._scalar(char))

    def _scalar(self, char: str) -> Any:
        if char == '"':
            return self._string()
        if char in ",:}]":
            return None
        return _bare_value(self._bare())

    def _peek(self) -> str:
        match = _SPACE.match(self.text, self.place)
        self.place = match.end() if match else self.place
        if self.place >= len(self.text):
            raise _CutError
        return self.text[self.place]

    def _bare(self) -> str:
        match = _BARE.match(self.text, self.place)
        if match is None:
            self.place += 1
            return ""
        self.place = match.end()
        if self.place >= len(self.text):
            raise _CutError
        return match.group()

    def _string(self) -> str:
        parts: list[str] = []
        self.place += 1
        while True:
            match = _CHUNK.match(self.text, self.place)
            parts.append(match.group() if match else "")
            self.place = match.end() if match else self.place
            if self.place >= len(self.text):
                raise _CutError
            if self.text[self.place] == "\\":
                parts.append(self._escape())
            elif self._closes():
                self.place += 1
                return "".join(parts)
            else:
                parts.append('"')
                self.place += 1

    def _closes(self) -> bool:
        """Tell the quotation mark that ends a string from one inside it, by what stands after it."""
        after = self.place + 1
        return bool(_ENDS.match(self.text, after) or _NEXT_KEY.match(self.text, after))

    def _escape(self) -> str:
        latex = _LATEX.match(self.text, self.place)
        if latex:
            self.place = latex.end()
            return latex.group()
        char = self.text[self.place + 1 : self.place + 2]
        if not char:
            raise _CutError
        self.place += 2
        if char == "u":
            digits = _HEX.match(self.text, self.place)
            if digits is None:
                return "\\u"
            self.place = digits.end()
            return self._pair(int(digits.group(), 16))
        return _ESCAPES.get(char, "\\" + char)

    def _pair(self, code: int) -> str:
        """Join the halves of a character beyond U+FFFF."""
        if 0xD800 <= code < 0xDC00 and self.text.startswith("\\u", self.place):
            digits = _HEX.match(self.text, self.place + 2)
            low = int(digits.group(), 16) if digits else 0
            if 0xDC00 <= low < 0xE000:
                self.place += 6
                return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
        return chr(code)


def _bare_value(word: str) -> Any:
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    return int(word) if re.fullmatch(r"-?[0-9]{1,9}", word) else word
