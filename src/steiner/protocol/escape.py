"""Reversible neutralisation of text that looks like a control token.

Text that holds `<|reasoning_` gets one U+2060 WORD JOINER (invisible, no width) after the `<`; text that
holds that already gets one more. So escaped text never spells a control token, and taking one joiner away
restores it: `unescape(escape(x)) == x` for every string.
"""

from __future__ import annotations

import re

JOINER = "\u2060"
_STEM = "|reasoning_"
_LOOK_ALIKE = re.compile(rf"<(?={JOINER}*{re.escape(_STEM)})")
_ESCAPED = re.compile(rf"<{JOINER}(?={JOINER}*{re.escape(_STEM)})")
_PARTIAL = re.compile(
    rf"<(?:{JOINER}*|{JOINER}+(?:{'|'.join(re.escape(_STEM[:n]) for n in range(1, len(_STEM)))}))\Z"
)
"""The end of a text that more text could turn into an escaped look-alike."""


def escape(text: str) -> str:
    """Return `text` with every look-alike neutralised."""
    return _LOOK_ALIKE.sub("<" + JOINER, text) if _STEM in text else text


def unescape(text: str) -> str:
    """Return the text that `escape` was given. Look-alikes that are not escaped stay as they are."""
    return _ESCAPED.sub("<", text) if _STEM in text else text


class Unescaper:
    """`unescape` for text that comes in pieces cut anywhere."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what is certain by now."""
        text = self._held + text
        match = _PARTIAL.search(text, max(text.rfind("<"), 0))
        cut = match.start() if match else len(text)
        self._held = text[cut:]
        return unescape(text[:cut])

    def flush(self) -> str:
        """Return what was held back, as it is, and begin anew."""
        held, self._held = self._held, ""
        return held
