"""Set (c): real steps and the same with one number, sign or negation changed. No pair may be merged."""

from __future__ import annotations

import json
import random
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class MinimalPair(NamedTuple):
    """A real step and what a rule made of it."""

    kind: str
    """`number`, `sign` or `negation`."""
    question: str
    original: str
    changed: str


_NUMBER = re.compile(r"(?<![\w.,/])\d+(?:\.\d+)?(?![\w,]|\.\d)")
_WORD = re.compile(r"\b(two|three|four|five|six|seven|eight|nine|ten|twelve)\b", re.IGNORECASE)
_SIGN = re.compile(r"(?<=[\d)\s])\s*([+\-])\s*(?=\$?\d)|(?<==) *(-?)(?=\$?\d)")
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|will|would|should|could|must|does|do|did)\b(?!\s+(?:not|no)\b|['’])"
)
_NOT = re.compile(r"\b(is|are|was|were|can|will|would|should|could|must|does|do|did)\s+not\b")


def minimal_pairs(steps: Iterable[tuple[str, str]], each: int, seed: int = 0) -> list[MinimalPair]:
    """Change steps, given as (question, text), in each of the three ways until there are `each` of a kind."""
    rng = random.Random(f"{seed}:minimal pairs")
    made: dict[str, list[MinimalPair]] = {"number": [], "sign": [], "negation": []}
    rules = {"number": _other_number, "sign": _other_sign, "negation": _other_polarity}
    pool = list(dict.fromkeys(steps))
    rng.shuffle(pool)
    for question, text in pool:
        for kind, rule in rules.items():
            changed = rule(text, rng) if len(made[kind]) < each else None
            if changed is not None and changed != text:
                made[kind].append(MinimalPair(kind, question, text, changed))
    return [pair for pairs in made.values() for pair in pairs]


def mmlu_pro_steps(folder: Path, answers: int) -> list[tuple[str, str]]:
    """Return sentences of one model's answers to MMLU-Pro, each with its question."""
    with zipfile.ZipFile(folder / "Meta-Llama-3-70B.zip") as archive:
        rows = json.loads(archive.read(archive.namelist()[0]))
    found: list[tuple[str, str]] = []
    for row in rows[:: max(1, len(rows) // answers)]:
        text = row.get("model_outputs") or row.get("generated_text") or ""
        sentences = re.split(r"(?<=[a-z)\d][.])\s+(?=[A-Z])", str(text))
        found += [(row["question"], s.strip()) for s in sentences if 25 < len(s.strip()) < 300]
    return found


def _other_number(text: str, rng: random.Random) -> str | None:
    """Replace one number, digits or word, by another."""
    found = [*_NUMBER.finditer(text), *_WORD.finditer(text)]
    if not found:
        return None
    match = rng.choice(found)
    old = match.group(0)
    if old[0].isalpha():
        new = rng.choice([w for w in ("two", "three", "five", "six", "nine", "eleven") if w != old.lower()])
    elif "." in old:
        new = f"{float(old) + rng.choice((0.1, 1, 10)):.{len(old.partition('.')[2])}f}"
    else:
        new = str(int(old) + rng.choice((1, 2, 10)))
    return text[: match.start()] + new + text[match.end() :]


def _other_sign(text: str, rng: random.Random) -> str | None:
    """Turn a plus into a minus or back, or give the right side of an equation the other sign."""
    found = list(_SIGN.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    if match.group(1):
        return text[: match.start(1)] + "+-"[match.group(1) == "+"] + text[match.end(1) :]
    value = re.match(r"\$?(\d[\d,.]*)", text[match.end() :])
    if value is None or not float(value.group(1).replace(",", "").rstrip(".") or 0):
        return None  # minus zero is zero
    return text[: match.start()] + (" " if match.group(2) else " -") + text[match.end() :]


def _other_polarity(text: str, rng: random.Random) -> str | None:
    """Put a «not» in or take it out."""
    negated = list(_NOT.finditer(text))
    plain = list(_AUXILIARY.finditer(text))
    if negated:
        match = rng.choice(negated)
        return text[: match.start()] + match.group(1) + text[match.end() :]
    if plain:
        match = rng.choice(plain)
        return text[: match.end()] + " not" + text[match.end() :]
    return None
