"""Which language a question is in, which one its reasoning is to be in, and whether it is.

Scripts are looked at first: they decide between most languages at once. Only between languages in Latin
letters frequent words decide, and where those are too few, a statistical classifier that is loaded when it is
needed for the first time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from steiner.core import InputError
from steiner.teacher.llm.languages import LANGUAGES, Language, language_of

SCRIPTS = {
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "kana": "\u3041-\u3096\u30a1-\u30fa",
    "hangul": "\uac00-\ud7a3\u1100-\u11ff",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0620-\u06ff",
    "hebrew": "\u05d0-\u05ea",
    "devanagari": "\u0900-\u097f",
    "bengali": "\u0980-\u09ff",
    "tamil": "\u0b80-\u0bff",
    "telugu": "\u0c00-\u0c7f",
    "thai": "\u0e00-\u0e7f",
}
"""Ranges of letters, as in a pattern. All other letters count as Latin."""

MIN_WORDS = 8
"""Fewer Latin words tell nothing of the language."""
MIN_LETTERS = 6
"""Fewer letters of another script tell nothing."""
SURE = 0.2
"""Share of words that are frequent ones of a language, from which on a text is taken to be in it."""
FOREIGN = 0.05
"""A language to which the classifier gives less is not the one asked for."""
LONG = 4_000
"""Characters that are looked at in a long text, from its beginning and again from its end."""

_DEFAULT_LANGUAGE = {language.script: language.code for language in reversed(LANGUAGES.values())}
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]{0,400}\$|\\\[.*?\\\]|\\\(.*?\\\)"
    r"|\\[a-zA-Z]+(?:\{[^{}]*\})*|https?://\S+",
    re.DOTALL,
)
"""Code, formulas, LaTeX commands, addresses."""
_SPECIAL = re.compile("|".join(f"(?P<{name}>[{letters}])" for name, letters in SCRIPTS.items()))
_WORD = re.compile(r"[^\W\d_]{2,}")


def detect_language(text: str, stated: str = "en") -> str:
    """Return the ISO 639-1 code of the language a question is written in.

    `stated` is returned where the text is too short, too mathematical or too mixed to say.
    """
    prose = _prose(text)
    script = _main_script(prose)
    if script is None:
        return stated
    if script != "latin":
        same = stated in LANGUAGES and LANGUAGES[stated].script == script
        return stated if same else _DEFAULT_LANGUAGE[script]
    words = [word for word in _latin_words(prose) if word]
    if len(words) < MIN_WORDS:
        return stated
    shares = sorted(((_share(words, item), code) for code, item in LANGUAGES.items() if item.common))
    if shares[-1][0] >= SURE and shares[-1][0] >= 2 * shares[-2][0]:
        return shares[-1][1]
    code, probability = _classifier().classify(" ".join(words))
    return str(code) if probability >= 0.5 else stated


def is_in_language(text: str, language: str) -> bool:
    """Say whether reasoning is written in a language; True where that cannot be told.

    Formulas, code and LaTeX do not count. A few words of another language, such as names, do not matter.
    """
    wanted = language_of(language)
    if len(text) > 2 * LONG:
        text = f"{text[:LONG]} {text[-LONG:]}"
    if wanted.common and _looks_right(text, wanted):
        return True
    prose = _prose(text)
    if wanted.script != "latin":
        return _is_in_script(prose, wanted.script)
    return _is_in_latin(prose, wanted)


def choose_language(
    problem_id: str,
    question_language: str,
    shares: Mapping[str, float],
    seed: int = 0,
    fixed: str | None = None,
) -> str:
    """Return the language in which to reason about a question.

    The same for the same arguments, whatever other questions there are.

    Args:
        problem_id: decides, together with `seed`, to which share the question belongs.
        question_language: what it is written in.
        shares: language → share of all questions that is to be reasoned about in it.
        seed: another seed gives other questions to each share.
        fixed: the language of the rest; None for each question's own.

    Raises:
        InputError: a language is unknown, or the shares are no shares.
    """
    if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise InputError(
            f"The shares of languages must lie between 0 and 1 and add up to at most 1: {dict(shares)}."
        )
    for code in (*shares, *([fixed] if fixed else [])):
        language_of(code)
    hashed = hashlib.sha256(f"{seed}:{problem_id}:language".encode()).digest()
    place = int.from_bytes(hashed[:8], "big") / 2**64
    for code in sorted(shares):
        if place < shares[code]:
            return code
        place -= shares[code]
    return fixed or question_language


def _looks_right(text: str, wanted: Language) -> bool:
    """Say at little cost that a text is certainly in a language with a list of frequent words."""
    foreign_bytes = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
    words = text.lower().split()
    if len(words) < MIN_WORDS or foreign_bytes > 0.1 * len(text):
        return False
    own = _share(words, wanted)
    if wanted.code == "en":  # other languages hardly have any of its words
        return own >= SURE / 2
    return own >= SURE and own > _best_other(words, wanted)


def _prose(text: str) -> str:
    return _NOT_PROSE.sub(" ", text) if any(mark in text for mark in ("$", "\\", "`", "http")) else text


def _count_scripts(prose: str) -> dict[str, int]:
    """Count letters by script; Latin ones by words of two letters and more, three letters each."""
    counts: dict[str, int] = {}
    if not prose.isascii():
        for match in _SPECIAL.finditer(prose):
            name = str(match.lastgroup)
            counts[name] = counts.get(name, 0) + 1
    return counts


def _main_script(prose: str) -> str | None:
    """Return the script that most of a text is in, None if there is hardly any text."""
    counts = _count_scripts(prose)
    words = len(_WORD.findall(_SPECIAL.sub(" ", prose) if counts else prose))
    if sum(counts.values()) < MIN_LETTERS:
        return "latin" if words else None
    if counts.get("kana", 0) >= 0.1 * counts.get("han", 0) and "kana" in counts:
        counts["kana"] += counts.pop("han", 0)
    best = max(counts, key=lambda name: counts[name])
    # A Latin word weighs as much as two letters of a script that writes syllables or words.
    return best if counts[best] >= 2 * words else "latin"


def _is_in_script(prose: str, script: str) -> bool:
    counts = _count_scripts(prose)
    words = len(_WORD.findall(_SPECIAL.sub(" ", prose) if counts else prose))
    own = counts.get(script, 0)
    if sum(counts.values()) < MIN_LETTERS and words < MIN_WORDS:
        return True
    foreign = sum(count for name, count in counts.items() if name != script)
    if script == "kana":
        own, foreign = own + counts.get("han", 0), foreign - counts.get("han", 0)
        if counts.get("kana", 0) < 0.1 * own:
            return False
    if script == "han" and counts.get("kana", 0) > 0.05 * own:
        return False
    if script in ("cyrillic", "greek", "arabic", "hebrew"):
        own = own // 3  # alphabets: so many letters make up for one letter of Chinese
    return own >= foreign and own >= 2 * words


def _is_in_latin(prose: str, wanted: Language) -> bool:
    special = sum(_count_scripts(prose).values())
    words = _latin_words(prose)
    if special > 2 * len(words) and special >= MIN_LETTERS:
        return False
    if len(words) < MIN_WORDS:
        return True
    if wanted.common:
        own = _share(words, wanted)
        other = _best_other(words, wanted)
        if own >= SURE and own > other:
            return True
        if other >= SURE and other >= 2 * own:
            return False
    ranked = dict(_classifier().rank(" ".join(words)))
    return bool(ranked.get(wanted.code, 0.0) >= FOREIGN)


def _latin_words(prose: str) -> list[str]:
    return _WORD.findall(prose.lower())


def _share(words: list[str], language: Language) -> float:
    return sum(map(language.common.__contains__, words)) / len(words)


def _best_other(words: list[str], wanted: Language) -> float:
    return max(_share(words, item) for item in LANGUAGES.values() if item.common and item.code != wanted.code)


@cache
def _classifier() -> Any:
    """Load the classifier, restricted to the languages in Latin letters."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classifier.set_languages([code for code, item in LANGUAGES.items() if item.script == "latin"])
    return classifier
