r"""Sentences of mixed prose, Markdown and LaTeX.

A general sentence splitter cuts `3.5`, `e.g.`, `\[ x = 2. \]` and `1. First` in the wrong places; these texts
are full of them. Formulas are protected whole, then a full stop ends a sentence only before blank space and
something that can begin one.
"""

from __future__ import annotations

import re

FORMULA = re.compile(
    r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|(?<![\\\w$])\$(?=\S)[^$\n]{0,400}?(?<=[^\s\\])\$(?![\d$])",
    re.DOTALL,
)
"""A LaTeX formula. As in Pandoc, `$` opens one only before and closes one only after a visible character, and
no digit follows: so «from $5 to $7» holds none."""
_ABBREVIATIONS = frozenset(
    """
    e.g i.e etc vs cf al approx fig eq eqs no nos vol p pp sec ch ex dr mr mrs ms prof st jr sr inc ltd co
    corp dept est u.s u.k u.s.a a.m p.m ph.d b.c a.d jan feb mar apr jun jul aug sep sept oct nov dec min max
    avg ft lb lbs oz hr hrs deg resp ca viz op art gen v
    """.split()  # noqa: SIM905
)
_STOP = re.compile(r"[.!?。！？]+[\"'”’)\]*]*(?=\s+|$)")
_MAX_ASIDE = 300
"""Characters after which an open bracket counts as forgotten."""
_MASK = "\ue000"


def split_sentences(text: str) -> list[str]:
    """Return the sentences of one paragraph, blank space trimmed; joined by blanks they are the paragraph."""
    masked = _masked(text)
    sentences: list[str] = []
    begin = 0
    for match in _STOP.finditer(masked):
        inside = masked.count("(", begin, match.start()) > masked.count(")", begin, match.end())
        if inside and 0 <= masked.find(")", match.end()) - match.end() < _MAX_ASIDE:
            continue
        if _ends_sentence(masked, match.start(), match.end()):
            sentences.append(text[begin : match.end()].strip())
            begin = match.end()
    sentences.append(text[begin:].strip())
    return [sentence for sentence in sentences if sentence]


def _masked(text: str) -> str:
    return FORMULA.sub(lambda match: _MASK * len(match.group()), text)


def without_fragment(text: str) -> str:
    """Drop a last sentence that breaks off, as it does where a model ran out of tokens."""
    text = text.rstrip()
    if re.search(rf"[.!?。！？:;)\]\"'”’*|{_MASK}]$", _masked(text)):
        return text
    paragraphs = text.rsplit("\n", 1)
    kept = " ".join(split_sentences(paragraphs[-1])[:-1])
    return (paragraphs[0] + "\n" + kept if len(paragraphs) > 1 else kept).rstrip()


def _ends_sentence(text: str, stop: int, end: int) -> bool:
    if text[stop] != ".":
        return True
    rest = text[end:].lstrip()
    if rest and ((rest[0].islower() and not re.match(r"[a-z][.)]\s", rest)) or rest[0] in ",;:)=+-*/<>&"):
        return False
    word = re.search(r"[^\s(\[\"'“*]*$", text[:stop])
    last = word.group().lower() if word else ""
    if not last:
        return False
    if last in _ABBREVIATIONS or re.fullmatch(r"(?:[a-z]\.)+[a-z]", last):
        return False
    # The number or letter of a list item stands at a begin: «2. Find x», «b. Find y».
    before = text[: stop - len(last)].split()
    if (last.isdigit() or len(last) == 1) and (not before or before[-1][-1] in ".!?:;*#("):
        return False
    # An initial follows a name: «William J. Smith».
    return not (len(last) == 1 and text[stop - 1].isupper() and before[-1][0].isupper())
