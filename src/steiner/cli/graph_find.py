"""Which question of a run somebody means."""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from steiner.core import Problem
    from steiner.store import RunDir

NAMED = 5
"""How many questions a message names."""
EXCERPT = 60
"""Characters of a question that a message quotes."""
LEAST_PREFIX = 4
"""Fewer hexadecimal digits are a text, not the beginning of an id."""


class Found(NamedTuple):
    """A question of a run."""

    number: int
    """Its place in the run, from 1."""
    problem: Problem


def questions(run: RunDir) -> Iterator[Found]:
    """Yield the questions of a run in its order, a few in memory at a time."""
    from steiner.core import Problem

    for number, record in enumerate(run.journal.records("problems"), start=1):
        yield Found(number, Problem.model_validate_json(record.body))


def find_question(run: RunDir, wanted: str) -> Found:
    """Find a question by its number, its id or the beginning of it, or a part of its text.

    A number that no question has is looked for as an id and as text. In text, case, compatibility forms and
    the amount of blank space do not matter.

    Raises:
        InputError: if none or several fit; names some of those that come near.
    """
    from steiner.core import InputError

    text = folded(wanted)
    if not text:
        raise InputError(f"Say which question: {_how()}")
    prefix = text if re.fullmatch(rf"[0-9a-f]{{{LEAST_PREFIX},16}}", text) else None
    by_id: list[Found] = []
    by_text: list[Found] = []
    fits = 0
    near: list[tuple[float, int, Found]] = []
    for found in questions(run):
        if text == str(found.number) or text == found.problem.id:
            return found
        if prefix and found.problem.id.startswith(prefix):
            by_id.append(found)
        question = folded(found.problem.question)
        if text == question:
            return found
        if text in question:
            fits += 1
            if len(by_text) < NAMED:
                by_text.append(found)
        score = _likeness(text, question)
        heapq.heappush(near, (score, -found.number, found))
        if len(near) > NAMED:
            heapq.heappop(near)
    several = by_id or by_text
    if len(several) == 1:
        return several[0]
    if several:
        count = len(by_id) or fits
        raise InputError(
            f"'{wanted}' fits {count:,} questions: {_list(several[:NAMED], count)}. Give {_how()}"
        )
    close = [found for score, _, found in sorted(near, reverse=True) if score > 0]
    nearest = f" Nearest: {_list(close, len(close))}." if close else ""
    raise InputError(f"{run.path} has no question '{wanted}'.{nearest} Give {_how()}")


def folded(text: str) -> str:
    """Return what texts that differ only in case, form and blank space share."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def excerpt(text: str, most: int = EXCERPT) -> str:
    """Return the beginning of a text on one line, without control characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def _likeness(text: str, question: str) -> float:
    """Return the share of the letter triples of `text` that occur in `question`."""
    triples = {text[i : i + 3] for i in range(len(text) - 2)}
    return sum(triple in question for triple in triples) / len(triples) if triples else 0.0


def _list(found: list[Found], count: int) -> str:
    named = "; ".join(f"{f.number} ({f.problem.id}) “{excerpt(f.problem.question)}”" for f in found)
    return named + (f"; and {count - len(found):,} more" if count > len(found) else "")


def _how() -> str:
    return (
        "its number, its id, the beginning of the id, or words that only it contains; "
        "without a question the command lists all of them."
    )
