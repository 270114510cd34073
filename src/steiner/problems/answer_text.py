r"""Find the final answer in what a model wrote: `\boxed{…}`, `#### …`, «the answer is …», in Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MAX_LENGTH = 20_000
"""Only the last so many characters of an answer are looked at."""

_BOXED = re.compile(r"\\f?box(?:ed)?\s*\{")
_STATED = re.compile(
    r"(?:\banswer|\b(?:correct|right|best)\s+(?:option|choice)|答案|答え|正解|\bantwort|\brespuesta|\bréponse)"
    r"(?:\s*\([a-z]+\))?[\s*_`]{0,5}"
    r"(?:\b(?:is|are|(?:would|should|must|will)\s+be|ist|lautet|es|est)\b|:|=|是|为|為|は)"
    r"[\s:*_`]{0,8}",
    re.IGNORECASE,
)
_SPACING = re.compile(r"\\[,;:! ]|\\(?:quad|qquad|left|right|displaystyle)(?![a-zA-Z])|\\[()\[\]]")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname|mbox)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\*\*|__|`+|\$|^#+ ", re.MULTILINE)


def normalize(text: str) -> str:
    """Return the (last part of the) text in Unicode's compatibility form, blank space collapsed."""
    text = unicodedata.normalize("NFKC", text[-MAX_LENGTH:])
    return re.sub(r"[^\S\n]+", " ", text).strip()


def strip_markup(text: str) -> str:
    """Remove Markdown emphasis and code marks and LaTeX that only lays out."""
    text = _TEXT_COMMAND.sub(r"\1", _SPACING.sub(" ", text))
    return re.sub(r"[^\S\n]+", " ", _MARKUP.sub("", text)).strip()


def boxed(text: str) -> str | None:
    r"""Return the content of the last complete `\boxed{…}`, None if there is none."""
    for match in reversed(list(_BOXED.finditer(text))):
        depth = 1
        for place in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                return text[match.end() : place].strip()
    return None


def after_hashes(text: str) -> str | None:
    """Return what stands after the last `####` (the mark of GSM8K) on its line, None if there is no mark."""
    _, mark, tail = text.rpartition("####")
    return tail.strip().split("\n")[0].strip() if mark else None


def stated(text: str) -> str | None:
    """Return the rest of the line after the last «the answer is» or the like, None if it is never said."""
    ends = [match.end() for match in _STATED.finditer(text)]
    return text[ends[-1] :].lstrip().split("\n")[0].strip() if ends else None


def final_answers(text: str) -> Iterator[str]:
    """Yield the places where a normalised text marks its final answer, the clearest mark first."""
    for found in (after_hashes(text), boxed(text), stated(text)):
        if found:
            yield found


def last_line(text: str) -> str:
    """Return the last line that is not blank."""
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")


def comparable(text: str) -> str:
    """Return what is compared when texts are to be equal: without case, markup, quotes and final stops."""
    text = strip_markup(normalize(text)).casefold()
    return " ".join(text.split()).strip("\"'“”‘’«»").rstrip(".。!").strip("\"'“”‘’«» ")
