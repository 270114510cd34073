"""Chain-of-thought prose as a short list of steps.

Paragraphs, list items and headings are borders; within them sentences are grouped to a sensible size. Nothing
is rewritten: a step's thought is the author's text without list marks and boilerplate.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic import Field

from steiner.core import Settings
from steiner.synthesis.importers.sentences import split_sentences


class ProseSettings(Settings):
    """How finely text is split. Lengths count characters."""

    min_chars: int = Field(default=45, ge=1)
    """A shorter piece is joined to its neighbour."""
    max_chars: int = Field(default=1200, ge=100)
    """Joining never makes a step longer than this; a longer sentence stays whole."""
    max_steps: int = Field(default=10, ge=1)
    """The shortest neighbours are joined until no more than this many steps are left."""


class Passage(NamedTuple):
    """The text of one step."""

    heading: str
    """The author's own title of it; empty where there is none."""
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences, formulas on display on lines of their own."""
        return " ".join(self.sentences)


_BOILERPLATE = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"(?:a(?:nswer)?\s*:\s*)?(?:okay|sure|alright)?[,.!]?\s*"
        r"let[’']?s (?:think|work|go through|solve|analy[sz]e|break)\b.{0,110}",
        r"(?:(?:first|now|next),?\s*)?we (?:will |need to |can |should )?(?:"
        r"(?:refer to|use|consult) wikipedia.{0,140}|(?:refer to|consult)\b.{0,140}\bfor help\W*)",
        r"to (?:solve|find|determine|answer|calculate|evaluate|compute|derive|identify|address)\b"
        r".{0,400}?,?\s*(?:we|you|I|let[’']?s)\b.{0,50}?(?:these|the following|this|each|a few)(?: \w+){0,2} "
        r"(?:steps?|procedure|approach|options?|statements?)\b.{0,30}[.:]",
        r"here(?:[’']s| is| are)\b.{0,60}:",
        r"(?:step[- ]by[- ]step )?"
        r"(?:solution|explanation|reasoning|analysis|answer)\s*:",
        r"#*\s*(?:final )?(?:question|options|solution|answer|explanation|conclusion)s?\s*:?\s*\**",
        r"(?:therefore|thus|so|hence|in conclusion|finally)?,?\s*(?:the )?"
        r"(?:correct |best |final |most \w+ )?(?:answer|option|choice) is:?",
    )
)
"""Whole sentences that say nothing about the question."""
_MARK = re.compile(
    r"^\s*(?:#{1,6}\s+)?(?:[-*•–]\s+)?(?P<bold>\*\*)?\s*"
    r"(?:(?:Step\s+)?\(?\d{1,2}[.):]\s+|Step\s+\d{1,2}\s*[:.\-–]\s*)?(?(bold)|(?:\*\*)?)",
    re.IGNORECASE,
)
_ITEM = re.compile(
    r"^\s*(?:#{1,6}\s|[-*•–]\s|\*\*|(?:Step\s+)?\(?\d{1,2}[.):]\s|Step\s+\d|\(?[A-J][.):]\s|[a-h]\)\s|"
    r"\(?(?:i{1,3}|iv|v)[.)]\s|Option\s+\(?[A-J]\b)",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^(?P<title>[^.*\n]{3,90}?)(?:\*\*\s*:|:\s*\*\*|\*\*(?=\s|$))\s*(?P<rest>.*)$", re.DOTALL
)
_REFERS_BACK = re.compile(r"[=$\\]|(?i:which|where)\b")
"""Begins of a sentence that cannot stand alone."""
_ANNOUNCES = re.compile(r"\b(?:is|are|be)\s*:$")
"""End of a sentence that only announced what has been cut off, mostly the answer."""
_TITLE = re.compile(r"[A-Z][^=.:;!?\n]{3,80}[\w)]")
"""The text of a list item that is but a title for the paragraph after it."""
_DISPLAY = re.compile(r"(\\\[.+?\\\]|\$\$.+?\$\$)", re.DOTALL)


def split_prose(text: str, settings: ProseSettings) -> list[Passage]:
    """Split `text` into at most `settings.max_steps` passages; empty if nothing but boilerplate is in it."""
    passages: list[Passage] = []
    carried: tuple[str, ...] = ()
    title = ""
    for block in _blocks(text):
        heading, body = _heading(block)
        heading = heading or title
        title = "" if body else heading
        if title:
            title = "" if _is_boilerplate(title) else title
            continue
        sentences = carried + tuple(s for s in split_sentences(body) if not _is_boilerplate(s))
        carried = ()
        if not sentences:
            continue
        # A lead-in such as «We have two cases:» belongs to what follows it.
        if sentences[-1].endswith(":"):
            sentences, carried = sentences[:-1], sentences[-1:]
        if sentences:
            passages.extend(_grouped(heading, sentences, settings))
    if carried and not (passages and _ANNOUNCES.search(carried[0])):
        passages.append(Passage("", carried))
    return _limited(_without_loops(_joined(passages, settings)), settings)


def _blocks(text: str) -> list[str]:
    """Paragraphs and list items; a formula on display stays with the lines before it."""
    text = _DISPLAY.sub(lambda m: re.sub(r"\s+", " ", m.group()), text.replace("\r\n", "\n"))
    blocks: list[str] = []
    fresh = True
    for line in text.split("\n"):
        if not line.strip():
            fresh = True
            continue
        formula = line.lstrip().startswith(("\\[", "$$", "\\begin", "=")) and blocks
        titled = bool(blocks) and _is_title(blocks[-1])
        if not titled and (formula or (blocks and not fresh and not _ITEM.match(line))):
            blocks[-1] += " " + line.strip()
        else:
            blocks.append(line.strip())
        fresh = False
    return blocks


def _is_title(block: str) -> bool:
    """Whether a block is but a title for the one after it."""
    heading, body = _heading(block)
    return bool(heading) and not body


def _heading(block: str) -> tuple[str, str]:
    """Separate the mark of a list item and a bold title from the text of a block."""
    mark = _MARK.match(block)
    body = block[mark.end() :] if mark else block
    if (mark and mark.group("bold")) or "**" in body[:100]:
        found = _HEADING.match(body)
        if found and found.group("title").count("$") % 2 == 0:
            return found.group("title").strip(" :*"), found.group("rest").replace("**", "").strip()
    body = body.replace("**", "").strip()
    if mark and mark.group().strip() and _TITLE.fullmatch(body):
        return body, ""
    return "", body


def _is_boilerplate(sentence: str) -> bool:
    bare = sentence.strip(" *#\n")
    return not re.search(r"\w", bare) or any(pattern.fullmatch(bare) for pattern in _BOILERPLATE)


def _grouped(heading: str, sentences: tuple[str, ...], settings: ProseSettings) -> list[Passage]:
    """Join a sentence that is too short to be a step to what follows it, a formula to what goes before."""
    groups: list[list[str]] = []
    for index, sentence in enumerate(sentences):
        group = groups[-1] if groups else []
        length = sum(map(len, group))
        unfinished = length < settings.min_chars or group[-1].endswith((":", ","))
        leftover = len(sentence) < settings.min_chars and index == len(sentences) - 1
        if (
            group
            and length + len(sentence) <= settings.max_chars
            and (unfinished or leftover or _REFERS_BACK.match(sentence))
            and not (_ITEM.match(sentence) and not group[-1].endswith(":"))
        ):
            group.append(sentence)
        else:
            groups.append([sentence])
    return [Passage(heading if index == 0 else "", tuple(group)) for index, group in enumerate(groups)]


def _joined(passages: list[Passage], settings: ProseSettings) -> list[Passage]:
    """Join list items that cannot stand alone, such as the symbols after «where:»."""
    joined: list[Passage] = []
    for passage in passages:
        before = joined[-1] if joined else None
        if (
            before is not None
            and not passage.heading
            and len(before.text) + len(passage.text) <= settings.max_chars
            and (
                before.text.endswith((":", ","))
                or (len(passage.text) < settings.min_chars and _REFERS_BACK.match(passage.text))
            )
        ):
            joined[-1] = before._replace(sentences=before.sentences + passage.sentences)
        else:
            joined.append(passage)
    return joined


def _without_loops(passages: list[Passage]) -> list[Passage]:
    """Cut where the text begins to repeat itself: small models fall into loops and never leave them."""
    seen: set[str] = set()
    kept: list[Passage] = []
    for passage in passages:
        sentences: list[str] = []
        for sentence in passage.sentences:
            key = "".join(sentence.lower().split())
            if len(key) > 12 and key in seen:
                return [*kept, passage._replace(sentences=tuple(sentences))] if sentences else kept
            seen.add(key)
            sentences.append(sentence)
        kept.append(passage)
    return kept


def _limited(passages: list[Passage], settings: ProseSettings) -> list[Passage]:
    """Join the shortest neighbours until few enough are left."""
    passages = list(passages)
    while len(passages) > settings.max_steps:
        lengths = [len(p.text) for p in passages]
        at = min(
            range(len(passages) - 1),
            key=lambda i: (bool(passages[i + 1].heading), lengths[i] + lengths[i + 1]),
        )
        first, second = passages[at], passages[at + 1]
        passages[at : at + 2] = [Passage(first.heading or second.heading, first.sentences + second.sentences)]
    return passages
