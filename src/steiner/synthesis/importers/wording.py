"""Name, summary and reflection of a step whose author only wrote the thought.

Name and summary are cut out of the author's own words. The reflection says no more than that the author went
on from here; where a sampled path turns back or ends, its writer adds why.
"""

from __future__ import annotations

import re

from steiner.core import Step, digest
from steiner.synthesis.importers.prose import Passage
from steiner.synthesis.importers.sentences import FORMULA

_MAX_NAME_WORDS = 8
_MAX_SUMMARY = 240
_LEAD = re.compile(
    r"^(?:(?:(?:so|therefore|thus|hence|then|now|and|but|however|moreover|furthermore|note that|notice that|"
    r"recall that|we also (?:know|have) that|it follows that|it is (?:known|given|clear) that|"
    r"(?:we|i) (?:know|see|can see|have|note|recall|get|find|conclude|can conclude|observe) that|"
    r"this (?:means|implies|shows|tells us|suggests) that)\b[,:]?|"
    r"(?:first(?:ly)?|second(?:ly)?|third(?:ly)?|next|finally|also|again|overall|specifically|similarly|additionally|"
    r"in addition|consequently|as a result|in this case|in conclusion|given this(?: information)?|"
    r"on the other hand|in other words|in fact),)\s+)+",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"^to (?:solve|answer|address) (?:the|this)\b[^,]{0,60},\s+(?:we|you|I) (?:first )?"
    r"(?:(?:need|have) to|must|can|will|should)\s+",
    re.IGNORECASE,
)
_DANGLING = frozenset(
    """
    a an the of in on at to for from by with and or but that which who whose is are was were be been as
    than then if when while where we i it its their his her this these those so such not because since can
    will would may must should has have had do does into about between over under per also more most one
    during after before against within without through until using
    """.split()  # noqa: SIM905
)
_VERBS = frozenset(
    """
    is are was were means has have had can could will would should must does do states refers
    """.split()  # noqa: SIM905
)
_REFLECTIONS = (
    "This follows from what I have.",
    "So far this holds together.",
    "That seems right to me.",
    "This is something to build on.",
    "I see nothing against this.",
    "That fits what is asked.",
)
"""They speak of the step alone: paths lead through it to other ends than its author's."""


def make_step(passage: Passage) -> Step:
    """Word one step; the same text gets the same words wherever it stands."""
    thought = passage.text
    return Step(
        name=step_name(passage),
        thought=thought,
        summary=step_summary(passage),
        reflection=_REFLECTIONS[int(digest(thought), 16) % len(_REFLECTIONS)],
    )


def step_name(passage: Passage) -> str:
    """Return the author's heading or the first clause, at most eight words."""
    source = passage.heading or passage.sentences[0]
    bare = _LEAD.sub("", _PURPOSE.sub("", source)).strip(" *:")
    clause = re.split(r"(?<=[^\d\s]{2})[,;:](?=\s)|\s[–—]\s|(?<=\w)\.(?=\s|$)", bare, maxsplit=1)[0]
    words = (clause if len(clause.split()) >= 3 else bare).split()
    if len(words) > _MAX_NAME_WORDS:
        words = _first_phrase(words)
    name = " ".join(_closed(words)).strip(" ,;:.=")
    return _capitalised(name) or "A step"


def _first_phrase(words: list[str]) -> list[str]:
    """Cut a long clause before its verb, or else where a phrase ends."""
    for length in range(3, _MAX_NAME_WORDS + 1):
        if words[length].lower() in _VERBS and words[length - 1].lower() not in _DANGLING:
            return words[:length]
    kept = words[:_MAX_NAME_WORDS]
    if words[_MAX_NAME_WORDS].lower() not in _DANGLING:
        borders = [i for i, word in enumerate(kept) if i >= 3 and word.lower() in _DANGLING]
        kept = kept[: borders[-1]] if borders else kept
    while len(kept) > 2 and kept[-1].lower().strip(",.;:") in _DANGLING:
        kept.pop()
    return kept


def _closed(words: list[str]) -> list[str]:
    """Drop words from the end until no formula or bracket is left open; a lone open one is taken out."""
    for length in range(len(words), 1, -1):
        text = FORMULA.sub("x", " ".join(words[:length]))
        if "\\" not in text and all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}")):
            return words[:length]
    plain = [word for word in words if re.fullmatch(r"[^\W_]+(?:['’-]\w+)?[,.]?", word)]
    return plain if len(plain) > 1 else ["A", "calculation"]


def step_summary(passage: Passage) -> str:
    """Return what the step comes to: its last sentence without connectives, or only the result of a chain."""
    sentence = _LEAD.sub("", passage.sentences[-1]).strip()
    cause = re.match(
        r"^(?:since|because|as|given that|if)\s[^,]{10,200},\s+(?:then\s+)?(?P<main>[^,]{15,}.*)$",
        sentence,
        re.I,
    )
    if cause and not sentence.lower().startswith("if"):
        sentence = cause.group("main")
    aside = re.match(
        r"^(?P<main>.{40,}?),\s+(?:which|where|as|because|since|although|while)\s[^,]*\.?$", sentence
    )
    if aside and _balanced(aside.group("main")):
        sentence = aside.group("main") + "."
    consequence = re.search(
        r",\s+(?:so|thus|therefore|hence|which means(?: that)?)\s+(?P<rest>.{15,})$", sentence
    )
    if consequence:
        sentence = consequence.group("rest")
    if len(sentence) > _MAX_SUMMARY:
        sentence = _shortened(sentence)
    return _capitalised(sentence) or passage.text


def _shortened(sentence: str) -> str:
    """Keep whole clauses from the begin while they fit."""
    cut = max((m.start() for m in re.finditer(r"[;,](?=\s)", sentence[:_MAX_SUMMARY])), default=0)
    return sentence[:cut] + "." if cut >= 60 and _balanced(sentence[:cut]) else sentence


def _balanced(text: str) -> bool:
    """Whether no formula or bracket is cut."""
    rest = FORMULA.sub("", text)
    return "\\" not in rest and "$" not in rest and rest.count("(") == rest.count(")")


def _capitalised(text: str) -> str:
    """Raise the first letter, unless it begins a formula or is a symbol's name."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if len(first) > 1 and first.isalpha() else text
