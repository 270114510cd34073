r"""The final answer of a worked solution, and its reasoning without that answer.

`answers.py` does this for the letters of multiple-choice questions; here answers are numbers, formulas or
words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from steiner.core import Grading, Problem
from steiner.problems.answer_text import boxed, normalize, stated
from steiner.problems.choice import chosen_letter
from steiner.problems.numeric import final_quantity
from steiner.synthesis.importers.answers import separate_answer
from steiner.synthesis.importers.sentences import split_sentences

_MARKED = re.compile(
    r"^\s*(?:#{1,6}\s*Answer:?\s*\n+\s*|####\s*|\**(?:A|(?:Final )?Answer)\s*:\**\s*)(?P<answer>\S.*?)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that holds nothing but the answer: `#### 18`, `A: 18`, `Answer: 18`; or one under `# Answer`."""
_STATEMENT = re.compile(
    r"""(?ix)
    (?:(?:so|thus|therefore|hence|then|and|finally|in\s+conclusion)\b,?\s*)*
    (?:the\s+)?(?:final\s+|correct\s+|right\s+)?answer(?:\s+to\s+[^.]{3,60}?)?\s*(?:is|:|=|would\s+be)\s*:?\s*
    (?:\\[(\[]|\$+)?\s*\S.{0,120}
    """
)
"""A sentence that does no more than state the answer."""
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_THOUGHTS = re.compile(r"</?think(?:ing)?>|<\|(?:begin|end)_of_thought\|>", re.IGNORECASE)
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
"""GSM8K's marks for a calculator, for example `<<3*4=12>>`."""
_TAIL = 300
"""Characters from the end in which «the answer is» counts."""


class Final(NamedTuple):
    """A solution taken apart."""

    reasoning: str
    answer: str
    """Empty where the text states none."""


def separate_final(text: str, problem: Problem) -> Final:
    """Take the final answer off a solution.

    Args:
        text: what a model wrote.
        problem: the question, whose grading says what an answer looks like.
    """
    text = _CALCULATOR.sub("", _THOUGHTS.sub("\n", text)).strip()
    if problem.grading is Grading.CHOICE:
        letter = chosen_letter(text, problem.choices)
        found = separate_answer(text, letter)
        return Final(found.reasoning, letter if found.stated and letter else "")
    marks = list(_MARKED.finditer(text))
    if marks and not text[marks[-1].end() :].strip():
        answer = marks[-1].group("answer")
        return Final(_without_statement(text[: marks[-1].start()]), _unboxed(boxed(answer) or answer))
    inner = boxed(text)
    if inner is not None:
        return Final(_without_statement(_unboxed(text)), inner)
    said = stated(normalize(text[-_TAIL:]))
    if said:
        return Final(_without_statement(text), said.rstrip(".。 ").strip("*"))
    return Final(text, "")


def reference_answer(text: str) -> str:
    """Return the answer of a reference: the text itself, or what a worked solution ends with."""
    text = text.strip()
    marks = list(_MARKED.finditer(text))
    if marks:
        return _plain(_unboxed(marks[-1].group("answer")))
    inner = boxed(text)
    if inner is not None:
        return inner
    said = stated(normalize(text)) if "\n" in text or len(text) > _TAIL else None
    return _plain(said.rstrip(". ") if said else text)


def worded_answer(problem: Problem, answer: str) -> str:
    """Return the sentence with which a trace ends."""
    if problem.grading is Grading.CHOICE and len(answer) == 1:
        return f"The answer is ({answer})."
    if "\\" in answer and "$" not in answer and not answer.startswith(("\\(", "\\[")):
        answer = f"${answer}$"
    return f"答案是{answer}。" if problem.language == "zh" else f"The answer is {answer}."


def last_number(problem: Problem, text: str) -> str:
    """Return the number that a text ends with where the answer is a number; empty if it has none."""
    found = final_quantity(text, problem.language) if problem.grading is Grading.NUMERIC else None
    return found.text if found else ""


def lines_apart(text: str) -> str:
    """Make a paragraph of each line of a text that has no other borders, as in GSM8K's solutions."""
    text = text.strip().replace("\r\n", "\n")
    if "\n\n" in text or "\\[" in text or "$$" in text or "\\begin" in text or "```" in text:
        return text
    return "\n\n".join(line.strip() for line in text.split("\n") if line.strip())


def looks_chinese(text: str) -> bool:
    """Whether at least a quarter of the letters are Chinese characters and none is Japanese kana."""
    letters = [character for character in text if character.isalpha()]
    if any("\u3040" <= character <= "\u30ff" for character in letters):
        return False
    return 4 * sum("\u4e00" <= character <= "\u9fff" for character in letters) >= len(letters) > 0


def _plain(text: str) -> str:
    """Remove the commas of a number in English notation."""
    return text.replace(",", "") if re.fullmatch(r"-?\$?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text) else text


def _unboxed(text: str) -> str:
    """Replace each box by what is in it."""
    while match := _BOX.search(text):
        depth, end = 1, match.end()
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        inner = text[match.end() : end - (depth == 0)]
        if "\\" in inner and not _in_formula(text[: match.start()]):
            inner = f"${inner}$"
        text = text[: match.start()] + inner + text[end:]
    return text


def _in_formula(before: str) -> bool:
    """Whether a formula is open at the end of a text."""
    dollars = before.replace("\\$", "").count("$")
    return dollars % 2 == 1 or any(
        before.rfind(a) > before.rfind(b) for a, b in (("\\(", "\\)"), ("\\[", "\\]"))
    )


def _without_statement(text: str) -> str:
    """Drop a last sentence that does no more than state the answer."""
    before, _, line = text.rstrip().rpartition("\n")
    sentences = split_sentences(line)
    if not sentences or not _STATEMENT.fullmatch(sentences[-1].strip(" *")):
        return text.rstrip()
    return f"{before}\n{' '.join(sentences[:-1])}".strip()
