"""What the known versions of the benchmarks look like: number of questions and a hash of their content.

The hash is of the questions, their options (in any order) and their answers, so it is the same for a file,
the hub's copy and any order of rows or options. `python -m steiner.evaluate.benchmarks.versions NAME FILE…`
prints the line of a version; it shows no question.
"""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from steiner.core import Grading, Problem, digest


class Version(NamedTuple):
    """One known version of a benchmark."""

    benchmark: str
    questions: int
    content: str
    """16 hex digits of `content_digest`."""
    title: str


_PRO = "as quoted in published model outputs"
KNOWN: tuple[Version, ...] = (
    Version("gsm8k", 1319, "e73ab0bc1fe0072a", "test set of openai/grade-school-math"),
    Version("math500", 500, "5dd888605e941c96", "as in agentica-project/rllm"),
    Version("aime24", 30, "1019d416a4bbb2a3", "as in RUCAIBox/Slow_Thinking_with_LLMs"),
    Version("mgsm:de", 250, "bd39e6234b951598", "url-nlp/mgsm"),
    Version("mgsm:en", 250, "206160efb4035b3c", "url-nlp/mgsm"),
    Version("mgsm:es", 250, "dbfe176e2527bcb0", "url-nlp/mgsm"),
    Version("mgsm:ja", 250, "d39ec08f56a1a342", "url-nlp/mgsm"),
    Version("mgsm:zh", 250, "a4388963139c6e94", "url-nlp/mgsm"),
    Version("mmlu", 14042, "a846817b141376b1", "test set of the authors' archive"),
    Version("mmlu-pro", 12032, "f5416a5d9d8f1c49", _PRO),
    Version("mmlu-pro", 12032, "59bd9d4add01e0bc", _PRO),
    Version("mmlu-pro", 12032, "d6152516d21a6444", _PRO),
    Version("game24", 1362, "434af588eb44a97e", "princeton-nlp/tree-of-thought-llm"),
    Version("gpqa-diamond", 198, "e680d8b364775964", "the authors' archive"),
)


def content_digest(problems: Iterable[Problem]) -> str:
    """Return 16 hex digits of what is asked and what is right, whatever the order of rows and options."""
    whole = hashlib.sha256()
    for line in sorted(map(_line, problems)):
        whole.update(line.encode())
    return whole.hexdigest()[:16]


def check_version(name: str, problems: tuple[Problem, ...]) -> str:
    """Return a warning if the problems are no known version of a benchmark; empty if all is well."""
    versions = [version for version in KNOWN if version.benchmark == name]
    if not versions:
        return ""
    content = content_digest(problems)
    if any(content == version.content for version in versions):
        return ""
    counts = sorted({version.questions for version in versions})
    known = " or ".join(f"{count:,}" for count in counts)
    if len(problems) in counts:
        return (
            f"This is no version of {name} that is known: it has {len(problems):,} questions, as it should, "
            f"but their content differs (hash {content}). Results may not compare with those of others."
        )
    return (
        f"This is no version of {name} that is known: it has {len(problems):,} questions, not {known} (hash "
        f"{content}). Is it another split, or a file that was cut? Results may not compare with those of "
        "others."
    )


def _line(problem: Problem) -> str:
    answer = problem.answer
    place = ord(answer) - ord("A") if len(answer) == 1 else -1
    if problem.grading is Grading.CHOICE and 0 <= place < len(problem.choices):
        answer = problem.choices[place]
    return digest([_plain(problem.question), sorted(map(_plain, problem.choices)), _plain(answer)])


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


if __name__ == "__main__":
    from steiner.evaluate.benchmarks.catalog import find_benchmark
    from steiner.evaluate.benchmarks.load import DataOptions, load_benchmark

    loaded = load_benchmark(find_benchmark(sys.argv[1]), DataOptions(data=tuple(sys.argv[2:])))
    name = Path(sys.argv[2]).name
    found = Version(sys.argv[1], loaded.total, loaded.version.partition("-")[0], name)
    sys.stdout.write(f"    Version{tuple(found)},\n")
