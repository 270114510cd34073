"""Which language steps are written in, against that of the question.

Languages are told apart by their script: Chinese from English, not German from English. A field of a step
counts by its words, a Chinese character being one and a single Latin letter, such as a variable, none; a step
is in a language if most words of each of its fields are. So a Chinese step with an English summary is not
Chinese.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from steiner.core import Problem, Step
from steiner.evaluate.metrics import curve_point
from steiner.evaluate.records import LanguageResult, SampleResult

SCRIPTS = {
    "zh": ("CJK",), "ja": ("CJK", "HIRAGANA", "KATAKANA"), "ko": ("HANGUL",), "ru": ("CYRILLIC",),
    "th": ("THAI",), "te": ("TELUGU",), "bn": ("BENGALI",), "ar": ("ARABIC",), "el": ("GREEK",),
}  # fmt: skip
"""Scripts by language code, as Unicode names their letters; every other language is written in Latin ones."""
_WORD = re.compile(r"[^\W\d_]+")
_BY_LETTER = {"CJK", "HIRAGANA", "KATAKANA", "THAI"}
"""Scripts without blanks between words: each letter counts."""


def is_in_language(step: Step, language: str) -> bool | None:
    """Say whether a step is written in the script of a language; None if it has no words at all."""
    wanted = SCRIPTS.get(language.replace("_", "-").split("-")[0].lower(), ("LATIN",))
    counts = [_scripts(text) for text in (step.name, step.thought, step.summary, step.reflection)]
    shares = [sum(c[s] for s in wanted) / total for c in counts if (total := sum(c.values()))]
    return all(share > 0.5 for share in shares) if shares else None


def results_by_language(
    problems: Sequence[Problem],
    paths: Sequence[Sequence[Step]],
    samples: Sequence[SampleResult],
    max_steps: int | None,
    seed: int,
) -> tuple[LanguageResult, ...]:
    """Return accuracy and language of the steps for each language of the questions, by code.

    Args:
        problems: those asked, once a completion.
        paths: parallel to `problems`: the steps written under `max_steps`.
        samples: graded, perhaps under other limits too.
        max_steps: the limit that the result is about.
        seed: of the interval.
    """
    language_of = {problem.id: problem.language for problem in problems}
    found = []
    for language in sorted(set(language_of.values())):
        own = [sample for sample in samples if language_of[sample.problem_id] == language]
        marks = [
            is_in_language(step, language)
            for problem, steps in zip(problems, paths, strict=True)
            if problem.language == language
            for step in steps
        ]
        counted = [mark for mark in marks if mark is not None]
        point = curve_point(own, max_steps, seed)
        found.append(
            LanguageResult(
                language=language,
                accuracy=point.accuracy,
                low=point.low,
                high=point.high,
                n=point.n,
                steps=len(counted),
                in_language=sum(counted) / len(counted) if counted else None,
            )
        )
    return tuple(found)


def _scripts(text: str) -> Counter[str]:
    """Count the words of each script."""
    counts: Counter[str] = Counter()
    for word in _WORD.findall(text):
        for script, letters in Counter(map(_script, word)).items():
            counts[script] += letters if script in _BY_LETTER else script != "LATIN" or letters > 1
    return counts


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0]
